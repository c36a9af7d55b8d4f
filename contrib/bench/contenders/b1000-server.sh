# shellcheck shell=bash
# The program of this repository and its storage server, by TLS on loopback.
export NEEDS="$BIN/b1000 $BIN/b1000ctl $BIN/b1000d rsync"
cfg=$HOMEDIR/b1000.cfg tls=$HOMEDIR/tls
c_init() {
  local port=$((20000 + RANDOM % 9000)) i
  mkdir -p "$HOMEDIR/status" "$HOMEDIR/clients" "$HOMEDIR/run" "$STORE/kept"
  for i in ca "server localhost" "client bench"; do
    # shellcheck disable=SC2086 # a verb and its name
    "$BIN/b1000ctl" cert --dir "$tls" $i
  done
  echo "ssl_peer_cn = bench" >"$HOMEDIR/clients/bench"
  client >"$cfg"
  server >"$HOMEDIR/server.cfg"
  chmod 600 "$cfg" "$HOMEDIR/server.cfg"
  RUNTIME_DIRECTORY=$HOMEDIR/run "$BIN/b1000d" -f "$HOMEDIR/server.cfg" storage >"$HOMEDIR/server.log" 2>&1 &
  echo $! >"$HOMEDIR/pid"
  for i in {1..50}; do
    sleep .1
    "$BIN/b1000ctl" -f "$cfg" list >/dev/null 2>&1 && return
  done
  cat "$HOMEDIR/server.log"
  return 1
}
client() {
  cat <<X
[global]
status_dir = $HOMEDIR/status
log_file = $HOMEDIR/b1000.log

[job:bench]
direction = push
type = full
include = $SRC
dest = server
report = db

[dest:server]
type = active
path = b1000://localhost:$port
compress = no
tls_cert = $tls/bench.pem
tls_key = $tls/bench.key
tls_ca = $tls/ca.pem

[report:db]
type = sqlite
path = $HOMEDIR/reports.db
X
}
server() {
  cat <<X
[storage]
path = $STORE/kept
address = 127.0.0.1
port = $port
clients_dir = $HOMEDIR/clients
tls_cert = $tls/localhost.pem
tls_key = $tls/localhost.key
tls_ca = $tls/ca.pem
X
}
c_backup() { "$BIN/b1000" -f "$cfg" bench; }
c_restore() { "$BIN/b1000ctl" -f "$cfg" restore bench@latest --to "$RESTORE"; }
c_settle() { while readlink /proc/"$(cat "$HOMEDIR/pid")"/fd/* | grep -q '/\.digests$'; do sleep .05; done; }
c_stop() { kill "$(cat "$HOMEDIR/pid")"; }
