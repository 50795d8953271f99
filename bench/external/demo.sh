# Sourced by the scripts beside it: the addresses and files of a demo bank's data directory, from its demo.json.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
data=${1:?which bank? give the data directory of a running netbank-lab dev, such as data/dev}
shift
for tool in jq curl; do
	command -v "$tool" >/dev/null || { echo "$tool is needed, and is not installed" >&2; exit 2; }
done
[ -r "$data/demo.json" ] || { echo "there is no $data/demo.json: start the bank first (make run)" >&2; exit 2; }
settings=$(jq -r --arg data "$data" '
	def file: if startswith("/") then . else "\($data)/\(.)" end;
	if .version != 1 then error("demo.json has version \(.version), these scripts read 1") else . end |
	@sh "customer_url=\(.customer.url) partner_url=\(.partner.url) redirect_uri=\(.partner.redirectURI)",
	@sh "ca=\(.partner.ca|file) cert=\(.partner.cert|file) key=\(.partner.key|file)"' "$data/demo.json")
eval "$settings"
