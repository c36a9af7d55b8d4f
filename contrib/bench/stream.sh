#!/bin/bash
# stream.sh [SIZE]: a dump of SIZE bytes (5G) goes to a local directory, a plain
# rsync daemon, our storage server and a restic repository in one run. Recorded
# are the time, the memory of b1000 and of all that it starts, and what the run
# takes of this host's disk; then the dump is restored from each of the four and
# its digest compared. Needs go, rsync, restic, openssl, and five times SIZE below
# B1000_BENCH_DIR (/var/tmp/b1000-bench). It ends with status 1 where a digest
# differs or a goal is missed: 64 MiB of memory, less than 128 MiB of disk.
set -euo pipefail

size=${1:-5G}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mkdir -p "${B1000_BENCH_DIR:=/var/tmp/b1000-bench}" && mktemp -d "$B1000_BENCH_DIR/stream-XXXXXX")
children=()
# shellcheck disable=SC2317 # the trap calls it
finish() {
  [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait || true
  rm -rf "$dir"
}
trap finish EXIT

mkdir -p "$dir"/{bin,hd,tele,vault,kept,clients,status,tls}
(cd "$here/../.." && go build -o "$dir/bin/" ./cmd/...)
export PATH=$dir/bin:$PATH

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
daemon=$(port) storage=$(port) status=$(port)

# What is dumped: noise, the same each time.
cat >"$dir/dump" <<END
#!/bin/bash
set -o pipefail
head -c $size /dev/zero | openssl enc -aes-128-ctr -K 000102030405060708090a0b0c0d0e0f -iv 00000000000000000000000000000000
END
chmod +x "$dir/dump"
want=$("$dir/dump" | sha256sum | cut -d' ' -f1)

printf '[b1000]\npath = %s\nread only = no\nuse chroot = no\nuid = root\ngid = root\n' "$dir/tele" >"$dir/rsyncd.conf"
rsync --daemon --no-detach --address=127.0.0.1 --port="$daemon" --config="$dir/rsyncd.conf" 2>/dev/null &
children+=($!)
for args in "ca" "server localhost" "client web1"; do
  # shellcheck disable=SC2086
  b1000ctl cert $args --dir "$dir/tls" >/dev/null
done
echo "ssl_peer_cn = web1" >"$dir/clients/web1"
cat >"$dir/storage.cfg" <<END
[storage]
path = $dir/kept
address = 127.0.0.1
port = $storage
status_port = $status
clients_dir = $dir/clients
tls_cert = $dir/tls/localhost.pem
tls_key = $dir/tls/localhost.key
tls_ca = $dir/tls/ca.pem
END
chmod 600 "$dir/storage.cfg"
b1000d -f "$dir/storage.cfg" storage 2>"$dir/storage.log" &
children+=($!)

(umask 077 && echo sesame >"$dir/password")
restic init -q -r "$dir/vault" -p "$dir/password"
cat >"$dir/b1000.cfg" <<END
[global]
status_dir = $dir/status
copy_retries = 0
[report:main]
type = sqlite
path = $dir/reports.db
[dest:hd]
type = active
path = $dir/hd
[dest:tele]
type = active
path = rsync://127.0.0.1:$daemon/b1000
[dest:server]
type = active
path = b1000://localhost:$storage
tls_cert = $dir/tls/web1.pem
tls_key = $dir/tls/web1.key
tls_ca = $dir/tls/ca.pem
[dest:vault]
type = restic
repository = $dir/vault
password_file = $dir/password
[stream:dump]
command = $dir/dump
file = dump.sql
[job:dumps]
direction = push
type = full
report = main
dest = hd tele server vault
streams = dump
END
export B1000_CFG=$dir/b1000.cfg TMPDIR=$dir/status RESTIC_CACHE_DIR=$dir/cache

# watch PID: the most that was seen of it, ten times a second: KiB of memory of
# the program itself, of all that it has started, and of disk below status_dir.
watch() {
  python3 - "$1" "$dir/status" <<'END'
import os, sys, time
pid, status = int(sys.argv[1]), sys.argv[2]
own = others = disk = 0
def field(p, file, name):
    try:
        for line in open(f"/proc/{p}/{file}"):
            if line.startswith(name + ":"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
def below(p):
    for t in os.listdir(f"/proc/{p}/task"):
        try:
            for c in open(f"/proc/{p}/task/{t}/children").read().split():
                yield c
                yield from below(c)
        except OSError:
            pass
def used():
    n = 0
    for at, _, files in os.walk(status):
        for f in files:
            try:
                n += os.stat(os.path.join(at, f)).st_blocks // 2
            except OSError:
                pass
    return n
while os.path.exists(f"/proc/{pid}/stat") and open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
    own = max(own, field(pid, "status", "VmHWM"))
    try:
        others = max(others, sum(field(c, "smaps_rollup", "Pss") for c in set(below(pid))))
    except OSError:
        pass
    disk = max(disk, used())
    time.sleep(0.1)
print(own, others, disk)
END
}

begin=$(date +%s.%N)
b1000 dumps >"$dir/log" 2>&1 &
run=$!
watch "$run" >"$dir/seen"
if ! wait "$run"; then
  cat "$dir/log" "$dir/storage.log"
  exit 1
fi
end=$(date +%s.%N)
read -r own others disk <"$dir/seen"
id=$(b1000ctl list --json | python3 -c 'import json, sys; b = json.load(sys.stdin)["backups"]; assert len(b) == 1 and len(b[0]["copies"]) == 4, b; print(b[0]["id"])')

bad=0
echo "$end $begin" | awk -v size="$size" '{printf "%s to four destinations in %.0f s\n", size, $1 - $2}'
echo "memory: b1000 $((own / 1024)) MiB, all that it has started $((others / 1024)) MiB; disk: $((disk / 1024)) MiB"
[ "$own" -lt $((64 << 10)) ] && [ "$disk" -lt $((128 << 10)) ] || bad=1
for dest in hd tele server vault; do
  begin=$(date +%s)
  b1000ctl restore "$id" --dest "$dest" --to "$dir/back" >/dev/null
  got=$(sha256sum <"$dir/back/dump.sql" | cut -d' ' -f1)
  if [ "$got" = "$want" ]; then
    echo "restored from $dest in $(($(date +%s) - begin)) s: equal"
  else
    echo "restored from $dest: NOT equal: $got, want $want"
    bad=1
  fi
  rm -rf "$dir/back"
done
exit "$bad"
