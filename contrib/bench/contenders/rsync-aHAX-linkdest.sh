# shellcheck shell=bash
# Dated directories like ours by a bare rsync, everything preserved that we preserve.
export NEEDS=rsync
c_first() { rsync -aHAX "$SRC/" "$STORE/1/"; }
c_backup() { rsync -aHAX --link-dest="../$((N - 1))" "$SRC/" "$STORE/$N/"; }
c_restore() { rsync -aHAX "$STORE/$N/" "$RESTORE/"; }
