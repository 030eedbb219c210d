#!/usr/bin/env bash
# Runs a command (default: make test) on another release of Debian, in a copy of this checkout:
#
#     tests/test-on.sh trixie [command...]
#
# The release lies in .trees/SUITE, made by debootstrap the first time: a minimal system with make, kill and Python. The
# mirror, the options of apt, pip's configuration and the certificate authorities are those of this machine. What is
# mounted is mounted in a namespace of its own, and so is gone, as every process in it, when the command has ended.
# Needs root. Ends with 3 if there is no tree and none can be made here, otherwise as the command does.
set -eu -o pipefail

usage() {
    echo "usage: make test-on SUITE, or $0 SUITE [command...]; SUITE is a release of Debian such as trixie" >&2
    exit 2
}

mirror() {  # where apt has the packages of Debian from; debootstrap's own choice where that is not known
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' \
        | sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | grep -v security | head -n 1 || true
}

make_tree() {
    command -v debootstrap > /dev/null || apt-get install -y -q debootstrap > /dev/null \
        || { echo "debootstrap is missing: apt install debootstrap" >&2; exit 3; }
    scripts=/usr/share/debootstrap/scripts
    script=$scripts/$suite
    [ -e "$script" ] || script=$scripts/sid  # this debootstrap is older than the release
    rm -rf --one-file-system "$tree.new"
    echo "making $tree" >&2
    debootstrap --variant=minbase --include=ca-certificates,make,procps,python3 "$suite" "$tree.new" "$(mirror)" "$script" \
        > "$tree.log" 2>&1 || { tail -n 5 "$tree.log" >&2; echo "see $tree.log" >&2; exit 3; }
    mv "$tree.new" "$tree"
}

copy_settings() {
    apt-config dump --no-empty --format '%f "%v";%n' Acquire > "$tree/etc/apt/apt.conf.d/99test-on"
    for path in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip "${HOME:-/root}/.config/pip" \
        /etc/ssl/certs/ca-certificates.crt "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}"; do
        [ -e "$path" ] || continue
        mkdir -p "$tree$(dirname "$path")"
        cp -rLT "$path" "$tree$path"
    done
}

copy_checkout() {  # all of it but the virtual environment, which stays from one time to the next
    mkdir -p "$tree/checkout"
    find "$tree/checkout" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
    git -C "$checkout" ls-files --cached --others --exclude-standard -z \
        | tar -C "$checkout" --null --files-from=- --ignore-failed-read -c | tar -C "$tree/checkout" -x
}

run_in_tree() {  # command...
    # In the namespaces: a tree is a mount of its own, for `ip netns` changes the mounts below /.
    unshare --mount --pid --fork --kill-child sh -euc '
        tree=$1
        shift
        mount --bind "$tree" "$tree"
        mount -t proc proc "$tree/proc"
        mount -t sysfs sysfs "$tree/sys"
        mount --rbind /dev "$tree/dev"
        mount -t tmpfs tmpfs "$tree/run"
        exec env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u PYTHONPATH -u VIRTUAL_ENV LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            chroot "$tree" sh -euc "cd /checkout; exec \"\$@\"" sh "$@"
    ' sh "$tree" "$@"
}

checkout=$(cd "$(dirname "$0")/.." && pwd)
suite=${1:-}
case $suite in "" | *[!a-z]*) usage ;; esac
shift
[ $# -gt 0 ] || set -- make test
[ "$(id -u)" = 0 ] || { echo "a tree of another release can only be made and entered as root" >&2; exit 3; }

tree=$checkout/.trees/$suite
mkdir -p "$checkout/.trees"
exec 9> "$tree.lock"
flock 9  # one at a time in one tree
[ -d "$tree" ] || make_tree
copy_settings
copy_checkout
run_in_tree "$@"
