package man_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// example is one block of commands of b1000-restore(7).
type example struct{ name, commands string }

var marked = regexp.MustCompile(`(?ms)^\.\\" (run|not run here): ([^\n]+)\n\.Bd -literal -offset indent\n(.*?)^\.Ed$`)

// examples are the blocks of the page that are to be run. Each block of commands
// has a mark before it; what is marked as not run says why.
func examples(t *testing.T) (all []example) {
	t.Helper()
	text := read(t, "b1000-restore.7")
	blocks := len(regexp.MustCompile(`(?m)^\.Bd -literal -offset indent\n# `).FindAllString(text, -1))
	found := marked.FindAllStringSubmatch(text, -1)
	if len(found) != blocks {
		t.Errorf("b1000-restore.7: %d blocks of commands, %d of them marked with run or not run", blocks, len(found))
	}
	for _, m := range found {
		if m[1] == "run" {
			commands := strings.ReplaceAll("\n"+m[3], "\n# ", "\n")
			all = append(all, example{m[2], strings.ReplaceAll(commands, `\e`, `\`)})
		}
	}
	return all
}

// around is what is done before the commands of an example, to have something to
// restore, and after them, to see that it is back. Each is a script of its own.
var around = map[string][2]string{
	"find":       {"", `grep -q "/etc/$day/$base$"`},
	"complete":   {"mkdir /srv/backup/etc/$day/.partial-web1-x", `tail -1 | grep -q "/$day/\.$base\.json$"`},
	"name":       {"", `grep -q '"state": "complete"'`},
	"count":      {"", `grep -qx "$(find /srv/origin/etc /var/spool/cron ! -type d | wc -l)"`},
	"file":       {"rm /etc/ssh/sshd_config", "cmp /srv/origin/etc/ssh/sshd_config /etc/ssh/sshd_config && test $(stat -c %a:%U:%Y /etc/ssh/sshd_config) = $(stat -c %a:%U:%Y /srv/origin/etc/ssh/sshd_config)"},
	"tree":       {"", same("ssh", "/tmp/back/ssh")},
	"over":       {"touch -r /etc/ssh/sshd_config /root/time; sed -i s/./X/ /etc/ssh/sshd_config; touch -r /root/time /etc/ssh/sshd_config", same("ssh", "/etc/ssh")},
	"treecp":     {"", same("ssh", "/tmp/back/ssh.cp")},
	"host":       {"mount -t tmpfs tmpfs /mnt", `test -z "$(rsync -aHAXni --numeric-ids --checksum --delete --omit-dir-times /srv/origin/etc/ /mnt/etc/)" && test $(stat -c %a /mnt/tmp) = 1777`},
	"daemon":     {"", same("ssh", "/tmp/back/vault/ssh")},
	"ssh":        {"", same("ssh", "/tmp/back/nas/ssh")},
	"restic":     {"", same("ssh", "/tmp/back/restic/etc/ssh")},
	"storage":    {"mkdir -p /tmp/back/server", same("ssh", "/tmp/back/server/ssh")},
	"digests":    {"", `grep -o '[0-9a-f]\{64\}' | sort | uniq -c | awk '$1 != 2 {bad = 1} END {exit bad || NR < 4}'`},
	"mariadb":    {"mariadb -e 'DROP DATABASE shop'", `test "$(mariadb -N -e 'SELECT SUM(price) FROM shop.goods')" = 6`},
	"postgresql": {"runuser -u postgres -- dropdb shop; runuser -u postgres -- dropuser keeper", `test "$(runuser -u postgres -- psql -At -c 'SELECT sum(price), current_user FROM goods GROUP BY 2' 'dbname=shop user=keeper')" = '60|keeper'`},
	"sqlite":     {"rm /var/lib/app/app.db*", `test "$(python3 -c 'import sqlite3; print(sqlite3.connect("/var/lib/app/app.db").execute("SELECT SUM(price) FROM goods").fetchone()[0])')" = 600`},
	"compare":    {"", `test -z "$(cat)"`},
}

// same is a script that compares what is restored with a part of /etc as it was.
func same(part, restored string) string {
	return `test -z "$(rsync -aHAXni --numeric-ids --checksum --delete /srv/origin/etc/` + part + `/ ` + restored + `/)"`
}

const restoreConfig = `[dest:disk]
type = active
path = /srv/backup
[dest:restic]
type = restic
repository = /srv/restic
password_file = /root/restic.password
[dest:server]
type = active
path = b1000://vault
tls_cert = /etc/b1000/client.pem
tls_key = /etc/b1000/client.key
tls_ca = /etc/b1000/ca.pem
[storage]
path = /srv/store
min_free = 1M
tls_cert = /etc/b1000/tls/vault.pem
tls_key = /etc/b1000/tls/vault.key
tls_ca = /etc/b1000/tls/ca.pem
[stream:mysql]
type = mariadb
db = shop
[stream:pg]
type = postgresql
user = postgres
[stream:app]
type = sqlite
path = /var/lib/app/app.db
file = app.db
[job:shop]
direction = push
type = full
dest = disk
streams = mysql pg app
[job:etc]
direction = push
type = full
dest = disk restic server
include = /etc /var/spool/cron
[job:host]
direction = push
type = full
dest = disk
include = /
exclude = /[!e]*
[job:home]
direction = push
type = sync
dest = disk
include = /home
`

// A reader who has only this page gets everything back: its commands are run, as
// they stand there, on a host that has just made a backup.
func TestOnAHostTheCommandsOfRestoreBringEverythingBack(t *testing.T) {
	all := examples(t)
	h := testhost.New(t, testhost.Options{Name: "web1", DiskSize: "2g", Network: testhost.NewNetwork(t), Address: "10.77.0.1/24"})
	h.Install(os.Getenv(binaries))
	restic, err := exec.LookPath("restic")
	if err != nil {
		t.Skip("restic is not installed (contrib/restic.sh builds it)")
	}
	h.Copy(restic, "/usr/bin/restic")
	h.Write("/etc/b1000/b1000.cfg", restoreConfig, 0o600)
	h.Write("/etc/hosts", "127.0.0.1 localhost web1 vault nas\n", 0o644)
	h.Write("/etc/ssh/sshd_config", "# precious\nPermitRootLogin prohibit-password\n", 0o640)
	h.Write("/srv/backup/.keep", "", 0o644)
	for _, name := range []string{".bashrc", ".profile", ".bash_profile"} { // those of this machine are nobody's business
		h.Write("/root/"+name, "", 0o644)
	}
	h.Write("/root/restic.password", "secret\n", 0o600)
	h.Write("/root/secrets", "backup:secret\n", 0o600)
	h.Write("/root/rsyncd.conf", "[b1000]\npath = /srv/backup\nuid = 0\ngid = 0\nauth users = backup\nsecrets file = /root/secrets\n", 0o644)
	h.Boot()
	h.MustRun("sh", "-exc", prepareRestore)
	base := strings.TrimSpace(h.MustRun("sh", "-c", "basename /srv/backup/etc/*/web1-*"))
	day := strings.TrimSpace(h.MustRun("sh", "-c", "basename /srv/backup/etc/*"))
	names := strings.NewReplacer("2026-11-22-Sunday/web1-2026-11-22-Sun-03:00:00", day+"/"+base, "2026-11-22-Sunday", day, "web1-2026-11-22-Sun-03:00:00", base)
	variables := map[string]string{} // what the reader has set so far, by job
	for _, e := range all {
		check, ok := around[e.name]
		if !ok {
			t.Fatalf("b1000-restore.7: %q is run, and nothing tells whether it was right", e.name)
		}
		commands, job := names.Replace(e.commands), jobOf(e.name)
		if job != "etc" {
			own := strings.TrimSpace(h.MustRun("sh", "-c", "basename /srv/backup/"+job+"/*/web1-*"))
			commands = strings.ReplaceAll(commands, base, own)
		}
		script := "export day=" + day + " base=" + base + "\n" + check[0] + "\nset -e\n" + variables[job] + commands
		stdout, stderr, err := h.Run(t.Context(), "sh", "-c", script)
		if err != nil {
			t.Errorf("%s: %v\n%s%s%s", e.name, err, commands, stdout, stderr)
			continue
		}
		h.Write("/root/printed", stdout, 0o644)
		if _, stderr, err := h.Run(t.Context(), "sh", "-c", "export day="+day+" base="+base+"; set -x; cat /root/printed | { "+check[1]+"; }"); err != nil {
			t.Errorf("%s: not what the page promises: %v\n%s\nprinted:\n%s\n%s", e.name, err, commands, stdout, stderr)
		}
		variables[job] += strings.Join(regexp.MustCompile(`(?m)^[a-z]=.*\n`).FindAllString(commands, -1), "")
	}
}

// jobOf is the job that an example restores.
func jobOf(example string) string {
	switch example {
	case "host":
		return "host"
	case "digests", "mariadb", "postgresql", "sqlite":
		return "shop"
	}
	return "etc"
}

// prepareRestore makes the backup, keeps what it was made from, and starts the
// other hosts of the page, which are this one.
const prepareRestore = `
mkdir -p /var/spool/cron/crontabs
setfacl -m u:daemon:r /etc/ssh/sshd_config
RESTIC_PASSWORD_FILE=/root/restic.password restic -q -r /srv/restic init

# The storage server, and its certificates.
mkdir -m 700 /srv/store
b1000ctl cert ca
b1000ctl cert server vault
b1000ctl cert client web1 --admit
cd /etc/b1000
cp tls/web1.pem client.pem
cp tls/web1.key client.key
cp tls/ca.pem ca.pem
cd /
systemctl start b1000-storage.socket b1000-storage-status.socket

# Databases, each with something in it.
pg=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
install -d -o postgres -g postgres /srv/pg /run/postgresql
runuser -u postgres -- $pg/initdb -A trust -D /srv/pg --no-sync --locale=C.UTF-8 >/dev/null
runuser -u postgres -- $pg/pg_ctl -w -D /srv/pg -l /srv/pg/log -o '-c listen_addresses= -c unix_socket_directories=/run/postgresql -c fsync=off' start >/dev/null
runuser -u postgres -- createuser keeper
runuser -u postgres -- createdb -O keeper shop
runuser -u postgres -- psql -q -d shop -U keeper -c 'CREATE TABLE goods (price int); INSERT INTO goods VALUES (10), (20), (30)'
install -d -o mysql -g mysql /run/mysqld /srv/mysql
mariadb-install-db --no-defaults --user=mysql --datadir=/srv/mysql --skip-test-db >/dev/null
systemd-run -q --unit=mariadb-test mariadbd --no-defaults --user=mysql --datadir=/srv/mysql --socket=/run/mysqld/mysqld.sock --skip-networking
timeout 60 sh -c 'until mariadb -e "SELECT 1" >/dev/null 2>&1; do sleep 0.2; done'
mariadb -e 'CREATE DATABASE shop; CREATE TABLE shop.goods (price int); INSERT INTO shop.goods VALUES (1), (2), (3)'
mkdir -p /var/lib/app
python3 -c 'import sqlite3; d = sqlite3.connect("/var/lib/app/app.db"); d.execute("CREATE TABLE goods (price)"); d.executemany("INSERT INTO goods VALUES (?)", [(100,), (200,), (300,)]); d.commit()'

b1000 etc host shop
mkdir -p /srv/origin
cp -a /etc /srv/origin/etc
rsync --daemon --config=/root/rsyncd.conf
mkdir -p /root/.ssh /run/sshd
test -e /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
echo "nas $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >/root/.ssh/known_hosts
/usr/sbin/sshd -f /dev/null -h /etc/ssh/ssh_host_ed25519_key
`
