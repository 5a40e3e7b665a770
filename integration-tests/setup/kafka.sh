#!/usr/bin/env bash
# Installs Apache Kafka under $WEIR_CACHE/kafka-VERSION, once: the jars by Maven, a formatted log folder to copy, and a class data
# archive, so that a broker is up in little more than a second. How to start one stands in `java.args`:
#   java @$WEIR_CACHE/kafka-VERSION/java.args kafka.Kafka server.properties
set -euo pipefail
version=4.1.0
cache=${WEIR_CACHE:-$HOME/.cache/weir}
target=$cache/kafka-$version
[ -e "$target/.complete-1" ] && exit 0

say() { printf 'setup: %s\n' "$*"; }
missing=()
command -v mvn >/dev/null || missing+=(maven)
java -version 2>&1 | grep -qE 'version "(1[7-9]|2[0-9])' || missing+=(openjdk-17-jre-headless)
if [ ${#missing[@]} -gt 0 ]; then
    say "apt: ${missing[*]}"
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
        "${missing[@]}" >/dev/null
fi

say "Maven: Kafka $version"
rm -rf "$target"
mkdir -p "$target"
cat >"$target/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>weir</groupId><artifactId>kafka-broker</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
</dependencies></project>
POM
mvn -q -B -ntp -f "$target/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$target/libs" 2>&1 | grep -E 'ERROR|BUILD' || true
[ -e "$target/libs/kafka_2.13-$version.jar" ] || { say "Maven brought no Kafka" >&2; exit 1; }

cat >"$target/log4j2.properties" <<'LOG'
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=Console
appender.console.type=Console
appender.console.name=Console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c - %m%n
logger.server.name=kafka.server
logger.server.level=INFO
LOG

# A start that is cheap rather than a throughput that is high: what comes after these arguments wins over them.
write_arguments() { # ARCHIVE-ARGUMENT
    cat >"$target/java.args" <<ARGS
$1
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-Xms128m
-Xmx384m
-Djava.net.preferIPv4Stack=true
-Dlog4j2.configurationFile=$target/log4j2.properties
-cp
"$(find "$target/libs" -name '*.jar' | sort | paste -sd:)"
ARGS
}

# A first life of a broker: its formatted folder is what every other one starts from, its classes are what they map.
first_life() {
    local work port=$((20000 + RANDOM % 20000))
    work=$(mktemp -d)
    cat >"$work/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$work/log
offsets.topic.replication.factor=1
log.cleaner.dedupe.buffer.size=2097152
PROPERTIES
    write_arguments "-Xshare:auto"
    java "@$target/java.args" kafka.tools.StorageTool format -t "$(printf %s 'weir-kafka-clust' | base64 | tr -d =)" \
        -c "$work/server.properties" >"$work/format.log" 2>&1 || { cat "$work/format.log" >&2; exit 1; }
    mkdir -p "$target/formatted"
    cp "$work/log/meta.properties" "$work/log/bootstrap.checkpoint" "$target/formatted/"
    java -XX:ArchiveClassesAtExit="$target/classes.jsa" "@$target/java.args" kafka.Kafka "$work/server.properties" \
        >"$work/server.log" 2>&1 &
    local pid=$!
    for _ in $(seq 600); do
        grep -q 'Kafka Server started' "$work/server.log" && break
        kill -0 "$pid" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
        sleep 0.1
    done
    # A topic is made and written to, so that the classes of that are in the archive as well.
    java "@$target/java.args" org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$port" \
        --create --topic first --partitions 1 >"$work/topic.log" 2>&1 || { cat "$work/topic.log" >&2; exit 1; }
    echo one | timeout 60 java "@$target/java.args" org.apache.kafka.tools.ConsoleProducer \
        --bootstrap-server "127.0.0.1:$port" --topic first >>"$work/topic.log" 2>&1 || { cat "$work/topic.log" >&2; exit 1; }
    kill "$pid"
    wait "$pid" || true
    rm -rf "$work"
}

first_life
write_arguments "-XX:SharedArchiveFile=$target/classes.jsa"
touch "$target/.complete-1"
