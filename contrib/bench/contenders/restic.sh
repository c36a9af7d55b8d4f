# shellcheck shell=bash
export NEEDS="${restic:=$BIN/restic}"
export RESTIC_PASSWORD=bench RESTIC_REPOSITORY="$STORE/repo" RESTIC_CACHE_DIR="$HOMEDIR/cache"
c_init() { "$restic" init -q; }
c_backup() { "$restic" backup -q "$SRC"; }
c_restore() { "$restic" restore latest -q --target "$RESTORE"; }
