#!/usr/bin/env bash
# vegeta-create.sh DATA_DIR [vegeta attack's flags]: creates over mutual TLS, at a constant rate, each a payment of its own. Give
# -duration: the targets do not end. What it writes holds every answer, and so every payment's link.
. "$(dirname "$0")/demo.sh"
vegeta attack -format=json -lazy -root-certs="$ca" -cert="$cert" -key="$key" "$@" \
	< <("$here/targets.sh" "$data" 1000000000 2>/dev/null)
