# shellcheck shell=bash
# One mirror kept up to date, everything preserved that we preserve.
export NEEDS=rsync
c_backup() { rsync -aHAX --delete "$SRC/" "$STORE/current/"; }
c_restore() { rsync -aHAX "$STORE/current/" "$RESTORE/"; }
