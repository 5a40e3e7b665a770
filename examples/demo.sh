#!/usr/bin/env bash
# The demo: one JobManager and two TaskManagers as processes of their own, and fraud detection running on them. Alerts come into JSON
# files with each checkpoint. After twenty seconds it kills a TaskManager with -9 and starts another: the job goes on from its last
# checkpoint, and no alert is lost or comes twice. Runs until Ctrl-C (or for WEIR_DEMO_SECONDS), then stops every process.
set -euo pipefail
weir=${1:?usage: demo.sh PATH-OF-WEIR}
here=$(cd "$(dirname "$0")" && pwd)
rest=localhost:${WEIR_DEMO_PORT:-8081}
seconds=${WEIR_DEMO_SECONDS:-0}
. "$here/cluster.sh"

before_removal() {
    local alerts="$work/alerts"
    [ -d "$alerts" ] || return 0
    mkdir -p /tmp/weir && rm -rf /tmp/weir/alerts && mv "$alerts" /tmp/weir/alerts
    echo "demo: the alerts stay in /tmp/weir/alerts ($({ cat /tmp/weir/alerts/*.json 2>/dev/null || true; } | wc -l) lines)"
}

count() { { cat "$work"/alerts/*.json 2>/dev/null || true; } | wc -l; }
last() { cat "$(ls -t "$work"/alerts/*.json | head -n 1)" | tail -n 1; }

start_cluster
echo "demo: alerts         $work/alerts/*.json"
echo "demo: Ctrl-C stops everything"
sed "s#/tmp/weir/alerts#$work/alerts#" "$here/fraud-detection.sql" >"$work/fraud-detection.sql"
job=$(run "$work/fraud-detection.sql" 2) || fail "the job isn't accepted"
echo "demo: the job is $job: http://$rest/jobs/$job"
elapsed=0
while [ "$seconds" = 0 ] || [ "$elapsed" -lt "$seconds" ]; do
    sleep 1
    elapsed=$((elapsed + 1))
    watch "$job" count last
    if [ "$elapsed" = 20 ]; then
        echo "demo: kill -9 ${taskmanager[1]} (TaskManager 1), and a new one in its place"
        kill -9 "${taskmanager[1]}"
        wait "${taskmanager[1]}" 2>/dev/null || true
        start_taskmanager 1
    fi
done
