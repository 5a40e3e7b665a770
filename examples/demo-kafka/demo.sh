#!/usr/bin/env bash
# The demo on Kafka: a broker, one JobManager and two TaskManagers as processes of their own. One job fills the topic `transactions`,
# another finds fraud in it and writes the topic `alerts`, which Kafka's own console consumer prints. Runs until Ctrl-C (or for
# WEIR_DEMO_SECONDS, or to the alert number WEIR_DEMO_ALERTS), then stops every process.
set -euo pipefail
weir=${1:?usage: demo.sh PATH-OF-WEIR}
here=$(cd "$(dirname "$0")" && pwd)
kafka=${WEIR_CACHE:-$HOME/.cache/weir}/kafka-4.1.0
seconds=${WEIR_DEMO_SECONDS:-0}
enough=${WEIR_DEMO_ALERTS:-0}
rest=localhost:${WEIR_DEMO_PORT:-8081}
port=${WEIR_DEMO_KAFKA_PORT:-29092}
controller=${WEIR_DEMO_CONTROLLER_PORT:-$((port + 1))}
broker=127.0.0.1:$port
. "$here/../cluster.sh"

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
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.bytes=67108864
log.retention.check.interval.ms=10000
PROPERTIES
start broker java "@$kafka/java.args" kafka.Kafka "$work/server.properties"
for _ in $(seq 300); do
    grep -q 'Kafka Server started' "$work/broker.out" && break
    kill -0 "${pids[0]}" 2>/dev/null || { cat "$work/broker.out" >&2; fail "the broker has ended"; }
    sleep 0.1
done
for topic in transactions alerts; do
    tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" --create --topic "$topic" --partitions 4 \
        >"$work/topics.log" 2>&1 || fail "the topic $topic can't be created"
done

start_cluster
echo "demo: broker         $broker, topics transactions and alerts"
echo "demo: Ctrl-C stops everything"
for name in transactions fraud-detection; do
    sed "s/localhost:9092/$broker/" "$here/$name.sql" >"$work/$name.sql"
done
generator=$(run "$work/transactions.sql" 2) || fail "the job transactions isn't accepted"
detection=$(run "$work/fraud-detection.sql" 2) || fail "the job fraud-detection isn't accepted"
echo "demo: the generator is job $generator: http://$rest/jobs/$generator"
echo "demo: the detection is job $detection: http://$rest/jobs/$detection"
start reader java "@$kafka/java.args" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" \
    --topic alerts --from-beginning --isolation-level read_committed

count() { grep -c rule "$work/reader.out" || true; }
last() { tail -n 1 "$work/reader.out"; }
elapsed=0
while [ "$seconds" = 0 ] || [ "$elapsed" -lt "$seconds" ]; do
    sleep 1
    elapsed=$((elapsed + 1))
    watch "$detection" count last
    if [ "$enough" != 0 ] && [ "$printed" -ge "$enough" ]; then break; fi
done
