#!/bin/bash
# peers.sh DIR: build the contenders that Debian does not have in a current
# version, restic and kopia, into DIR from the Go module proxy. What is there
# already in the right version is kept. Needs go and, the first time, a network.
set -euo pipefail

KOPIA=v0.22.3

dir=${1:?usage: peers.sh DIR}
here=$(dirname "$0")
failed=0
"$here/../restic.sh" "$dir" || failed=1
"$here/../peer.sh" "$dir" kopia github.com/kopia/kopia "$KOPIA" github.com/kopia/kopia || failed=1
exit "$failed"
