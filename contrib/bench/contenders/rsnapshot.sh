# shellcheck shell=bash
# As Debian sets it up: cp -al, then rsync over it (link_dest 1: rsync --link-dest).
export NEEDS="rsnapshot rsync"
c_init() {
  printf '%s\t%s\n' config_version 1.2 snapshot_root "$STORE/" cmd_cp /bin/cp cmd_rm /bin/rm cmd_rsync /usr/bin/rsync \
    cmd_logger /usr/bin/logger verbose 1 loglevel 2 lockfile "$HOMEDIR/rsnapshot.pid" \
    link_dest "${link_dest:-0}" >"$HOMEDIR/rsnapshot.conf"
  printf '%s\t%s\t%s\n' retain alpha 6 backup "$SRC/" localhost/ >>"$HOMEDIR/rsnapshot.conf"
}
c_backup() { rsnapshot -c "$HOMEDIR/rsnapshot.conf" alpha; }
c_restore() { rsync -a "$STORE/alpha.0/localhost$SRC/" "$RESTORE/"; }
