#!/usr/bin/env bash
# Home Assistant in a tree of Debian that has the Python it needs (tests/trees.sh):
#
#     tests/home_assistant/tree.sh 2026.11 prepare            makes what is missing; at once when all is there
#     tests/home_assistant/tree.sh 2026.11 run FOLDER         becomes Home Assistant, with the configuration in FOLDER
#
# FOLDER is a path in the tree. Needs root; `prepare` also a package index and a mirror of Debian. Ends with 3, and says
# why, where it cannot be made.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../trees.sh"

release=${1:-}
case $release in  # the last release for the Python of Debian 12, and today's
2024.3) suite=bookworm ;;
2026.11) suite=forky ;;
*) echo "usage: $0 2024.3|2026.11 prepare|run FOLDER" >&2; exit 2 ;;
esac
home=/opt/home-assistant-$release

prepare() {
    prepare_tree "$suite"
    [ -e "$tree$home/complete" ] && return
    echo "installing Home Assistant $release" >&2
    cp "$here/install.py" "$tree/opt/install-home-assistant.py"
    run_in_tree /opt sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q
        apt-get install -y -q --no-install-recommends python3-venv libturbojpeg0
        # Today it asks for the version of ffmpeg at each start, of which Debian has 200 packages.
        printf "#!/bin/sh\necho ffmpeg version 8.0\n" > /usr/local/bin/ffmpeg
        chmod +x /usr/local/bin/ffmpeg
        rm -rf "$1"
        python3 -m venv "$1"
        "$1/bin/python" /opt/install-home-assistant.py "$2"
        touch "$1/complete"
    ' sh "$home" "$release" > "$tree.home-assistant.log" 2>&1 \
        || { tail -n 5 "$tree.home-assistant.log" >&2; cannot "Home Assistant was not installed, see $tree.home-assistant.log"; }
}

case ${2:-} in
prepare) prepare ;;
run)
    tree=$here/../../.trees/$suite
    tree=$(cd "$tree" && pwd)
    become_in_tree / "$home/bin/hass" --config "$3"
    ;;
*) echo "usage: $0 $release prepare|run FOLDER" >&2; exit 2 ;;
esac
