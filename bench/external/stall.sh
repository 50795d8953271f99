#!/usr/bin/env bash
# stall.sh DATA_DIR WAIT SECONDS COMMAND…: runs COMMAND, and WAIT seconds after its start freezes the bank for SECONDS: kill -STOP, then
# kill -CONT. The kernel goes on accepting connections and data for it, as it does for any server that hangs.
. "$(dirname "$0")/demo.sh"
wait=${1:?after how many seconds?}
seconds=${2:?for how many seconds?}
shift 2
bank=$(<"$data/bank.pid")
trap 'kill -CONT "$bank"' EXIT
(
	sleep "$wait"
	kill -STOP "$bank"
	sleep "$seconds"
	kill -CONT "$bank"
) &
"$@"
wait $!
