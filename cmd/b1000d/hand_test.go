package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/mtls/mtlstest"
)

func TestUsageIsToldWithTwo(t *testing.T) {
	dir := t.TempDir()
	cfg := filepath.Join(dir, "b1000.cfg")
	write(t, cfg, "[dest:d]\ntype = active\npath = /srv\n[dest:p]\ntype = passive\nhost = h\n[report:r]\ntype = file\npath = /r\n"+
		"[job:push]\ndirection = push\ntype = full\ndest = d\ninclude = /etc\n"+
		"[job:quiet]\ndirection = passive\ndest = p\nreport = r\n"+
		"[job:half]\ndirection = passive\ndest = p\nreport = r\nlisten = 1\ntls_cert = /c\n")
	for want, args := range map[string]string{
		"no role is named":                    "",
		`"storag" is not a role`:              "storag",
		"passive takes the name of one job":   "passive",
		"unknown flag: --nonsense":            "--nonsense",
		"connect takes CERT KEY CA HOST PORT": "connect web1",
		`job "nix": not in the configuration`: "-f " + cfg + " passive nix",
		"only a passive job is served":        "-f " + cfg + " passive -- push",
		"serves nothing; set listen":          "-f " + cfg + " passive quiet",
		"tls_cert, tls_key and tls_ca belong": "-f " + cfg + " passive half",
		"name another with -f":                "-f " + dir + "/none passive ext",
		"tls_cert /none, tls_key /none: open": "connect /none /none /none web1 8730",
	} {
		var stderr bytes.Buffer
		p := program{args: strings.Fields(args), stdin: strings.NewReader(""), stdout: &stderr, stderr: &stderr, getenv: func(string) string { return "" }}
		if code := p.run(t.Context()); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("b1000d %s: exit %d; want %q:\n%s", args, code, want, stderr.String())
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without systemd: b1000d listens by itself, and the job is its child.
func TestByHandAPullStartsThePassiveJob(t *testing.T) {
	dir := t.TempDir()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	ca := mtlstest.New(t, "authority")
	lines := func(cn string) string {
		cert, key := ca.Issue(t, cn, nil)
		return fmt.Sprintf("tls_cert = %s\ntls_key = %s\ntls_ca = %s\n", cert, key, ca.File)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	free.Close()
	for _, d := range []string{"reports", "stored", "share"} {
		write(t, filepath.Join(dir, d, ".keep"), "")
	}
	write(t, dir+"/client/b1000.cfg", fmt.Sprintf(`[global]
status_dir = %[1]s/client/status
[report:r]
type = file
path = %[1]s/reports
[dest:atm]
type = passive
host = %[2]s
timeout = 60
[job:ext]
direction = passive
dest = atm
report = r
pre = echo dumped >%[1]s/share/dump
listen = %[3]s
share = %[1]s/share
on_demand = yes
`, dir, name, address)+lines("localhost"))
	write(t, dir+"/storage/b1000.cfg", fmt.Sprintf(`[global]
status_dir = %[1]s/storage/status
copy_retries = 0
[report:db]
type = sqlite
path = %[1]s/storage/reports.db
[dest:local]
type = active
path = %[1]s/stored
[job:ext]
direction = pull
type = full
dest = local
report = db
report_source = rsync://localhost:%[2]s/reports
report_poll_wait = 1
report_poll_retries = 60
include = rsync://localhost:%[2]s/share
`, dir, port)+lines(name))
	programs := os.Getenv(programsIn)
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	daemon := exec.CommandContext(ctx, programs+"/b1000d", "-f", dir+"/client/b1000.cfg", "passive", "ext")
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, programs+"/b1000", "-f", dir+"/storage/b1000.cfg", "ext").CombinedOutput()
	if err != nil {
		t.Errorf("pull: %v\n%s", err, out)
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("b1000d: %v", err)
	}
	stored, err := filepath.Glob(dir + "/stored/ext/*/*-*/dump")
	if err != nil || len(stored) != 1 {
		t.Fatalf("stored: %v, %v\n%s\n%s", stored, err, out, log.String())
	}
	if diff, err := exec.Command("rsync", "-naicHAX", "--delete", dir+"/share/", filepath.Dir(stored[0])+"/").CombinedOutput(); err != nil || len(diff) > 0 {
		t.Errorf("stored differs: %v\n%s", err, diff)
	}
	if !strings.Contains(log.String(), "started, because its report is looked for") {
		t.Errorf("log:\n%s", log.String())
	}
}
