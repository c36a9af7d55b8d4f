package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// programsIn names the variable with the directory of the programs.
const programsIn = "B1000_TEST_PROGRAMS"

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "b1000-programs")
	if err == nil {
		defer os.RemoveAll(dir)
		err = testhost.Build(context.Background(), dir, "b1000", "b1000ctl", "b1000d", "b1000-generator")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(programsIn, dir)
	return m.Run()
}

// fleet are a client, the storage host that fetches from it, and a third host,
// on one network.
type fleet struct{ client, storage, stranger *testhost.Host }

const hostsFile = "127.0.0.1 localhost\n10.77.0.1 web1\n10.77.0.2 backup-2\n10.77.0.3 stranger\n"

// newFleet makes the three hosts, off. The client has the manual's passive job,
// which listens.
func newFleet(t *testing.T, jobLines string) fleet {
	t.Helper()
	network := testhost.NewNetwork(t)
	at := func(name, address string) *testhost.Host {
		h := testhost.New(t, testhost.Options{Name: name, Network: network, Address: address})
		h.Install(os.Getenv(programsIn))
		h.Write("/etc/hosts", hostsFile, 0o644)
		return h
	}
	f := fleet{at("web1", "10.77.0.1/24"), at("backup-2", "10.77.0.2/24"), at("stranger", "10.77.0.3/24")}
	f.client.Write("/etc/b1000/b1000.cfg", `[report:localfile]
type = file
path = /srv/b1000/reports
[dest:atm]
type = passive
host = backup-2
timeout = 60
[job:ext]
direction = passive
dest = atm
report = localfile
listen = 8730
share = /srv/ext
`+jobLines, 0o600)
	f.client.Write("/srv/ext/fill", `#!/bin/sh -ex
cd /srv/ext
mkdir -p "a b" secret; echo precious >"a b/file"; echo private >secret/file
chown -R 1234:5678 secret; chmod 700 secret; chmod 600 secret/file
cp /bin/true setuid; chmod 4755 setuid; ln setuid linked; ln -s /etc/passwd link; mkfifo pipe
setfacl -m u:1234:r "a b/file"; setfattr -n user.note -v x "a b/file"
touch -d '2020-02-02 02:02:02.123456789' "a b/file"
head -c 3000000 /dev/urandom >big
`, 0o700)
	return f
}

const (
	reportFile = "ext--2026-11-22-03-00-00.b1k"
	reportPath = "/srv/b1000/reports/" + reportFile
)

// boot starts all three at once, and fills the client's share.
func (f fleet) boot() {
	for _, h := range []*testhost.Host{f.client, f.storage, f.stranger} {
		h.Boot()
	}
	f.client.MustRun("/srv/ext/fill")
}

// same fails where what the storage host has fetched differs from the share.
func (f fleet) same(t *testing.T, fetched string) {
	t.Helper()
	out, err := exec.Command("rsync", "-naicHAX", "--numeric-ids", "--delete", f.client.Root+"/srv/ext/", f.storage.Root+fetched+"/").CombinedOutput()
	if fetched == restored { // into a directory that is the operator's
		out = bytes.TrimPrefix(out, []byte(".d..t...... ./\n"))
	}
	if err != nil || len(out) > 0 {
		t.Errorf("%s differs from the share: %v\n%s", fetched, err, out)
	}
}

// fails runs a command that has to fail with these words.
func fails(t *testing.T, h *testhost.Host, want string, argv ...string) {
	t.Helper()
	stdout, stderr, err := h.Run(t.Context(), argv...)
	if err == nil || !strings.Contains(stdout+stderr, want) {
		t.Errorf("%v: %v; want %q:\n%s%s", argv, err, want, stdout, stderr)
	}
}

func exists(h *testhost.Host, path string) func() bool {
	return func() bool { _, err := os.Lstat(filepath.Join(h.Root, path)); return err == nil }
}

func (f fleet) log() string { return f.client.Journal("-u", "b1000-passive@ext.service", "-o", "cat") }

func TestOnHostsTheUnitsVerifyAndTheServiceIsConfined(t *testing.T) {
	t.Parallel()
	h := testhost.New(t, testhost.Options{Name: "web1"})
	h.Install(os.Getenv(programsIn))
	f := newFleetConfig(h)
	h.Boot()
	stdout, stderr, err := h.Run(t.Context(), "systemd-analyze", "verify", "/usr/lib/systemd/system/b1000-passive@.service",
		"/run/systemd/generator/b1000-passive@ext.socket", "/run/systemd/generator/b1000-passive@a-b.c.socket")
	if stdout+stderr != "" || err != nil {
		t.Errorf("verify: %v\n%s%s", err, stdout, stderr)
	}
	if log := h.Journal("-b", "_PID=1", "-p", "warning"); strings.Contains(log, "/systemd/") {
		t.Errorf("systemd complains:\n%s", log)
	}
	// In tenths: 0 is nothing left to abuse, 100 everything.
	if out, errOut, err := h.Run(t.Context(), "systemd-analyze", "security", "--threshold=30", "b1000-passive@ext.service"); err != nil {
		t.Errorf("security: %v\n%s%s", err, out, errOut)
	}
	for _, job := range f {
		if got := strings.TrimSpace(h.MustRun("systemctl", "is-active", "b1000-passive@"+job+".socket")); got != "active" {
			t.Errorf("socket of %s is %s", job, got)
		}
	}
}

// newFleetConfig configures two passive jobs that listen, and returns their names.
func newFleetConfig(h *testhost.Host) []string {
	const head = "[report:r]\ntype = file\npath = /srv/reports\n[dest:d]\ntype = passive\nhost = backup-2\n"
	const job = "[job:%s]\ndirection = passive\ndest = d\nreport = r\nlisten = %s\n"
	h.Write("/etc/b1000/b1000.cfg", head+fmt.Sprintf(job, "ext", "8730")+fmt.Sprintf(job, "a-b.c", "192.0.2.1:8731"), 0o600)
	return []string{"ext", "a-b.c"}
}

func TestOnHostsTheStorageHostFetchesAndAThirdIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "")
	f.client.Write(reportPath, "[jobstatus:ext]\n", 0o644)
	f.client.Write("/srv/b1000/reports/notes.txt", "private\n", 0o600)
	f.boot()
	s := f.storage
	s.MustRun("rsync", "-a", "rsync://web1:8730/reports/ext--*.b1k", "/srv/got/")
	if got, err := os.ReadFile(s.Root + "/srv/got/" + reportFile); err != nil || string(got) != "[jobstatus:ext]\n" {
		t.Errorf("report: %q, %v", got, err)
	}
	s.MustRun("rsync", "-aHAX", "--numeric-ids", "rsync://web1:8730/share/", "/srv/share/")
	f.same(t, "/srv/share")

	s.MustRun("touch", "/root/"+reportFile+".backup-2.done", "/root/other")
	fails(t, s, "read only", "rsync", "-a", "/root/other", "rsync://web1:8730/share/")
	fails(t, s, "refuse --delete", "rsync", "-a", "--delete", "/var/empty/", "rsync://web1:8730/reports/")
	fails(t, s, "refused to receive", "rsync", "-a", "/root/other", "rsync://web1:8730/reports/")
	fails(t, s, "Operation not permitted", "rsync", "-a", "-I", "/srv/got/"+reportFile, "rsync://web1:8730/reports/")
	fails(t, s, "", "rsync", "-a", "rsync://web1:8730/share/../../etc/shadow", "/srv/got/")
	fails(t, s, "", "rsync", "-aL", "rsync://web1:8730/share/link", "/srv/got/")
	fails(t, s, "", "rsync", "-a", "rsync://web1:8730/reports/notes.txt", "/srv/got/")
	f.same(t, "/srv/share")

	s.MustRun("rsync", "-a", "/root/"+reportFile+".backup-2.done", "rsync://web1:8730/reports/")
	f.client.Wait("the result arrives", exists(f.client, reportPath+".backup-2.done"))

	fails(t, f.stranger, "", "rsync", "rsync://web1:8730/")
	fails(t, f.stranger, "", "rsync", "-a", "rsync://web1:8730/share/", "/srv/stolen/")
	if log := f.log(); strings.Count(log, "10.77.0.3") != 2 || strings.Count(log, "refused: that is not the host that may fetch, backup-2") != 2 {
		t.Errorf("two refusals make two lines:\n%s", log)
	}
	if out := f.client.MustRun("systemctl", "status", "b1000-passive@ext.service"); !strings.Contains(out, `Status: "waiting for backup-2"`) {
		t.Errorf("status:\n%s", out)
	}
}

func TestOnHostsAPeerThatNeverSpeaksIsCutAndTheServiceEndsWhenIdle(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "")
	f.boot()
	// No reports yet, so the service would end at once: this is about the minute.
	f.client.MustRun("mkdir", "-p", "/srv/b1000/reports")
	open := []string{"bash", "-c", "exec 3<>/dev/tcp/web1/8730; cat <&3"}
	if out := f.storage.MustRun(open...); !strings.HasPrefix(out, "@RSYNCD: ") {
		t.Errorf("got %q", out)
	}
	if log := f.log(); !strings.Contains(log, "cut: it has not said what it wants within 20s") {
		t.Errorf("log:\n%s", log)
	}
	state := func() string {
		return strings.TrimSpace(f.client.MustRun("systemctl", "show", "-P", "ActiveState", "b1000-passive@ext.service"))
	}
	if got := state(); got != "active" {
		t.Errorf("the service is %s just after a connection", got)
	}
	f.client.Wait("it ends", func() bool { return state() == "inactive" })
	f.storage.MustRun("rsync", "-aHAX", "--numeric-ids", "rsync://web1:8730/share/", "/srv/share/")
	f.same(t, "/srv/share")
	if got := state(); got != "active" {
		t.Errorf("the service is %s after another connection", got)
	}
}

// The directory of the reports is made by the first run; a service that was
// started before could not write there.
func TestOnHostsReportsThatAreMadeLaterCanBeAnswered(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "")
	f.boot()
	fails(t, f.storage, "No such file", "rsync", "-a", "rsync://web1:8730/reports/ext--*.b1k", "/srv/got/")
	f.client.Write(reportPath, "[jobstatus:ext]\n", 0o644)
	mark := reportFile + ".backup-2.error"
	f.storage.MustRun("touch", "/root/"+mark)
	f.client.Wait("the result arrives", func() bool {
		// It may be refused: when the result has arrived just now.
		f.storage.Run(t.Context(), "rsync", "-a", "/root/"+mark, "rsync://web1:8730/reports/")
		return exists(f.client, "/srv/b1000/reports/"+mark)()
	})
}

func TestOnHostsAChangedConfigurationIsTakenOver(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "")
	f.boot()
	f.client.MustRun("mkdir", "-p", "/srv/b1000/reports")
	served := func(h *testhost.Host) func() bool {
		return func() bool { _, _, err := h.Run(t.Context(), "rsync", "rsync://web1:8730/share/"); return err == nil }
	}
	good, err := os.ReadFile(f.client.Root + "/etc/b1000/b1000.cfg")
	if err != nil {
		t.Fatal(err)
	}
	f.storage.MustRun("rsync", "rsync://web1:8730/share/")
	f.client.Write("/etc/b1000/b1000.cfg", strings.Replace(string(good), "host = backup-2", "host = stranger", 1), 0o600)
	f.stranger.Wait("the new host is served", served(f.stranger))
	fails(t, f.storage, "", "rsync", "rsync://web1:8730/share/")

	f.client.Write("/etc/b1000/b1000.cfg", string(good)+"nonsense = 1\n", 0o600)
	f.stranger.Wait("nobody is served", func() bool { return !served(f.stranger)() })
	for range 5 {
		fails(t, f.stranger, "", "rsync", "rsync://web1:8730/share/")
	}
	if got := strings.TrimSpace(f.client.MustRun("systemctl", "is-active", "b1000-passive@ext.socket")); got != "active" {
		t.Errorf("the socket is %s", got)
	}
	if log := f.log(); !strings.Contains(log, "[job:ext] nonsense: unknown option") {
		t.Errorf("log:\n%s", log)
	}
	f.client.Write("/etc/b1000/b1000.cfg", string(good), 0o600)
	f.storage.Wait("it is served again", served(f.storage))
}
