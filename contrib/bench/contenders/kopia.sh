# shellcheck shell=bash
export NEEDS="$BIN/kopia"
export KOPIA_PASSWORD=bench KOPIA_CHECK_FOR_UPDATES=false KOPIA_CONFIG_PATH="$HOMEDIR/kopia.config"
export KOPIA_CACHE_DIRECTORY="$HOMEDIR/cache" KOPIA_LOG_DIR="$HOMEDIR/log"
c_init() {
  "$BIN/kopia" repository create filesystem --path "$STORE/repo"
  "$BIN/kopia" policy set --global --compression=zstd-fastest
}
c_backup() { "$BIN/kopia" snapshot create --no-progress "$SRC"; }
c_restore() { "$BIN/kopia" restore --no-progress "$SRC" "$RESTORE"; }
