#!/usr/bin/env bash
# The Debian that a machine boots (tests/trees.sh, tests/systemd/tree.sh), and images of it:
#
#     tests/vm/tree.sh prepare WHEEL                 makes what is missing, and installs the wheel
#     tests/vm/tree.sh image FILE FOLDER SCRIPT      makes an image, with what is in FOLDER, and after a shell script in it
#     tests/vm/tree.sh kernel                        prints the paths of the kernel and of its initial file system
#
# Needs root; `prepare` also a package index and a mirror of Debian. Ends with 3, and says why, where it cannot be done.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../trees.sh"
suite=trixie

prepare() {
    command -v qemu-system-x86_64 > /dev/null \
        || apt-get install -y -q --no-install-recommends qemu-system-x86 > /dev/null 2>&1 \
        || cannot "qemu-system-x86_64 is missing: apt install qemu-system-x86"
    "$here/../systemd/tree.sh" "$suite" prepare "$1" || exit $?
    prepare_tree "$suite"
    [ -e "$tree/opt/vm-complete" ] && return
    echo "installing a kernel in $tree" >&2
    run_in_tree /opt sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q
        apt-get install -y -q --no-install-recommends initramfs-tools zstd
        echo MODULES=list > /etc/initramfs-tools/conf.d/vm
        printf "virtio_pci\nvirtio_blk\next4\n" > /etc/initramfs-tools/modules
        apt-get install -y -q --no-install-recommends linux-image-amd64
        touch vm-complete
    ' > "$tree.vm.log" 2>&1 || { tail -n 5 "$tree.vm.log" >&2; cannot "the kernel was not installed, see $tree.vm.log"; }
}

image() {
    prepare_tree "$suite"
    unshare --mount sh -c "mount --make-rprivate / && mount -t tmpfs tmpfs /run" 2> /dev/null \
        || cannot "nothing can be mounted, not even in a namespace of its own"
    unshare --mount --fork --kill-child sh -euc '
        mount --make-rprivate /
        mount -t tmpfs tmpfs /run
        mkdir /run/upper /run/work /run/machine
        mount -t overlay -o "lowerdir=$1,upperdir=/run/upper,workdir=/run/work" overlay /run/machine
        cp -r "$3/." /run/machine
        mount -t proc proc /run/machine/proc
        chroot /run/machine sh -euc "$4"
        umount /run/machine/proc
        for left_out in checkout var/cache/apt var/lib/apt/lists usr/share/doc usr/share/man usr/share/locale; do
            [ ! -d "/run/machine/$left_out" ] || mount -t tmpfs tmpfs "/run/machine/$left_out"
        done
        truncate -s 1G "$2"
        PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 -d /run/machine "$2"
    ' sh "$tree" "$@"
}

case ${1:-} in
prepare) prepare "$2" ;;
image) image "$2" "$3" "$4" ;;
kernel) ls "$here/../../.trees/$suite"/boot/{vmlinuz,initrd.img}-* ;;
*) echo "usage: $0 prepare WHEEL | $0 image FILE FOLDER SCRIPT | $0 kernel" >&2; exit 2 ;;
esac
