#!/usr/bin/env bash
# Sets up what is named: `venv` (Python with venv, for .venv), `tools` (for the tests: a broker, what breaks links, what
# counts system calls, what checks the metrics, a browser) or `bench` (for the benchmarks: a broker, and its clients).
# Installs Debian packages where it may (as root); elsewhere it names what to install, and fails if CI is true.
set -u

install() {  # packages...
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        # No service may start: the tests run brokers of their own.
        (apt-get install -y -q "$@" || { apt-get update -q && apt-get install -y -q "$@"; }) > /tmp/mqttgateway-apt.$$ 2>&1 \
            || cat /tmp/mqttgateway-apt.$$
        rm -f /tmp/mqttgateway-apt.$$
    fi
}

has() {  # package
    tool=$1
    [ "$1" = iproute2 ] && tool=tc
    [ "$1" = mosquitto-clients ] && tool=mosquitto_pub
    [ "$1" = prometheus ] && tool=promtool
    [ "$1" = chromium-driver ] && tool=chromedriver
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" > /dev/null
}

case "${1:-}" in
venv)
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mqttgateway needs Python 3.11 or later" >&2; exit 1; }
    python3 -c 'import venv, ensurepip' 2> /dev/null || install python3-venv
    python3 -c 'import venv, ensurepip' 2> /dev/null || { echo "Python's venv is missing: apt install python3-venv" >&2; exit 1; }
    ;;
tools | bench)
    packages="mosquitto socat strace iproute2 faketime prometheus chromium chromium-driver"  # mostly the names of their tools
    [ "$1" = bench ] && packages="mosquitto mosquitto-clients"
    missing=""
    for package in $packages; do
        has "$package" || missing="$missing $package"
    done
    [ -z "$missing" ] || install $missing
    for package in $missing; do
        has "$package" && continue
        echo "missing: $package (apt install $package); what needs it is left out" >&2
        [ "${CI:-}" = true ] && exit 1
    done
    ;;
*)
    echo "usage: $0 venv|tools|bench" >&2
    exit 2
    ;;
esac
exit 0
