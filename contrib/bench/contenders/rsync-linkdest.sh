# shellcheck shell=bash
# Dated directories, unchanged files hard-linked.
export NEEDS=rsync
c_first() { rsync -a "$SRC/" "$STORE/1/"; }
c_backup() { rsync -a --link-dest="../$((N - 1))" "$SRC/" "$STORE/$N/"; }
c_restore() { rsync -a "$STORE/$N/" "$RESTORE/"; }
