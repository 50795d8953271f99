#!/usr/bin/env bash
# targets.sh DATA_DIR N: N creates for vegeta -format=json, one a line. Each has an Idempotency-Key and an X-Request-ID of its own,
# different from those of every run before: a key that is used twice gets the first answer again, which costs the bank next to nothing.
. "$(dirname "$0")/demo.sh"
jq -nc --argjson count "${1:?how many creates?}" --arg run "${EPOCHREALTIME//[.,]/}" --arg url "$partner_url" --arg back "$redirect_uri" '
	range($count) | ("00000000000\(.)" | .[-12:]) as $n | {
		method: "POST",
		url: "\($url)/v1/payments/domestic-transfers",
		header: {
			"Content-Type": ["application/json"],
			"Idempotency-Key": ["load-\($run)-\($n)"],
			"X-Request-ID": ["\($run[0:8])-\($run[8:12])-4\($run[12:15])-8\($run[15:16])00-\($n)"],
			"TPP-Redirect-URI": [$back]
		},
		body: ({
			endToEndIdentification: "load-\($n)",
			instructedAmount: {currency: "CNY", amount: "128.00"},
			creditorAccount: {iban: "DE89370400440532013000"},
			creditorName: "Shop"
		} | tojson | @base64)
	}'
