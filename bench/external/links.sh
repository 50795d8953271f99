# Sourced by wrk.sh and own.sh after demo.sh: the file $LINKS with the links of 100 payments, for as long as the script runs.
LINKS=$(mktemp)
export LINKS
trap 'rm -f "$LINKS"' EXIT
"$here/payments.sh" "$data" 100 | jq -r '._links.scaRedirect.href' >"$LINKS"
