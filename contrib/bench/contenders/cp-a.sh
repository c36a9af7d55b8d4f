# shellcheck shell=bash
# coreutils cp: the limit for a copy.
export NEEDS=cp
c_backup() { cp -a "$SRC" "$STORE/$N"; }
c_restore() { cp -a "$STORE/$N" "$RESTORE"; }
