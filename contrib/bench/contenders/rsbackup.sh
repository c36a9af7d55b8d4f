# shellcheck shell=bash
export NEEDS="rsbackup rsync"
c_init() {
  mkdir -p "$STORE/s" "$HOMEDIR/logs"
  chmod 700 "$STORE/s"
  echo d1 >"$STORE/s/device-id"
  cat >"$HOMEDIR/rsbackup.conf" <<X
store --no-mounted $STORE/s
device d1
logs $HOMEDIR/logs
lock $HOMEDIR/lock
database $HOMEDIR/backups.db
backup-policy always
prune-policy never
report "h1:Backup report"
host h
  hostname localhost
  volume v $SRC
X
}
c_backup() { rsbackup -c "$HOMEDIR/rsbackup.conf" --backup; }
c_restore() {
  local all=("$STORE"/s/h/v/*/)
  rsync -a "${all[-1]}" "$RESTORE/"
}
