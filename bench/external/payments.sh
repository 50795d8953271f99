#!/usr/bin/env bash
# payments.sh DATA_DIR N: creates N payments, one after the other on one connection, and prints the answers, one a line.
. "$(dirname "$0")/demo.sh"
"$here/targets.sh" "$data" "${1:?how many payments?}" | jq -nr --arg ca "$ca" --arg cert "$cert" --arg key "$key" '
	foreach inputs as $t (0; . + 1; (select(. > 1) | "next"), ($t |
		"url = \(.url|@json)", "cacert = \($ca|@json)", "cert = \($cert|@json)", "key = \($key|@json)",
		(.header|to_entries[]|"header = \("\(.key): \(.value[0])"|@json)"),
		"data = \(.body|@base64d|@json)", "write-out = \"\\n\"", "silent", "show-error", "fail"))' | curl --config -
