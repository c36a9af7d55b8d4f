# shellcheck shell=bash
restic=/usr/bin/restic
# shellcheck source-path=SCRIPTDIR
. "$HERE/contenders/restic.sh"
