# shellcheck shell=bash
# The same by rsync-ssl, with stunnel before the daemon.
# shellcheck source-path=SCRIPTDIR
. "$HERE/contenders/rsyncd.sh"
export NEEDS="rsync rsync-ssl stunnel openssl"
eval "plain_$(declare -f c_init)"
eval "plain_$(declare -f c_stop)"
c_init() {
  plain_c_init
  local port=$((29000 + RANDOM % 3000))
  echo "$port" >"$HOMEDIR/ssl-port"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$HOMEDIR/key.pem" -out "$HOMEDIR/cert.pem" -days 2
  cat >"$HOMEDIR/stunnel.conf" <<X
foreground = yes
pid =
syslog = no
cert = $HOMEDIR/cert.pem
key = $HOMEDIR/key.pem
[rsync]
accept = 127.0.0.1:$port
connect = 127.0.0.1:$(cat "$HOMEDIR/port")
X
  stunnel "$HOMEDIR/stunnel.conf" >/dev/null 2>&1 &
  echo $! >"$HOMEDIR/stunnel.pid"
  until copy "$(module)/" >/dev/null 2>&1; do
    sleep .1
    kill -0 "$(cat "$HOMEDIR/stunnel.pid")"
  done
}
module() { echo "rsync://localhost:$(cat "$HOMEDIR/ssl-port")/b"; }
copy() { RSYNC_SSL_CA_CERT=$HOMEDIR/cert.pem rsync-ssl -aHAX --numeric-ids "$@"; }
c_stop() {
  kill "$(cat "$HOMEDIR/stunnel.pid")"
  plain_c_stop
}
