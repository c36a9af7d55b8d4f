# shellcheck shell=bash
# Each backup a new copy: the floor under one tiny file.
export NEEDS=rsync
c_backup() { rsync -a "$SRC/" "$STORE/$N/"; }
c_restore() { rsync -a "$STORE/$N/" "$RESTORE/"; }
