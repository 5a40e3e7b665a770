#!/usr/bin/env bash
# The demo: one JobManager and two TaskManagers as processes of their own, and fraud detection running on them. Each round of the job
# reads half a minute of card transactions; when it has finished, its alerts stand in a JSON file. Runs until Ctrl-C (or for
# WEIR_DEMO_ROUNDS rounds), then stops every process.
set -euo pipefail
weir=${1:?usage: demo.sh PATH-OF-WEIR}
if ! command -v curl >/dev/null; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq curl >/dev/null
fi
here=$(cd "$(dirname "$0")" && pwd)
rounds=${WEIR_DEMO_ROUNDS:-0}
rest=localhost:${WEIR_DEMO_PORT:-8081}
work=$(mktemp -d /tmp/weir-demo.XXXXXX)
pids=()

clean_up() {
    trap - EXIT INT TERM
    echo
    echo "demo: stopping"
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    local alerts="$work/alerts"
    [ -d "$alerts" ] && mkdir -p /tmp/weir && rm -rf /tmp/weir/alerts && mv "$alerts" /tmp/weir/alerts \
        && echo "demo: the alerts stay in /tmp/weir/alerts ($(cat /tmp/weir/alerts/*.json 2>/dev/null | wc -l) lines)"
    rm -rf "$work"
    exit 0
}
trap clean_up EXIT INT TERM

start() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$weir" "$@" >"$work/$name.out" 2>"$work/$name.log" &
    pids+=($!)
}

start jobmanager jobmanager -Drest.port="${rest##*:}"
start taskmanager-1 taskmanager -Dtaskmanager.numberOfTaskSlots=2 -Dmetrics.reporter.prom.port=0
start taskmanager-2 taskmanager -Dtaskmanager.numberOfTaskSlots=2 -Dmetrics.reporter.prom.port=0

for _ in $(seq 100); do
    ready=$(curl -fs "http://$rest/overview" 2>/dev/null | grep -o '"taskmanagers":[0-9]*' || true)
    [ "$ready" = '"taskmanagers":2' ] && break
    kill -0 "${pids[0]}" 2>/dev/null || { cat "$work/jobmanager.log" >&2; exit 1; }
    sleep 0.1
done
[ "${ready:-}" = '"taskmanagers":2' ] || { echo "demo: the cluster didn't come up" >&2; cat "$work"/*.log >&2; exit 1; }

echo "demo: one JobManager, two TaskManagers with two slots each"
echo "demo: REST           http://$rest/overview"
echo "demo: logs           $work/*.log"
echo "demo: more           $weir list -m $rest; $weir info -m $rest JOB; curl http://$rest/metrics"
echo "demo: Ctrl-C stops everything"

sed "s#/tmp/weir/alerts#$work/alerts#" "$here/fraud-detection.sql" >"$work/fraud-detection.sql"
number() { grep -o "\"$2\":[0-9]*" <<<"$1" | head -n 1 | cut -d: -f2; }
round=0
printed=0
while [ "$rounds" = 0 ] || [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    job=$("$weir" run -d -p 2 -m "$rest" "$work/fraud-detection.sql" | grep -o '[0-9a-f]\{32\}')
    echo "demo: round $round is job $job: http://$rest/jobs/$job"
    before=0
    while true; do
        sleep 1
        details=$(curl -fs "http://$rest/jobs/$job")
        state=$(grep -o '"state":"[A-Z]*"' <<<"$details" | head -n 1 | cut -d'"' -f4)
        records=$(number "$details" read-records)
        alerts=$(cat "$work"/taskmanager-*.out | grep -c ALERT || true)
        printf 'demo: %s %9d transactions read, %7d/s, %5d alerts\n' \
            "$state" "${records:-0}" "$((${records:-0} > before ? ${records:-0} - before : 0))" "$alerts"
        before=${records:-0}
        if [ "$alerts" -gt "$printed" ]; then
            tail -q -n 1 "$work"/taskmanager-*.out | grep ALERT || true
            printed=$alerts
        fi
        case $state in
            FINISHED) break ;;
            FAILED | CANCELED)
                "$weir" info -m "$rest" "$job"
                exit 1
                ;;
        esac
    done
    echo "demo: round $round has finished; $work/alerts holds $(cat "$work"/alerts/*.json | wc -l) alerts as JSON lines"
done
