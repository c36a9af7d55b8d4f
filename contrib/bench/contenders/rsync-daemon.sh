# shellcheck shell=bash
# Dated directories with --link-dest in a daemon on loopback.
export NEEDS=rsync
c_init() {
  local port=$((20000 + RANDOM % 9000)) i
  echo "$port" >"$HOMEDIR/port"
  printf '%s\n' 'use chroot = no' 'uid = root' 'gid = root' '[b]' "path = $STORE" 'read only = no' >"$HOMEDIR/rsyncd.conf"
  rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config="$HOMEDIR/rsyncd.conf" >/dev/null 2>&1 &
  echo $! >"$HOMEDIR/pid"
  for i in {1..50}; do
    sleep .1
    rsync "$(module)/" >/dev/null 2>&1 && return
  done
  echo "the daemon did not answer $i times" >&2
  return 1
}
module() { echo "rsync://127.0.0.1:$(cat "$HOMEDIR/port")/b"; }
c_first() { rsync -a "$SRC/" "$(module)/1/"; }
c_backup() { rsync -a --link-dest="../$((N - 1))" "$SRC/" "$(module)/$N/"; }
c_restore() { rsync -a "$(module)/$N/" "$RESTORE/"; }
c_stop() { kill "$(cat "$HOMEDIR/pid")"; }
