# shellcheck shell=bash
link_dest=1
# shellcheck source-path=SCRIPTDIR
. "$HERE/contenders/rsnapshot.sh"
