#!/usr/bin/env bash
# Installs Apache Flink under $WEIR_CACHE/flink-VERSION for the comparison in docs/benchmarks.md, once: its jars from PyPI, the SQL
# gateway and the Kafka connector by Maven. Needs the JDK and Maven that integration-tests/setup/kafka.sh installs.
set -euo pipefail
version=2.3.0
kafka_connector=5.0.0-2.2
cache=${WEIR_CACHE:-$HOME/.cache/weir}
target=$cache/flink-$version
[ -e "$target/.complete-1" ] && exit 0
"$(dirname "$0")/../../integration-tests/setup/install.sh" kafka

say() { printf 'setup: %s\n' "$*"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$target"
mkdir -p "$target/lib"

say "Python: apache-flink-libraries $version"
python=$cache/venv/bin/python
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$work" \
    "apache-flink-libraries==$version"
tar xzf "$work"/apache_flink_libraries-*.tar.gz -C "$work"
cp "$work"/apache_flink_libraries-*/deps/lib/*.jar "$target/lib/"

say "Maven: flink-sql-gateway $version, flink-sql-connector-kafka $kafka_connector"
cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>weir</groupId><artifactId>flink-parts</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.flink</groupId><artifactId>flink-sql-gateway</artifactId><version>$version</version></dependency>
<dependency><groupId>org.apache.flink</groupId><artifactId>flink-sql-gateway-api</artifactId><version>$version</version></dependency>
<dependency><groupId>org.apache.flink</groupId><artifactId>flink-sql-connector-kafka</artifactId><version>$kafka_connector</version></dependency>
</dependencies></project>
POM
mvn -q -B -ntp -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DexcludeTransitive=true -DoutputDirectory="$target/lib" 2>&1 | grep -E 'ERROR|BUILD' || true
for jar in flink-sql-gateway-"$version" flink-sql-connector-kafka-"$kafka_connector"; do
    [ -e "$target/lib/$jar.jar" ] || { say "Maven brought no $jar" >&2; exit 1; }
done
touch "$target/.complete-1"
