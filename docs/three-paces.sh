#!/usr/bin/env bash
# One recording, served once, and three subscribers of its trades: each trade as it comes, each trade once a second, one summary a
# second. Prints what each of them adds up to; fails if they differ in one digit or anything is missing.
#
#   docs/three-paces.sh [RECORDING [TOPIC]]       TICKWIRE=path of the program, SPEED=how fast to play it
set -euo pipefail
recording=${1:-$(dirname "$0")/../feeds/samples/binance.twr}
topic=${2:-trade/binance:BTC-USDT}
tickwire=${TICKWIRE:-tickwire}
speed=${SPEED:-2}

here=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
    rm -rf "$here"
}
trap stop EXIT

# Port 0: any that is free; the first line says which.
"$tickwire" replay --venue binance --speed "$speed" --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    --certificate-out "$here/certificate.pem" "$recording" >"$here/server" 2>"$here/log" &
server=$!
url=
for _ in $(seq 100); do
    url=$(grep -om1 'wss://[^ ]*' "$here/server" || true)
    if [ -n "$url" ]; then break; fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
done
if [ -z "$url" ]; then
    cat "$here/log" >&2
    echo "the server did not start" >&2
    exit 1
fi

# --since: what was traded before they had connected comes first. --until-quiet: the recording has an end.
follow() {
    name=$1
    shift
    "$tickwire" watch --url "$url" --ca "$here/certificate.pem" --json --stats --since 1000 --until-quiet 3s --for 10m "$@" "$topic" \
        >"$here/$name" &
}
follow realtime --pace realtime
first=$!
follow paced --pace 1s
second=$!
follow summary --pace 1s --trades summary
third=$!
wait "$first"
wait "$second"
wait "$third"

# The totals stand in the last line: {"trade/…":{"count":…,"high":…,"low":…,"missing":…,"notional":…,"volume":…}}
totals() {
    tail -n 1 "$here/$1" | sed -n 's/.*"totals":{"[^"]*":\({[^}]*}\).*/\1/p'
}
records() {
    grep -c '"kind":"\(trade\|summary\)"' "$here/$1"
}
for name in realtime paced summary; do
    printf '%-9s %5d records  %s\n' "$name" "$(records "$name")" "$(totals "$name")"
done
if [ -z "$(totals realtime)" ] || [ "$(totals realtime)" != "$(totals paced)" ] || [ "$(totals realtime)" != "$(totals summary)" ]; then
    echo "the totals differ" >&2
    exit 1
fi
case $(totals realtime) in
    *'"missing":0,'*) echo "the same to the last digit" ;;
    *) echo "trades are missing" >&2 && exit 1 ;;
esac
