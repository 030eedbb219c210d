#!/usr/bin/env bash
# RabbitMQ and NATS in a tree of Debian forky (tests/trees.sh), whose RabbitMQ speaks MQTT 5:
#
#     tests/cluster/tree.sh prepare                     makes what is missing; at once when all is there
#     tests/cluster/tree.sh run COMMAND [ARGUMENT]...   becomes a command in the tree
#
# Needs root; `prepare` also a mirror of Debian. Ends with 3, and says why, where the tree cannot be made.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../trees.sh"

suite=forky
complete=/opt/brokers-complete

prepare() {
    prepare_tree "$suite"
    [ -e "$tree$complete" ] && return
    echo "installing RabbitMQ and NATS" >&2
    run_in_tree / sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        printf "#!/bin/sh\nexit 101\n" > /usr/sbin/policy-rc.d  # the packages start nothing
        chmod +x /usr/sbin/policy-rc.d
        apt-get update -q
        apt-get install -y -q --no-install-recommends rabbitmq-server nats-server
        touch "$1"
    ' sh "$complete" > "$tree.brokers.log" 2>&1 \
        || { tail -n 5 "$tree.brokers.log" >&2; cannot "RabbitMQ and NATS were not installed, see $tree.brokers.log"; }
}

case ${1:-} in
prepare) prepare ;;
run)
    tree=$(cd "$here/../../.trees/$suite" && pwd)
    shift
    become_in_tree / "$@"
    ;;
*) echo "usage: $0 prepare|run COMMAND [ARGUMENT]..." >&2; exit 2 ;;
esac
