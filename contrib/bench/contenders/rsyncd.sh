# shellcheck shell=bash
# Dated directories with --link-dest in a daemon on loopback, with everything
# preserved that we preserve, and its directory as its root, where rsync is fastest.
export NEEDS=rsync
c_init() {
  local port=$((20000 + RANDOM % 9000))
  echo "$port" >"$HOMEDIR/port"
  printf '%s\n' 'uid = root' 'gid = root' '[b]' "path = $STORE" 'read only = no' >"$HOMEDIR/rsyncd.conf"
  rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config="$HOMEDIR/rsyncd.conf" >/dev/null 2>&1 &
  echo $! >"$HOMEDIR/pid"
  until rsync "rsync://127.0.0.1:$port/b/" >/dev/null 2>&1; do
    sleep .1
    kill -0 "$(cat "$HOMEDIR/pid")"
  done
}
module() { echo "rsync://127.0.0.1:$(cat "$HOMEDIR/port")/b"; }
copy() { rsync -aHAX --numeric-ids "$@"; }
c_first() { copy "$SRC/" "$(module)/1/"; }
c_backup() { copy --link-dest="../$((N - 1))" "$SRC/" "$(module)/$N/"; }
c_restore() { copy "$(module)/$N/" "$RESTORE/"; }
c_stop() { kill "$(cat "$HOMEDIR/pid")"; }
