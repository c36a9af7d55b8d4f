#!/bin/bash
# restic.sh DIR: builds the restic that tests and benchmark use into DIR; Debian
# has none that is recent enough.
set -euo pipefail
exec "$(dirname "$0")/peer.sh" "${1:?usage: restic.sh DIR}" restic github.com/restic/restic v0.19.1 github.com/restic/restic/cmd/restic
