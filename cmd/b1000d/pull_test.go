package main

import (
	"crypto/x509"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/mtls/mtlstest"
	"b1000/internal/testhost"
)

const tlsLines = "tls_cert = /etc/b1000/own.pem\ntls_key = /etc/b1000/own.key\ntls_ca = /etc/b1000/ca.pem\n"

// giveCertificate puts a certificate onto a host, and the authority that it
// trusts.
func giveCertificate(t *testing.T, h *testhost.Host, ca *mtlstest.CA, trusted, name string, edit func(*x509.Certificate)) {
	t.Helper()
	cert, key := ca.Issue(t, name, edit)
	h.Copy(cert, "/etc/b1000/own.pem")
	h.Copy(key, "/etc/b1000/own.key")
	h.Copy(trusted, "/etc/b1000/ca.pem")
}

// fetches makes a host one that fetches from the client.
func fetches(h *testhost.Host, lines string) {
	if !strings.Contains(lines, "report_poll_retries") {
		lines = "report_poll_retries = 30\n" + lines
	}
	h.Write("/etc/b1000/b1000.cfg", `[dest:local]
type = active
path = /srv/stor1/b1000
[job:ext]
direction = pull
type = full
dest = local
report_source = rsync://web1:8730/reports
copy_retries = 0
report_poll_wait = 1
include = rsync://web1:8730/share
`+lines, 0o600)
}

// makeDirs makes the directories that the configurations name.
func (f fleet) makeDirs() {
	f.client.MustRun("mkdir", "-p", "/srv/b1000/reports")
	f.storage.MustRun("mkdir", "-p", "/srv/stor1/b1000")
}

// stored is the one backup that the storage host has of the client.
func (f fleet) stored(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(f.storage.Root + "/srv/stor1/b1000/ext/*/web1-*")
	if err != nil || len(found) != 1 {
		t.Fatalf("backups: %v, %v", found, err)
	}
	return strings.TrimPrefix(found[0], f.storage.Root)
}

func property(h *testhost.Host, unit, name string) string {
	return strings.TrimSpace(h.MustRun("systemctl", "show", "-P", name, "--", unit))
}

// ended waits until the client's run is over, and returns its result.
func (f fleet) ended() string {
	f.client.Wait("the client's run ends", func() bool {
		state := property(f.client, "b1000@ext.service", "ActiveState")
		return state == "inactive" || state == "failed"
	})
	return property(f.client, "b1000@ext.service", "Result")
}

const restored = "/srv/restored"

// pulled checks a pull that has ended well on both sides: what is stored, and
// what is restored from it, equals the share.
func (f fleet) pulled(t *testing.T) {
	t.Helper()
	f.same(t, f.stored(t))
	f.storage.MustRun("b1000ctl", "restore", "ext@latest", "--to", restored)
	f.same(t, restored)
	if got := f.ended(); got != "success" {
		t.Errorf("the client's run: %s\n%s", got, f.client.Journal("-u", "b1000@ext.service", "-o", "cat"))
	}
	left, err := exec.Command("ls", "-A", f.client.Root+"/srv/b1000/reports").CombinedOutput()
	if err != nil || len(left) > 0 {
		t.Errorf("reports that are left: %s, %v", left, err)
	}
	if log := f.log(); strings.Contains(log, "refused") || strings.Contains(log, "not started") {
		t.Errorf("log of the client:\n%s", log)
	}
}

func TestOnHostsAWaitingPassiveJobIsPulled(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct{ name, lines string }{{"plain", ""}, {"TLS", tlsLines}} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind.lines+"pre = echo dumped >/srv/ext/dump\npost = touch /root/post-was-run\n")
			fetches(f.storage, kind.lines)
			ca := mtlstest.New(t, "authority")
			giveCertificate(t, f.client, ca, ca.File, "web1", nil)
			giveCertificate(t, f.storage, ca, ca.File, "backup-2", nil)
			f.boot()
			f.makeDirs()
			f.client.MustRun("systemctl", "start", "--no-block", "b1000@ext.service")
			f.storage.MustRun("b1000", "ext")
			f.pulled(t)
			if !exists(f.client, "/root/post-was-run")() || !exists(f.storage, f.stored(t)+"/dump")() {
				t.Error("pre or post was not run")
			}
		})
	}
}

func TestOnHostsAPullStartsThePassiveJob(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct{ name, lines string }{{"plain", ""}, {"TLS", tlsLines}} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind.lines+"on_demand = yes\npre = echo dumped >/srv/ext/dump\n")
			fetches(f.storage, kind.lines)
			ca := mtlstest.New(t, "authority")
			giveCertificate(t, f.client, ca, ca.File, "web1", nil)
			giveCertificate(t, f.storage, ca, ca.File, "backup-2", nil)
			f.boot()
			f.makeDirs()
			f.storage.MustRun("b1000", "ext")
			f.pulled(t)
			f.storage.MustRun("rm", "-r", restored, "/srv/stor1/b1000/ext")
			f.client.MustRun("sh", "-c", "echo more >>/srv/ext/big")
			f.storage.MustRun("b1000", "ext")
			f.pulled(t)
			if n := strings.Count(f.log(), "started, because its report is looked for"); n != 2 {
				t.Errorf("the job was started %d times:\n%s", n, f.log())
			}
		})
	}
}

func TestOnHostsAWrongCertificateIsNamedOnBothSides(t *testing.T) {
	t.Parallel()
	f := newFleet(t, tlsLines)
	ca, other := mtlstest.New(t, "authority"), mtlstest.New(t, "another authority")
	giveCertificate(t, f.client, ca, ca.File, "web1", nil)
	for _, h := range []*testhost.Host{f.storage, f.stranger} {
		fetches(h, strings.Replace(tlsLines, "tls_", "report_poll_retries = 1\ntls_", 1))
	}
	f.boot()
	f.makeDirs()
	for _, test := range []struct {
		name               string
		issuer             *mtlstest.CA
		certificate        string
		edit               func(*x509.Certificate)
		onClient, onPuller string
	}{
		{"another name", ca, "stranger", nil, `certificate of "stranger": not admitted; wanted is backup-2`, "it does not admit the name in it"},
		{"expired", ca, "backup-2", mtlstest.Expired, `certificate of "backup-2": valid from`, "it has expired"},
		{"another authority", other, "backup-2", nil, `not issued by our tls_ca but by "another authority"`, "its tls_ca is not the authority that issued it"},
	} {
		since := time.Now()
		giveCertificate(t, f.stranger, test.issuer, ca.File, test.certificate, test.edit)
		fails(t, f.stranger, test.onPuller, "b1000", "ext")
		log := f.client.Journal("-u", "b1000-passive@ext.service", "-o", "cat", "--since", since.UTC().Format("2006-01-02 15:04:05 UTC"))
		if !strings.Contains(log, test.onClient) {
			t.Errorf("%s: the client's log lacks %q:\n%s", test.name, test.onClient, log)
		}
	}
	giveCertificate(t, f.storage, ca, other.File, "backup-2", nil)
	fails(t, f.storage, `certificate of "web1": not issued by our tls_ca`, "b1000", "ext")
	fails(t, f.stranger, "", "rsync", "rsync://web1:8730/")
	if log := f.log(); !strings.Contains(log, "it does not speak TLS") {
		t.Errorf("log:\n%s", log)
	}
}
