#!/usr/bin/env bash
# vegeta-page.sh DATA_DIR [vegeta attack's flags]: the same pages as wrk.sh, at a constant rate.
. "$(dirname "$0")/demo.sh"
payments=$("$here/payments.sh" "$data" 100)
jq -c '{method: "GET", url: ._links.scaRedirect.href}' <<<"$payments" | vegeta attack -format=json -max-body=0 "$@"
