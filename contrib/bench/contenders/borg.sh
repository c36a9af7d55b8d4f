# shellcheck shell=bash
export NEEDS=borg
export BORG_PASSPHRASE=bench BORG_REPO="$STORE/repo" BORG_BASE_DIR="$HOMEDIR"
c_init() { borg init -e repokey; }
c_backup() { borg create "::a$N" "$SRC"; }
c_restore() {
  mkdir -p "$RESTORE" && cd "$RESTORE" && borg extract "::a$N"
}
