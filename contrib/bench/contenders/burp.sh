# shellcheck shell=bash
# Client and server on loopback, TLS as packaged, protocol 1 (its default).
export NEEDS="/usr/sbin/burp /usr/sbin/burp_ca openssl"
port=14971
etc=$HOMEDIR/burp
c_init() {
  mkdir -p "$etc/ccd" "$etc/CA-client" "$STORE/spool"
  sed "s#^CA_DIR *=.*#CA_DIR = $etc/CA#; s#/etc/burp/CA#$etc/CA#g" /etc/burp/CA.cnf >"$etc/CA.cnf"
  server_conf >"$etc/server.conf"
  client_conf >"$etc/client.conf"
  echo "password = abc" >"$etc/ccd/c1"
  [ -f "$WORK/dhfile.pem" ] || openssl dhparam -dsaparam -out "$WORK/dhfile.pem" 2048
  cp "$WORK/dhfile.pem" "$etc/dhfile.pem"
  /usr/sbin/burp -c "$etc/server.conf" -F >"$etc/server.log" 2>&1 &
  echo $! >"$HOMEDIR/pid"
  sleep 4
  /usr/sbin/burp -c "$etc/client.conf" -a l
}
server_conf() {
  cat <<X
mode = server
listen = 127.0.0.1:$port
listen_status = 127.0.0.1:$((port + 1))
max_children = 5
directory = $STORE/spool
dedup_group = global
clientconfdir = $etc/ccd
pidfile = $etc/server.pid
lockfile = $etc/server.lock
hardlinked_archive = 0
working_dir_recovery_method = delete
umask = 0022
syslog = 0
stdout = 1
client_can_restore = 1
client_can_force_backup = 1
keep = 7
ca_conf = $etc/CA.cnf
ca_name = burpCA
ca_server_name = burpserver
ca_burp_ca = /usr/sbin/burp_ca
ca_crl_check = 0
ssl_cert_ca = $etc/ssl_cert_ca.pem
ssl_cert = $etc/ssl_cert-server.pem
ssl_key = $etc/ssl_cert-server.key
ssl_dhfile = $etc/dhfile.pem
X
}
client_conf() {
  cat <<X
mode = client
server = 127.0.0.1:$port
status_port = $((port + 1))
password = abc
cname = c1
pidfile = $etc/client.pid
lockfile = $etc/client.lock
syslog = 0
stdout = 1
progress_counter = 0
${extra:-}
ca_burp_ca = /usr/sbin/burp_ca
ca_csr_dir = $etc/CA-client
ssl_cert_ca = $etc/cl_cert_ca.pem
ssl_cert = $etc/cl_cert.pem
ssl_key = $etc/cl_cert.key
ssl_peer_cn = burpserver
include = $SRC
X
}
c_backup() { /usr/sbin/burp -c "$etc/client.conf" -a b; }
c_settle() { while [ -e "$STORE/spool/c1/working" ] || [ -e "$STORE/spool/c1/finishing" ]; do sleep .05; done; }
c_restore() {
  mkdir -p "$RESTORE"
  /usr/sbin/burp -c "$etc/client.conf" -a r -b "$N" -d "$RESTORE"
}
c_stop() { kill "$(cat "$HOMEDIR/pid")"; }
