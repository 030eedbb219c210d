#!/usr/bin/env bash
# A tree of Debian that can be booted, with the gateway installed in it as the README says (tests/trees.sh):
#
#     tests/systemd/tree.sh SUITE prepare WHEEL    makes what is missing, and installs the wheel
#     tests/systemd/tree.sh SUITE boot [SCRIPT]    boots it; before that, runs a shell script in it
#
# What is written while it is booted goes to memory, and is gone with it. Needs root; `prepare` also a package index and a
# mirror of Debian. Ends with 3, and says why, where it cannot be done.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../trees.sh"

suite=${1:-}
packages="dbus mosquitto procps python3-venv systemd-sysv udev"

prepare() {
    command -v systemd-nspawn > /dev/null || apt-get install -y -q systemd-container > /dev/null 2>&1 \
        || cannot "systemd-nspawn is missing: apt install systemd-container"
    prepare_tree "$suite"
    log=$tree.systemd.log
    if [ ! -e "$tree/opt/systemd-complete" ]; then
        echo "installing systemd and the gateway's dependencies in $tree" >&2
        run_in_tree /opt sh -euc '
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -q
            apt-get install -y -q --no-install-recommends $1
            rm -rf mqttgateway
            python3 -m venv mqttgateway
            systemctl disable mosquitto
        ' sh "$packages" > "$log" 2>&1 || { tail -n 5 "$log" >&2; cannot "systemd was not installed, see $log"; }
    fi
    cp "$1" "$tree/opt/"
    run_in_tree /opt sh -euc '
        mqttgateway/bin/pip install --disable-pip-version-check --no-input "$1"
        mqttgateway/bin/pip install --disable-pip-version-check --no-input --force-reinstall --no-deps "$1"
        rm "$1"
        touch systemd-complete
    ' sh "$(basename "$1")" >> "$log" 2>&1 || { tail -n 5 "$log" >&2; cannot "the wheel was not installed, see $log"; }
}

boot() {
    tree=$(cd "$here/../../.trees/$suite" && pwd)
    # An overlay in memory. Of a systemd of this machine, which systemd-nspawn would ask for what is not needed here,
    # nothing is to be seen in /run.
    exec unshare --mount --fork --kill-child sh -euc '
        mount --make-rprivate /
        mount -t tmpfs tmpfs /run
        mkdir -p /run/systemd/system /run/upper /run/work /run/machine
        mount -t overlay -o "lowerdir=$1,upperdir=/run/upper,workdir=/run/work" overlay /run/machine
        if [ -n "$2" ]; then
            mount -t proc proc /run/machine/proc
            chroot /run/machine sh -euc "$2"
            umount /run/machine/proc
        fi
        exec systemd-nspawn -q -D /run/machine --register=no --keep-unit --private-network --boot --console=pipe
    ' sh "$tree" "$1"
}

case ${2:-} in
prepare) prepare "$3" ;;
boot) boot "${3:-}" ;;
*) echo "usage: $0 SUITE prepare WHEEL | $0 SUITE boot [SCRIPT]" >&2; exit 2 ;;
esac
