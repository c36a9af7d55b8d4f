# shellcheck shell=bash
# Dated directories with --link-dest on a host behind ssh, with the cipher that is
# fastest here.
sshd=/usr/sbin/sshd
export NEEDS="rsync ssh ssh-keygen $sshd"
c_init() {
  local port=$((20000 + RANDOM % 9000))
  echo "$port" >"$HOMEDIR/port"
  ssh-keygen -q -t ed25519 -N '' -f "$HOMEDIR/host"
  ssh-keygen -q -t ed25519 -N '' -f "$HOMEDIR/user"
  cat >"$HOMEDIR/sshd_config" <<X
Port $port
ListenAddress 127.0.0.1
HostKey $HOMEDIR/host
AuthorizedKeysFile $HOMEDIR/user.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
X
  mkdir -p /run/sshd
  "$sshd" -D -f "$HOMEDIR/sshd_config" >/dev/null 2>&1 &
  echo $! >"$HOMEDIR/pid"
  until copy "root@127.0.0.1:$STORE/" >/dev/null 2>&1; do
    sleep .1
    kill -0 "$(cat "$HOMEDIR/pid")"
  done
}
copy() {
  rsync -aHAX --numeric-ids -e "ssh -p $(cat "$HOMEDIR/port") -i $HOMEDIR/user -c aes128-gcm@openssh.com \
-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR" "$@"
}
c_first() { copy "$SRC/" "root@127.0.0.1:$STORE/1/"; }
c_backup() { copy --link-dest="../$((N - 1))" "$SRC/" "root@127.0.0.1:$STORE/$N/"; }
c_restore() { copy "root@127.0.0.1:$STORE/$N/" "$RESTORE/"; }
c_stop() { kill "$(cat "$HOMEDIR/pid")"; }
