#!/usr/bin/env bash
# k6.sh DATA_DIR SCRIPT [k6 run's flags]: SCRIPT is k6-flow.js or k6-page.js. k6 knows no setting for a root certificate; it takes
# those that Go takes, by SSL_CERT_FILE.
. "$(dirname "$0")/demo.sh"
script=${1:?which script? k6-flow.js or k6-page.js}
SSL_CERT_FILE=$ca DATA_DIR=$(cd "$data" && pwd) k6 run --no-usage-report "${@:2}" "$here/$(basename "$script")"
