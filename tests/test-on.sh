#!/usr/bin/env bash
# Runs a command (default: make test) on another release of Debian, in a copy of this checkout:
#
#     tests/test-on.sh trixie [command...]
#
# The release lies in .trees/SUITE, made the first time (tests/trees.sh). Needs root. Ends with 3 if there is no tree and
# none can be made here, otherwise as the command does.
set -eu -o pipefail

usage() {
    echo "usage: make test-on SUITE, or $0 SUITE [command...]; SUITE is a release of Debian such as trixie" >&2
    exit 2
}

copy_checkout() {  # all of it but the virtual environment, which stays from one time to the next
    mkdir -p "$tree/checkout"
    find "$tree/checkout" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
    git -C "$checkout" ls-files --cached --others --exclude-standard -z \
        | tar -C "$checkout" --null --files-from=- --ignore-failed-read -c | tar -C "$tree/checkout" -x
}

checkout=$(cd "$(dirname "$0")/.." && pwd)
. "$checkout/tests/trees.sh"
suite=${1:-}
case $suite in "" | *[!a-z]*) usage ;; esac
shift
[ $# -gt 0 ] || set -- make test

prepare_tree "$suite"
copy_checkout
run_in_tree /checkout "$@"
