#!/usr/bin/env bash
# stall-table.sh DATA_DIR [SECONDS]: freezes a bank for SECONDS (1) in the middle of ten, under each generator that is on PATH, all of them
# fetching the same pages, and prints what each of them reports, in milliseconds. $RATE a second (1000), except where the loop is closed.
. "$(dirname "$0")/demo.sh"
freeze=${1:-1}
rate=${RATE:-1000}
export RATE=$rate DURATION=10s
at=5        # when the freeze begins; a run measures ten seconds, and takes less than one to begin
wrk2_at=15  # wrk2 throws away what it measured in its first ten seconds
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# row NAME TOOL WAIT FILTER COMMAND…: one line of the table. FILTER makes an object of what the command printed.
row() {
	local name=$1 tool=$2 wait=$3 filter=$4
	shift 4
	command -v "$tool" >/dev/null || { echo "| $name | $tool is not installed | | | | | |"; return; }
	"$here/stall.sh" "$data" "$wait" "$freeze" "$@" >"$work/out" 2>"$work/err" || { cat "$work/out" "$work/err" >&2; return 1; }
	"$filter" <"$work/out" | jq -r --arg name "$name" '
		def ms: if . < 10 then (. * 10 | round / 10) else round end;
		"| \($name) | \(.requests) | \(.p50|ms) | \(.p95|ms) | \(.p99|ms) | \(.p999|ms) | \(.max|ms) |"'
}
own() { jq -Rc 'select(startswith("BenchmarkSignInPages/")) | [splits("\\s+")] | .[2:] | [recurse(.[2:]; length > 1) | select(length > 1) | {(.[1]): (.[0]|tonumber)}] | add'; }
wrk_json() { tail -n 1; }
wrk2_json() { wrk_json | jq --argjson n "$(sed -n 's/.*Total count *= *\([0-9]*\).*/\1/p' "$work/out" | head -n 1)" '.requests = $n'; }
vegeta_json() {
	vegeta encode -to json | jq -sc 'map(.latency / 1e6) | sort | . as $all | def at($q): $all[($q * length | ceil) - 1];
		{requests: length, p50: at(0.50), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: .[-1]}'
}
k6_json() { jq -c '.metrics | .["http_req_duration{scenario:page}"] as $d |
	{requests: .iterations.count, p50: $d.med, p95: $d["p(95)"], p99: $d["p(99)"], p999: $d["p(99.9)"], max: $d.max}' "$work/k6.json"; }
k6_row() { row "$1" k6 "$at" k6_json "$here/k6.sh" "$data" k6-page.js -e VUS="$2" -e VUS_MAX="$3" -e RATE="$rate" --summary-export "$work/k6.json"; }

jq -nr --argjson s "$freeze" --argjson rate "$rate" '
	def ms: 1000 * . | round; def at($q): [0, $s - 10 * (1 - $q)] | max | ms;
	"| generator | requests measured | p50 | p95 | p99 | p99.9 | max |", "|---|--:|--:|--:|--:|--:|--:|",
	"| arithmetic: who comes evenly, and waits for the end of the freeze | \(10 * $rate) | \(at(0.50)) | \(at(0.95)) | \(at(0.99)) | \(at(0.999)) | \($s|ms) |"'
row "netbank, open loop" go "$at" own "$here/own.sh" "$data" open
row "netbank, open loop, counted from the sending" go "$at" own "$here/own.sh" "$data" open-from-sending
row "netbank, closed loop" go "$at" own "$here/own.sh" "$data" closed
WRK=wrk2 row "wrk2 -c64 -R$rate" wrk2 "$wrk2_at" wrk2_json "$here/wrk.sh" "$data" -t2 -c64 -d20s -R"$rate"
row "wrk -c64" wrk "$at" wrk_json "$here/wrk.sh" "$data" -t2 -c64 -d10s
row "vegeta -rate=$rate" vegeta "$at" vegeta_json "$here/vegeta-page.sh" "$data" -rate="$rate" -duration=10s
row "vegeta -rate=$rate -max-workers=64" vegeta "$at" vegeta_json "$here/vegeta-page.sh" "$data" -rate="$rate" -duration=10s -max-workers=64
k6_row "k6, 64 virtual users" 64 64
k6_row "k6, 64 virtual users, up to 2,000" 64 2000
k6_row "k6, 2,000 virtual users" 2000 2000
