package main

import (
	"crypto/x509"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/mtls/mtlstest"
)

// logged is what the server has logged since.
func (s stores) logged(since time.Time) string {
	return s.server.Journal("-u", "b1000-storage.service", "-o", "cat", "--since", since.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// give puts a certificate, and the authority that is trusted, where the client's
// configuration looks.
func (s stores) give(t *testing.T, ca *mtlstest.CA, trusted, name string, edit func(*x509.Certificate)) {
	t.Helper()
	cert, key := ca.Issue(t, name, edit)
	s.web1.Copy(cert, "/etc/b1000/tls/web1.pem")
	s.web1.Copy(key, "/etc/b1000/tls/web1.key")
	s.web1.Copy(trusted, "/etc/b1000/tls/ca.pem")
}

// Each certificate that is wrong in its own way fails the job with a sentence of
// its own, and the server's log has its side of it.
func TestOnHostsEachWrongCertificateIsNamedOnBothSides(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	ca, other := mtlstest.New(t, "authority"), mtlstest.New(t, "another authority")
	cert, key := ca.Issue(t, "store", nil)
	s.server.Copy(cert, "/etc/b1000/tls/store.pem")
	s.server.Copy(key, "/etc/b1000/tls/store.key")
	s.server.Copy(ca.File, "/etc/b1000/tls/ca.pem")
	s.web1.MustRun("sed", "-i", "s/^copy_retries.*/copy_retries = 0/", "/etc/b1000/b1000.cfg")
	for _, test := range []struct {
		name               string
		issuer             *mtlstest.CA
		trusted, as        string
		edit               func(*x509.Certificate)
		onClient, onServer string
	}{
		{"another authority", other, ca.File, "web1", nil, "its tls_ca is not the authority that issued it", `not issued by our tls_ca but by "another authority"`},
		{"a server of another authority", ca, other.File, "web1", nil, `certificate of "store": not issued by our tls_ca`, "refused our certificate"},
		{"another name", ca, ca.File, "intruder", nil, "it does not admit the name in it", `certificate of "intruder": no file in /etc/b1000/clients admits it by ssl_peer_cn`},
		{"expired", ca, ca.File, "web1", mtlstest.Expired, "it has expired", `certificate of "web1": valid from`},
	} {
		since := time.Now()
		s.give(t, test.issuer, test.trusted, test.as, test.edit)
		fails(t, s.web1, test.onClient, "b1000", "data")
		s.server.Wait("the server has said: "+test.onServer, func() bool { return strings.Contains(s.logged(since), test.onServer) })
	}
	s.give(t, ca, ca.File, "web1", nil)
	fails(t, s.web1, "", "curl", "-sS", "-k", "https://store:4200/v1/list") // no certificate at all
	s.server.Wait("the server has said that there was none", func() bool { return strings.Contains(s.log(), "client didn't provide a certificate") })
	// The server's certificate bears another name than the client calls it by.
	s.web1.MustRun("sed", "-i", "s,b1000://store,b1000://10.77.0.1,", "/etc/b1000/b1000.cfg")
	fails(t, s.web1, "10.77.0.1", "b1000", "data")
	s.web1.MustRun("sed", "-i", "s,b1000://10.77.0.1,b1000://store,", "/etc/b1000/b1000.cfg")
	s.web1.MustRun("b1000", "data")
	if n := len(s.kept("web1")); n != 1 {
		t.Errorf("%d backups are there", n)
	}
}

// restic's repository at the server, as a destination of a job: made, filled,
// restored; gone on with after the server was killed.
func TestOnHostsAResticRepositoryAtTheServer(t *testing.T) {
	t.Parallel()
	restic, err := exec.LookPath("restic")
	if err != nil {
		t.Skip("restic is not installed")
	}
	s := newStores(t)
	s.web1.Copy(restic, "/usr/local/bin/restic") // it may stand where the host does not see it
	s.web1.Write("/etc/b1000/vault.password", "sesame\n", 0o600)
	s.web1.MustRun("sed", "-i", `s,^type = active,type = restic,; s,^path = b1000://store,repository = rest:https://store:4200/restic/web1/\npassword_file = /etc/b1000/vault.password,`, "/etc/b1000/b1000.cfg")
	s.web1.MustRun("sh", "-c", "cat /etc/b1000/tls/web1.pem /etc/b1000/tls/web1.key >/root/both.pem; chmod 600 /root/both.pem")
	by := func(verb ...string) []string {
		return append([]string{"restic", "-r", "rest:https://store:4200/restic/web1/", "--cacert", "/etc/b1000/tls/ca.pem", "--tls-client-cert", "/root/both.pem", "-p", "/etc/b1000/vault.password"}, verb...)
	}
	s.web1.MustRun(by("init")...)
	s.web1.MustRun("systemctl", "start", "b1000@data")
	s.web1.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/back")
	equal(t, s.web1.Root+"/srv/data", s.web1.Root+"/srv/back/data")
	if out := s.server.MustRun("curl", "-sf", "http://127.0.0.1:4201/metrics"); !strings.Contains(out, `b1000_storage_restic_snapshots{client="web1"} 2`) {
		t.Errorf("metrics:\n%s", out)
	}
	if !strings.Contains(s.log(), "web1: restic: has saved snapshot") {
		t.Errorf("log of the server:\n%s", s.log())
	}
	s.web1.MustRun("sh", "-c", "head -c 30000000 /dev/urandom >/srv/data/big; sed -i 's/^include/bwlimit = 2m\\ninclude/' /etc/b1000/b1000.cfg")
	s.web1.MustRun("systemctl", "start", "--no-block", "b1000@data")
	packs := func() int {
		return len(strings.Fields(s.server.MustRun("sh", "-c", "find /srv/store/web1/.restic/data -type f")))
	}
	before := packs()
	s.server.Wait("packs come in", func() bool { return packs() > before })
	s.server.MustRun("systemctl", "kill", "-s", "KILL", "b1000-storage.service")
	s.web1.Wait("the run is over", func() bool { return property(s.web1, "b1000@data.service", "ActiveState") != "activating" })
	if got := property(s.web1, "b1000@data.service", "Result"); got != "success" {
		t.Fatalf("%s:\n%s\n%s", got, s.web1.Journal("-u", "b1000@data", "-o", "cat"), s.log())
	}
	s.web1.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/again")
	equal(t, s.web1.Root+"/srv/data", s.web1.Root+"/srv/again/data")
	s.resticDeletes(t, by)
}

// resticDeletes checks that a client removes nothing from its repository, until
// its file allows that.
func (s stores) resticDeletes(t *testing.T, by func(verb ...string) []string) {
	t.Helper()
	snapshots := func() []string { // those of one time come in any order
		ids := regexp.MustCompile(`"short_id":"\w+"`).FindAllString(s.web1.MustRun(by("snapshots", "--json")...), -1)
		slices.Sort(ids)
		return ids
	}
	before := snapshots()
	if len(before) != 4 {
		t.Fatalf("snapshots: %v", before)
	}
	fails(t, s.web1, "403", by("forget", "--keep-last", "1", "--group-by", "", "--prune")...)
	if got := snapshots(); !slices.Equal(got, before) {
		t.Errorf("append-only: before %v, after %v", before, got)
	}
	s.web1.MustRun(by("check", "--read-data")...)
	s.web1.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/refused")
	equal(t, s.web1.Root+"/srv/data", s.web1.Root+"/srv/refused/data")
	s.server.Write("/etc/b1000/clients/web1", "ssl_peer_cn = web1\nrestic = full\n", 0o600)
	s.web1.MustRun(by("forget", "--keep-last", "1", "--group-by", "", "--prune")...)
	if got := snapshots(); len(got) != 1 {
		t.Errorf("with restic = full there are left: %v", got)
	}
}

// As a user of its own the server keeps owners in attributes, and gives them back.
func TestOnHostsTheServerRunsAsAUserOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	h := s.server
	s.asUser("b1000-storage")
	s.web1.MustRun("systemctl", "start", "b1000@data")
	s.web1.MustRun("sh", "-c", "echo more >>/srv/data/log")
	s.web1.MustRun("systemctl", "start", "b1000@data")
	if n := len(s.kept("web1")); n != 2 {
		t.Fatalf("%d backups:\n%s", n, s.log())
	}
	if got := strings.TrimSpace(h.MustRun("sh", "-c", "find /srv/store/web1 ! -user b1000-storage | head -3; ps -o user= -C b1000d")); got != "b1000-s+" && got != "b1000-storage" {
		t.Errorf("owners and processes that are not its own: %s", got)
	}
	s.web1.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/back")
	equal(t, s.web1.Root+"/srv/data", s.web1.Root+"/srv/back/data")
	s.unchangedTakesNothing(t)
	if out := h.MustRun("systemd-analyze", "security", "--no-pager", "b1000-storage.service"); out != "" {
		lines := strings.Split(strings.TrimSpace(out), "\n")
		t.Log(lines[len(lines)-1])
	}
}

// asUser has the server run as a user of its own.
func (s stores) asUser(name string) {
	h := s.server
	h.MustRun("systemd-sysusers")
	h.MustRun("chown", "-R", name+":", "/srv/store", "/etc/b1000/clients", "/etc/b1000/tls")
	h.MustRun("chown", name+":", "/etc/b1000", "/etc/b1000/b1000.cfg")
	h.Write("/etc/systemd/system/b1000-storage.service.d/user.conf", "[Service]\nUser="+name+"\nCapabilityBoundingSet=\n", 0o644)
	h.MustRun("systemctl", "daemon-reload")
}

// unchangedTakesNothing makes two backups of a tree with entries of all kinds, of
// which the second is links and directories only. Both are what the source is.
func (s stores) unchangedTakesNothing(t *testing.T) {
	t.Helper()
	s.web1.MustRun("sh", "-ec", `cd /srv/data
		head -c 4000000 /dev/urandom >big; mkfifo -m 640 fifo; ln -s /nowhere/at/all away; ln big second
		chown -h 77:78 big fifo away; chmod 6711 big; mkdir -m 2750 shared; echo x >shared/file; chown -R 79 shared
		setfattr -n trusted.b1000 -v 1 big; setfattr -n user.b1000 -v 1 shared; setfacl -m u:33:rw shared/file; setfacl -m u:33:rx,d:u:34:rx shared
		find . -exec touch -h -d 2020-01-01 {} +`)
	used := func() (kib int) {
		text := s.server.MustRun("du", "-sk", "--apparent-size", "/srv/store/web1")
		if _, err := fmt.Sscan(text, &kib); err != nil {
			t.Fatal(err)
		}
		return kib
	}
	s.web1.MustRun("systemctl", "start", "b1000@data")
	before := used()
	s.web1.MustRun("systemctl", "start", "b1000@data")
	if more := used() - before; more > 1000 {
		t.Errorf("an unchanged backup takes %d KiB more", more)
	}
	const single = `cd /srv/store/web1/data && find "$(ls -d */web1-* | tail -1)" ! -type d -links 1`
	if got := s.server.MustRun("sh", "-c", single); got != "" {
		t.Errorf("not linked:\n%s", got)
	}
	s.web1.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/again")
	equal(t, s.web1.Root+"/srv/data", s.web1.Root+"/srv/again/data")
	list := s.web1.MustRun("b1000ctl", "show", "data@latest")
	for _, want := range []string{"prw-r-----", "-rws--s--x", "drwxr-s---", "/nowhere/at/all"} {
		if !strings.Contains(list, want) {
			t.Errorf("%s is not listed:\n%s", want, list)
		}
	}
	s.server.MustRun("sh", "-c", "echo 'allow = backup list show restore verify' >>/etc/b1000/clients/web1")
	s.web1.MustRun("b1000ctl", "verify", "data@latest")
}
