#!/bin/bash
# demo.sh: the main job on real files, in a directory of its own: two backups of
# /etc and of some notes to two places, one note changed between them; then what
# is there, and the first backup back, compared with what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/bin:$PATH
demo=${B1000_DEMO_DIR:-/var/tmp/b1000-demo}
export B1000_CFG=$demo/b1000.cfg
rm -rf "$demo"
mkdir -p "$demo"/{disk1,disk2,notes}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

echo "buy milk" >"$demo/notes/todo"
echo "the vault is behind the clock" >"$demo/notes/secret"
chmod 600 "$demo/notes/secret"
cat >"$B1000_CFG" <<X
[global]
status_dir = $demo/status
backup_dir = $demo/work

[report:local]
type = sqlite
path = $demo/reports.db

[dest:disk1]
type = active
path = $demo/disk1

[dest:disk2]
type = active
path = $demo/disk2

[job:system]
direction = push
type = full
dest = disk1& disk2
include = /etc $demo/notes
keep = 7
X
chmod 600 "$B1000_CFG"

say "The configuration, $B1000_CFG"
cat "$B1000_CFG"
say "Is it right, and what would it do?"
run b1000ctl check
run b1000ctl plan
say "The first backup, to both places at once"
run b1000 system
cp -a "$demo/notes" "$demo/notes.before"
sleep 1.1
say "One note changes; the second backup links what has not changed"
echo "buy nothing" >"$demo/notes/todo"
run b1000 system
say "What is there"
run b1000ctl list
run b1000ctl status
run b1000ctl show system@latest notes
say "The first backup back, as it was"
first=$(b1000ctl list --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["backups"][0]["id"])' 2>/dev/null || b1000ctl list | awk 'NR==2{print $1}')
run b1000ctl restore "$first" notes --to "$demo/restored"
run cat "$demo/restored/notes/todo"
differences=$(rsync -aHAXni --numeric-ids --delete "$demo/notes.before/" "$demo/restored/notes/"; rsync -aHAXni --numeric-ids --delete "$demo/restored/notes/" "$demo/notes.before/")
if [ -n "$differences" ]; then
  echo "the restored notes differ: $differences" >&2
  exit 1
fi
run b1000ctl restore system@latest etc --to "$demo/restored"
differences=$(rsync -aHAXni --numeric-ids --delete /etc/ "$demo/restored/etc/")
if [ -n "$differences" ]; then
  echo "the restored /etc differs: $differences" >&2
  exit 1
fi
say "Both equal what they were made from, in content, owners, modes, times, links, ACLs and attributes."
echo "Everything is in $demo; look around, then remove it."
