#!/usr/bin/env bash
# The demo on Kafka: a broker, one JobManager and two TaskManagers as processes of their own. One job fills the topic `transactions`,
# another finds fraud in it and writes the topic `alerts`, which Kafka's own console consumer prints. Runs until Ctrl-C (or for
# WEIR_DEMO_SECONDS, or to the alert number WEIR_DEMO_ALERTS), then stops every process.
set -euo pipefail
weir=${1:?usage: demo.sh PATH-OF-WEIR}
if ! command -v curl >/dev/null; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq curl >/dev/null
fi
here=$(cd "$(dirname "$0")" && pwd)
kafka=${WEIR_CACHE:-$HOME/.cache/weir}/kafka-4.1.0
seconds=${WEIR_DEMO_SECONDS:-0}
enough=${WEIR_DEMO_ALERTS:-0}
rest=localhost:${WEIR_DEMO_PORT:-8081}
port=${WEIR_DEMO_KAFKA_PORT:-29092}
controller=${WEIR_DEMO_CONTROLLER_PORT:-$((port + 1))}
broker=127.0.0.1:$port
work=$(mktemp -d /tmp/weir-demo.XXXXXX)
pids=()

clean_up() {
    trap - EXIT INT TERM
    echo
    echo "demo: stopping"
    # The TaskManagers and the reader first: without the broker they would only complain.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[$i]}" 2>/dev/null || true; done
    for _ in $(seq 100); do
        local alive=0
        for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && alive=1; done
        [ "$alive" = 0 ] && break
        sleep 0.1
    done
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
    exit "${status:-0}"
}
trap clean_up EXIT INT TERM

start() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$work/$name.out" 2>"$work/$name.log" &
    pids+=($!)
}

fail() {
    echo "demo: $1" >&2
    tail -n 20 "$work"/*.log "$work/broker.out" >&2
    status=1
    exit 1
}

tool() { java "@$kafka/java.args" "$@"; }

# A broker on an empty folder: the formatted one that the installation made, with this one's addresses.
mkdir -p "$work/kafka"
cp "$kafka"/formatted/* "$work/kafka/"
cat >"$work/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://$broker,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$work/kafka
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=16777216
log.retention.bytes=67108864
log.retention.check.interval.ms=10000
PROPERTIES
start broker java "@$kafka/java.args" kafka.Kafka "$work/server.properties"
start jobmanager "$weir" jobmanager -Drest.port="${rest##*:}"
start taskmanager-1 "$weir" taskmanager -Dtaskmanager.numberOfTaskSlots=2 -Dmetrics.reporter.prom.port=0
start taskmanager-2 "$weir" taskmanager -Dtaskmanager.numberOfTaskSlots=2 -Dmetrics.reporter.prom.port=0

is_up() {
    grep -q 'Kafka Server started' "$work/broker.out" \
        && [ "$(curl -fs "http://$rest/overview" 2>/dev/null | grep -o '"taskmanagers":[0-9]*' || true)" = '"taskmanagers":2' ]
}
for _ in $(seq 300); do
    is_up && break
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a process has ended"; done
    sleep 0.1
done
is_up || fail "the cluster didn't come up"
for topic in transactions alerts; do
    tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" --create --topic "$topic" --partitions 4 \
        >"$work/topics.log" 2>&1 || fail "the topic $topic can't be created"
done

echo "demo: one broker, one JobManager, two TaskManagers with two slots each"
echo "demo: REST           http://$rest/overview"
echo "demo: broker         $broker, topics transactions and alerts"
echo "demo: logs           $work/*.log"
echo "demo: more           $weir list -m $rest; $weir info -m $rest JOB; curl http://$rest/metrics"
echo "demo: Ctrl-C stops everything"

run() { # NAME PARALLELISM
    sed "s/localhost:9092/$broker/" "$here/$1.sql" >"$work/$1.sql"
    "$weir" run -d -p "$2" -m "$rest" "$work/$1.sql" | grep -o '[0-9a-f]\{32\}'
}
generator=$(run transactions 2) || fail "the job transactions isn't accepted"
detection=$(run fraud-detection 2) || fail "the job fraud-detection isn't accepted"
echo "demo: the generator is job $generator: http://$rest/jobs/$generator"
echo "demo: the detection is job $detection: http://$rest/jobs/$detection"
start reader java "@$kafka/java.args" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" \
    --topic alerts --from-beginning

number() { grep -o "\"$2\":[0-9]*" <<<"$1" | head -n 1 | cut -d: -f2; }
before=0
printed=0
elapsed=0
while [ "$seconds" = 0 ] || [ "$elapsed" -lt "$seconds" ]; do
    sleep 1
    elapsed=$((elapsed + 1))
    details=$(curl -fs "http://$rest/jobs/$detection") || fail "REST doesn't answer"
    state=$(grep -o '"state":"[A-Z]*"' <<<"$details" | head -n 1 | cut -d'"' -f4)
    records=$(number "$details" read-records)
    records=${records:-0}
    alerts=$(grep -c rule "$work/reader.out" || true)
    printf 'demo: %s %9d transactions read, %7d/s, %5d alerts\n' \
        "$state" "$records" "$((records > before ? records - before : 0))" "$alerts"
    before=$records
    if [ "$alerts" -gt "$printed" ]; then
        tail -n 1 "$work/reader.out"
        printed=$alerts
    fi
    if [ "$enough" != 0 ] && [ "$printed" -ge "$enough" ]; then break; fi
    case $state in
        FAILED | CANCELED | FINISHED)
            "$weir" info -m "$rest" "$detection" || true
            fail "the detection is $state"
            ;;
    esac
done
