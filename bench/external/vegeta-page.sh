#!/usr/bin/env bash
# vegeta-page.sh DATA_DIR [vegeta attack's flags]: pages as those of wrk.sh, of 1,000 payments, at a constant rate; a link takes 10 a second.
. "$(dirname "$0")/demo.sh"
payments=$("$here/payments.sh" "$data" 1000)
jq -c '{method: "GET", url: ._links.scaRedirect.href}' <<<"$payments" | vegeta attack -format=json -max-body=0 "$@"
