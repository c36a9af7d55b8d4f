# shellcheck shell=bash
# The program of this repository: full backups, hard-linked, into a local directory.
export NEEDS="$BIN/b1000 $BIN/b1000ctl rsync"
cfg=$HOMEDIR/b1000.cfg
c_init() {
  mkdir -p "$HOMEDIR/status"
  cat >"$cfg" <<X
[global]
status_dir = $HOMEDIR/status
log_file = $HOMEDIR/b1000.log

[job:bench]
direction = push
type = full
include = $SRC
dest = store
report = db

[dest:store]
type = active
path = $STORE

[report:db]
type = sqlite
path = $HOMEDIR/reports.db
X
  chmod 600 "$cfg"
}
c_backup() { "$BIN/b1000" -f "$cfg" bench; }
c_restore() { "$BIN/b1000ctl" -f "$cfg" restore bench@latest --to "$RESTORE"; }
