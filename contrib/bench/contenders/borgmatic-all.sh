# shellcheck shell=bash
actions=
# shellcheck source-path=SCRIPTDIR
. "$HERE/contenders/borgmatic.sh"
