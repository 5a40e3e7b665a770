# What the demos share, to be sourced: a local cluster as processes of their own, what they print, how they end.
#
# Set before: `weir` (the binary), `rest` (host:port). It sets: `work` (a folder that goes with the demo), `pids`.
# shellcheck shell=bash

if ! command -v curl >/dev/null; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq curl >/dev/null
fi
work=$(mktemp -d /tmp/weir-demo.XXXXXX)
pids=()
taskmanager=()

# Snapshots every five seconds: output becomes visible with them, and a job whose process dies goes on from the last one.
options=(
    -Dexecution.checkpointing.interval="5 s"
    -Dexecution.checkpointing.dir="file://$work/checkpoints"
    -Dexecution.checkpointing.local-backup.dirs="$work/copies"
    -Djobmanager.metadata.dir="$work/metadata"
)

clean_up() {
    trap - EXIT INT TERM
    echo
    echo "demo: stopping"
    # The TaskManagers and readers first: without what they talk to they would only complain.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[$i]}" 2>/dev/null || true; done
    for _ in $(seq 100); do
        local alive=0
        for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && alive=1; done
        [ "$alive" = 0 ] && break
        sleep 0.1
    done
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    if declare -F before_removal >/dev/null; then before_removal; fi
    rm -rf "$work"
    exit "${status:-0}"
}
trap clean_up EXIT INT TERM

start() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$work/$name.out" 2>>"$work/$name.log" &
    pids+=($!)
}

fail() { # WHY
    echo "demo: $1" >&2
    tail -n 20 "$work"/*.log >&2
    status=1
    exit 1
}

start_taskmanager() { # NUMBER
    start "taskmanager-$1" "$weir" taskmanager -Dtaskmanager.numberOfTaskSlots=2 -Dmetrics.reporter.prom.port=0 \
        -Dtaskmanager.resource-id="taskmanager-$1-$RANDOM" "${options[@]}"
    taskmanager[$1]=${pids[-1]}
}

start_cluster() {
    start jobmanager "$weir" jobmanager -Drest.port="${rest##*:}" "${options[@]}"
    start_taskmanager 1
    start_taskmanager 2
    for _ in $(seq 300); do
        ready=$(curl -fs "http://$rest/overview" 2>/dev/null | grep -o '"taskmanagers":[0-9]*' || true)
        [ "$ready" = '"taskmanagers":2' ] && break
        for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a process has ended"; done
        sleep 0.1
    done
    [ "$ready" = '"taskmanagers":2' ] || fail "the cluster didn't come up"
    echo "demo: one JobManager, two TaskManagers with two slots each, a checkpoint every 5 s"
    echo "demo: REST           http://$rest/overview"
    echo "demo: logs           $work/*.log"
    echo "demo: more           $weir list -m $rest; $weir info -m $rest JOB; curl http://$rest/metrics"
}

run() { # FILE PARALLELISM: the job's id
    "$weir" run -d -p "$2" -m "$rest" "$1" | grep -o '[0-9a-f]\{32\}'
}

number() { # JSON FIELD: its first number
    grep -o "\"$2\":[0-9]*" <<<"$1" | head -n 1 | cut -d: -f2
}

# One line about a job, once a second: state, records read in all and in the last second, checkpoints, alerts, the last alert.
before=0
printed=0
watch() { # JOB COUNT-COMMAND LAST-COMMAND
    local details state records checkpoints alerts
    details=$(curl -fs "http://$rest/jobs/$1") || fail "REST doesn't answer"
    state=$(grep -o '"state":"[A-Z]*"' <<<"$details" | head -n 1 | cut -d'"' -f4)
    records=$(number "$details" read-records)
    records=${records:-0}
    checkpoints=$(curl -fs "http://$rest/jobs/$1/checkpoints" | grep -o '"counts":{[^}]*}' || true)
    checkpoints=$(number "$checkpoints" completed)
    alerts=$($2)
    printf 'demo: %s %9d transactions read, %7d/s, %4d checkpoints, %5d alerts\n' \
        "$state" "$records" "$((records > before ? records - before : 0))" "${checkpoints:-0}" "$alerts"
    before=$records
    if [ "$alerts" -gt "$printed" ]; then
        $3
        printed=$alerts
    fi
    case $state in
        FAILED | CANCELED | FINISHED)
            "$weir" info -m "$rest" "$1" || true
            fail "the job is $state"
            ;;
    esac
}
