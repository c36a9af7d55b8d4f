package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/testhost"

	"golang.org/x/sys/unix"
)

// stores are a storage server and two clients, on one network.
type stores struct{ server, web1, web2 *testhost.Host }

const storesHosts = "127.0.0.1 localhost\n10.77.0.1 store\n10.77.0.2 web1\n10.77.0.3 web2\n"

// newStores boots the three with the certificates of b1000ctl cert.
func newStores(t *testing.T) stores {
	t.Helper()
	return newStoresOn(t, "")
}

// newStoresOn does so with the backups on a disk that is mounted at a directory.
func newStoresOn(t *testing.T, disk string) stores {
	t.Helper()
	network := testhost.NewNetwork(t)
	at := func(name, address string) *testhost.Host {
		h := testhost.New(t, testhost.Options{Name: name, Network: network, Address: address})
		h.Install(os.Getenv(programsIn))
		h.Write("/etc/hosts", storesHosts, 0o644)
		return h
	}
	s := stores{at("store", "10.77.0.1/24"), at("web1", "10.77.0.2/24"), at("web2", "10.77.0.3/24")}
	s.server.Write("/etc/b1000/b1000.cfg", "[storage]\npath = /srv/store\nkeep = 5\nmin_free = 1M\ntls_cert = /etc/b1000/tls/store.pem\ntls_key = /etc/b1000/tls/store.key\ntls_ca = /etc/b1000/tls/ca.pem\n", 0o600)
	s.server.Write("/srv/store/.keep", "", 0o600)
	if store := s.server.Root + "/srv/store"; disk != "" {
		must(t, unix.Mount(disk, store, "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(store, unix.MNT_DETACH) })
	}
	s.server.Boot()
	s.server.MustRun("b1000ctl", "cert", "ca")
	s.server.MustRun("b1000ctl", "cert", "server", "store")
	for _, c := range []*testhost.Host{s.web1, s.web2} {
		name := "web1"
		if c == s.web2 {
			name = "web2"
		}
		s.server.MustRun("b1000ctl", "cert", "client", name, "--admit")
		for _, f := range []string{name + ".pem", name + ".key", "ca.pem"} {
			c.Copy(s.server.Root+"/etc/b1000/tls/"+f, "/etc/b1000/tls/"+f)
		}
		c.Write("/etc/b1000/b1000.cfg", `[global]
copy_retries = 2
copy_retry_min_sleep = 2
[dest:store]
type = active
path = b1000://store
tls_cert = /etc/b1000/tls/`+name+`.pem
tls_key = /etc/b1000/tls/`+name+`.key
tls_ca = /etc/b1000/tls/ca.pem
[job:data]
direction = push
type = full
dest = store
include = /srv/data
`, 0o600)
		c.Write("/srv/data/fill", `#!/bin/sh -ex
cd /srv/data
mkdir -p "a b" secret; echo precious >"a b/file"; echo private >secret/file
chown -R 1234:5678 secret; chmod 700 secret; chmod 600 secret/file
cp /bin/true setuid; chmod 4755 setuid; ln setuid linked; ln -s /etc/passwd link; mkfifo pipe
setfacl -m u:1234:r "a b/file"; setfattr -n user.note -v x "a b/file"
setcap cap_net_raw+ep linked 2>/dev/null || true
head -c 3000000 /dev/urandom >big
`, 0o700)
		c.Boot()
		c.MustRun("/srv/data/fill")
	}
	s.server.MustRun("systemctl", "start", "b1000-storage.socket", "b1000-storage-status.socket")
	return s
}

// kept are the complete backups of a client on the server's disk.
func (s stores) kept(client string) []string {
	found, _ := filepath.Glob(s.server.Root + "/srv/store/" + client + "/data/*/web*")
	return found
}

func (s stores) log() string { return s.server.Journal("-u", "b1000-storage.service", "-o", "cat") }

// equal fails where two trees differ.
func equal(t *testing.T, a, b string) {
	t.Helper()
	out, err := exec.Command("rsync", "-naicHAX", "--numeric-ids", "--delete", a+"/", b+"/").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%s and %s differ: %v\n%s", a, b, err, out)
	}
}

func TestOnHostsTwoClientsStoreAndRestore(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	for run := range 10 { // five of which are kept
		for _, c := range []*testhost.Host{s.web1, s.web2} {
			if run%3 == 1 { // one that fails: its source has gone
				c.MustRun("mv", "/srv/data", "/srv/away")
				fails(t, c, "", "systemctl", "start", "b1000@data")
				c.MustRun("mv", "/srv/away", "/srv/data")
			}
			c.MustRun("sh", "-c", "echo "+strings.Repeat("x", run)+" >>/srv/data/log")
			c.MustRun("systemctl", "start", "--no-block", "b1000@data")
		}
		for _, c := range []*testhost.Host{s.web1, s.web2} {
			c.MustRun("systemctl", "start", "b1000@data") // waits for the one that runs, or runs once more
		}
	}
	for _, c := range []*testhost.Host{s.web1, s.web2} { // unchanged
		c.MustRun("systemctl", "start", "b1000@data")
	}
	for name, c := range map[string]*testhost.Host{"web1": s.web1, "web2": s.web2} {
		if n := len(s.kept(name)); n != 5 {
			t.Errorf("%s: %d backups are kept; want 5", name, n)
		}
		all := s.kept(name)
		equal(t, c.Root+"/srv/data", all[len(all)-1]+"/data")
		for _, file := range []string{"big", "a b/file"} {
			if !linked(all[len(all)-1]+"/data/"+file, all[len(all)-2]+"/data/"+file) {
				t.Errorf("%s: %s has not changed, and was stored again", name, file)
			}
		}
		whole(t, c)
		if out := c.MustRun("b1000ctl", "list"); strings.Count(out, "complete") != 5 {
			t.Errorf("%s: list:\n%s", name, out)
		}
		if out := c.MustRun("b1000ctl", "show", "data@latest", "data/a b"); !strings.Contains(out, "data/a b/file") {
			t.Errorf("%s: show:\n%s", name, out)
		}
		c.MustRun("b1000ctl", "check", "--online")
	}
	id := strings.Fields(strings.Split(s.web1.MustRun("b1000ctl", "list"), "\n")[1])[0]
	fails(t, s.web1, "delete is not allowed to client web1", "b1000ctl", "delete", "--yes", id)
	s.server.Write("/etc/b1000/clients/web1", "ssl_peer_cn = web1\nallow = backup list show restore verify delete\n", 0o600)
	s.web1.MustRun("b1000ctl", "delete", "--yes", id)
	if n := len(s.kept("web1")); n != 4 {
		t.Errorf("after delete: %d", n)
	}
	// A byte rots, as on a bad disk: the times stay.
	s.web1.MustRun("b1000ctl", "verify", "data@latest")
	s.server.MustRun("sh", "-ec", `for d in /srv/store/web1/data/*/web*; do cd "$d/data"; done
		touch -r big /root/then; printf ! | dd of=big bs=1 seek=2000000 conv=notrunc status=none; touch -r /root/then big`)
	fails(t, s.web1, "data/big", "b1000ctl", "verify", "data@latest")
	s.server.Wait("the server has said what rots", func() bool { return strings.Contains(s.log(), "of job data is damaged: 1 files, the first: ") })
	// Revoked: the next thing that it asks is refused, with a reason on both sides.
	s.server.Remove("/etc/b1000/clients/web2")
	fails(t, s.web2, "it does not admit the name in it", "b1000ctl", "check", "--online")
	if !strings.Contains(s.log(), `certificate of "web2": no file in /etc/b1000/clients admits it`) {
		t.Errorf("log of the server:\n%s", s.log())
	}
	if out := s.server.MustRun("curl", "-sf", "http://127.0.0.1:4201/metrics"); !strings.Contains(out, `b1000_storage_backups{client="web1",backup_job="data",instance_name=""} 4`) {
		t.Errorf("metrics:\n%s", out)
	}
}

func linked(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// copyTree makes another tree of the same.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
}

func TestOnHostsTheServerIsKilledAndLosesPower(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.web1.MustRun("systemctl", "start", "b1000@data")
	first := s.kept("web1")[0]
	copied := filepath.Join(t.TempDir(), "first")
	copyTree(t, first, copied)
	s.web1.MustRun("sh", "-c", "head -c 8000000 /dev/urandom >/srv/data/big; sed -i 's/^include/bwlimit = 1m\\ninclude/' /etc/b1000/b1000.cfg")
	s.web1.MustRun("systemctl", "start", "--no-block", "b1000@data")
	// What is sent is slow: the server has said what it wants, and has not got it.
	wanted := func() int { return strings.Count(s.log(), " wanted") }
	s.server.Wait("the copy is under way", func() bool { return wanted() > 0 })
	s.server.MustRun("systemctl", "kill", "-s", "KILL", "b1000-storage.service")
	// It is started again, and the client goes on by itself.
	s.web1.Wait("the run is over", func() bool { return property(s.web1, "b1000@data.service", "ActiveState") != "activating" })
	if got := property(s.web1, "b1000@data.service", "Result"); got != "success" || len(s.kept("web1")) != 2 {
		t.Fatalf("%s, %d backups:\n%s\n%s", got, len(s.kept("web1")), s.web1.Journal("-u", "b1000@data", "-o", "cat"), s.log())
	}
	equal(t, s.web1.Root+"/srv/data", s.kept("web1")[1]+"/data")
	equal(t, copied, first)

	before := wanted()
	s.web1.MustRun("sh", "-c", "head -c 8000000 /dev/urandom >/srv/data/big")
	s.web1.MustRun("systemctl", "start", "--no-block", "b1000@data")
	s.server.Wait("the next copy is under way", func() bool { return wanted() > before })
	s.server.Kill()
	s.server.Boot()
	if n := len(s.kept("web1")); n != 2 {
		t.Errorf("half a backup looks whole: %v", s.kept("web1"))
	}
	s.server.MustRun("systemctl", "start", "b1000-storage.socket")
	s.web1.Wait("the run is over", func() bool { return property(s.web1, "b1000@data.service", "ActiveState") != "activating" })
	s.web1.MustRun("systemctl", "start", "b1000@data")
	all := s.kept("web1")
	equal(t, s.web1.Root+"/srv/data", all[len(all)-1]+"/data")
	equal(t, copied, first)
	if left, _ := filepath.Glob(s.server.Root + "/srv/store/web1/data/*/.partial-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOnHostsTheStorageUnitsVerifyAndAreConfined(t *testing.T) {
	t.Parallel()
	h := testhost.New(t, testhost.Options{Name: "store"})
	h.Install(os.Getenv(programsIn))
	h.Boot()
	units := "/usr/lib/systemd/system/b1000-storage"
	stdout, stderr, err := h.Run(t.Context(), "systemd-analyze", "verify", units+".service", units+".socket", units+"-status.socket")
	if stdout+stderr != "" || err != nil {
		t.Errorf("verify: %v\n%s%s", err, stdout, stderr)
	}
	// In tenths: 0 is nothing left to abuse, 100 everything.
	out, errOut, err := h.Run(t.Context(), "systemd-analyze", "security", "--threshold=40", "b1000-storage.service")
	if err != nil {
		t.Errorf("security: %v\n%s%s", err, out, errOut)
	}
	t.Log(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
}
