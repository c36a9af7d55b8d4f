# shellcheck shell=bash
# One mirror kept up to date.
export NEEDS=rsync
c_backup() { rsync -a --delete "$SRC/" "$STORE/current/"; }
c_restore() { rsync -a "$STORE/current/" "$RESTORE/"; }
