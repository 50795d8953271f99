#!/usr/bin/env bash
# wrk.sh DATA_DIR [wrk's flags]: sign-in pages of 2,000 payments, over the customer door. wrk cannot show a client certificate, so the
# partner API stays closed to it. WRK names another program with the same scripts, such as wrk2, which then needs -R.
. "$(dirname "$0")/demo.sh"
. "$here/links.sh"
"${WRK:-wrk}" "$@" --latency -s "$here/wrk.lua" "$customer_url"
