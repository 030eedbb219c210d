# Trees of other releases of Debian, for tests/test-on.sh and tests/home_assistant/tree.sh, which source this file.
#
# A release lies in .trees/SUITE, made by debootstrap the first time: a minimal system with make, kill and Python. The
# mirror, the options of apt, pip's configuration and the certificate authorities are those of this machine. What is
# mounted is mounted in a namespace of its own, and so is gone when the command has ended. Needs root.

cannot() {  # reason: ends with 3
    echo "cannot run here: $1" >&2
    exit 3
}

mirror() {  # where apt has the packages of Debian from; debootstrap's own choice where that is not known
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' \
        | sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | grep -v security | head -n 1 || true
}

make_tree() {
    command -v debootstrap > /dev/null || apt-get install -y -q debootstrap > /dev/null \
        || cannot "debootstrap is missing: apt install debootstrap"
    scripts=/usr/share/debootstrap/scripts
    script=$scripts/$suite
    [ -e "$script" ] || script=$scripts/sid  # this debootstrap is older than the release
    rm -rf --one-file-system "$tree.new"
    echo "making $tree" >&2
    debootstrap --variant=minbase --include=ca-certificates,make,procps,python3 "$suite" "$tree.new" "$(mirror)" "$script" \
        > "$tree.log" 2>&1 || { tail -n 5 "$tree.log" >&2; cannot "debootstrap failed, see $tree.log"; }
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

prepare_tree() {  # suite: sets `tree`, which is made if it is not there, and is this process's until it ends
    suite=$1
    [ "$(id -u)" = 0 ] || cannot "a tree of another release can only be made and entered as root"
    tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.trees/$suite
    mkdir -p "$(dirname "$tree")"
    exec 9> "$tree.lock"
    flock 9  # one at a time in one tree
    [ -d "$tree" ] || make_tree
    copy_settings
}

run_in_tree() {  # folder, command...: runs it there, and ends with it every process that it has left
    enter_tree "--mount --pid --fork --kill-child" "$@"
}

become_in_tree() {  # folder, command...: this process becomes the command, and has its process id
    exec 9>&-
    exec_by=exec enter_tree --mount "$@"
}

enter_tree() {  # namespaces, folder, command...
    # A tree is a mount of its own, for `ip netns` changes the mounts below /.
    namespaces=$1
    shift
    ${exec_by:-} unshare $namespaces sh -euc '
        tree=$1
        shift
        mount --bind "$tree" "$tree"
        mount -t proc proc "$tree/proc"
        mount -t sysfs sysfs "$tree/sys"
        mount --rbind /dev "$tree/dev"
        mount -t tmpfs tmpfs "$tree/run"
        exec env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u PYTHONPATH -u VIRTUAL_ENV LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            chroot "$tree" sh -euc "cd \"\$1\"; shift; exec \"\$@\"" sh "$@"
    ' sh "$tree" "$@"
}
