# shellcheck shell=bash
export NEEDS="resticprofile $BIN/restic"
export RESTIC_CACHE_DIR="$HOMEDIR/cache"
c_init() {
  cat >"$HOMEDIR/profiles.toml" <<X
version = "1"
[global]
restic-binary = "$BIN/restic"
priority = "normal"
[default]
repository = "local:$STORE/repo"
password-file = "$HOMEDIR/password"
lock = "$HOMEDIR/resticprofile.lock"
[default.backup]
source = ["$SRC"]
X
  echo bench >"$HOMEDIR/password"
  resticprofile -c "$HOMEDIR/profiles.toml" init
}
c_backup() { resticprofile -c "$HOMEDIR/profiles.toml" backup; }
c_restore() { resticprofile -c "$HOMEDIR/profiles.toml" restore latest --target "$RESTORE"; }
