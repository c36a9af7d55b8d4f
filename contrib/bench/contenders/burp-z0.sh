# shellcheck shell=bash
# burp without the gzip -9 that is its default.
extra="compression = 0"
# shellcheck source-path=SCRIPTDIR
. "$HERE/contenders/burp.sh"
