#!/usr/bin/env bash
# vegeta-status.sh DATA_DIR [vegeta attack's flags]: status reads of 100 payments over mutual TLS, at a constant rate.
. "$(dirname "$0")/demo.sh"
payments=$("$here/payments.sh" "$data" 100)
jq -c --arg url "$partner_url" '{method: "GET", url: ($url + ._links.status.href)}' <<<"$payments" |
	vegeta attack -format=json -root-certs="$ca" -cert="$cert" -key="$key" -max-body=0 "$@"
