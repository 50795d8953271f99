# Sourced by wrk.sh and own.sh after demo.sh: the file $LINKS with the links of 2,000 payments, for as long as the script runs: a link that is
# opened more than 10 times a second for long is refused.
LINKS=$(mktemp)
export LINKS
trap 'rm -f "$LINKS"' EXIT
"$here/payments.sh" "$data" 2000 | jq -r '._links.scaRedirect.href' >"$LINKS"
