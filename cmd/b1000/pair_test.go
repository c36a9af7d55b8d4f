package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"b1000/internal/report"
	"b1000/internal/rsync/rsynctest"
	"b1000/internal/state"
)

// pair is a client and a storage host on one machine: client.cfg and
// storage.cfg, and a daemon, set up by hand, that serves the client's reports
// and backup.
type pair struct {
	*site
	daemon *rsynctest.Daemon
	host   string // what this machine is called
}

// The manual's two ends. In them DIR is the site's directory, HOST this
// machine's name, URL the daemon.
const (
	clientHead = `[global]
status_dir = DIR/client
scripts_dir = DIR/scripts
[report:localfile]
type = file
path = DIR/reports
[dest:atm]
type = passive
host = HOST
timeout = 60
`
	clientJob = `[job:ext]
direction = passive
dest = atm
report = localfile
pre = $scripts_dir/ext_dump.sh
post = echo post >>DIR/posts
`
	storageHead = `[global]
status_dir = DIR/storage
copy_retries = 0
copy_retry_min_sleep = 1
[report:main]
type = sqlite
path = DIR/reports.db
[dest:local]
type = active
path = DIR/stor
verbosity = 1
[dest:second]
type = active
path = DIR/second
`
	storageJob = `[job:system]
direction = pull
type = full
dest = local
report_source = URL/reports
report_poll_wait = 1
report_poll_retries = 30
report = main
include = URL/backup
exclude = *.tmp *.log
`
	dumpScript = "#!/bin/sh\necho dump $(date) >DIR/etc/dump\n"
)

func newPair(t *testing.T) *pair {
	t.Helper()
	s := newSite(t)
	for _, dir := range []string{"reports", "stor", "second", "scripts"} {
		s.must(os.Mkdir(s.dir+"/"+dir, 0o755))
	}
	host, err := os.Hostname()
	s.must(err)
	p := &pair{site: s, host: host}
	p.daemon = rsynctest.Serve(t, "[reports]\npath = "+s.dir+"/reports\nread only = no\n[backup]\npath = "+s.src+"\n")
	p.put("client.cfg", clientHead+clientJob)
	p.put("storage.cfg", storageHead+storageJob)
	p.put("scripts/ext_dump.sh", dumpScript)
	s.must(os.WriteFile(s.src+"/left.tmp", nil, 0o644))
	return p
}

// put writes a file with the pair's names in it.
func (p *pair) put(name, text string) {
	p.Helper()
	p.write(name, strings.NewReplacer("HOST", p.host, "URL", p.daemon.URL).Replace(text))
}

func (p *pair) client(args ...string) *end {
	p.Helper()
	return p.startWith("client.cfg", args...)
}

func (p *pair) storage(args ...string) *end {
	p.Helper()
	return p.startWith("storage.cfg", args...)
}

// end is one of the two at work.
type end struct {
	*site
	cmd *exec.Cmd
	out string // file of what it prints
}

func (p *pair) startWith(cfg string, args ...string) *end {
	p.Helper()
	out, err := os.CreateTemp(p.dir, cfg+".*.out")
	p.must(err)
	defer out.Close()
	e := &end{site: p.site, out: out.Name(), cmd: exec.Command("b1000", append([]string{"-f", p.dir + "/" + cfg}, args...)...)}
	e.cmd.Env = append(os.Environ(), p.env...)
	e.cmd.Stdout, e.cmd.Stderr = out, out
	p.must(e.cmd.Start())
	p.Cleanup(func() { _ = e.cmd.Process.Kill() })
	return e
}

func (e *end) said() string {
	e.Helper()
	b, err := os.ReadFile(e.out)
	e.must(err)
	return string(b)
}

// wait waits for the end and demands an exit status; -1 is a signal.
func (e *end) wait(status int) string {
	e.Helper()
	_ = e.cmd.Wait()
	if got := e.cmd.ProcessState.ExitCode(); got != status {
		e.Fatalf("exit status %d, want %d:\n%s", got, status, e.said())
	}
	return e.said()
}

func (e *end) signal(sig syscall.Signal) {
	e.Helper()
	e.must(e.cmd.Process.Signal(sig))
}

// fetched demands n complete backups, the last one equal to the client's data but
// for what is excluded.
func (p *pair) fetched(dir string, n int) string {
	p.Helper()
	tree := p.want(dir, n)
	want := p.TempDir() + "/want"
	p.copyTree(p.src, want)
	p.must(os.Remove(want + "/left.tmp"))
	info, err := os.Stat(p.src)
	p.must(err)
	p.must(os.Chtimes(want, info.ModTime(), info.ModTime()))
	same(p.T, want, tree)
	return tree
}

// lastOf is the last run that one of the two ends remembers.
func (p *pair) lastOf(end, job, part string) report.Run {
	p.Helper()
	d, err := state.Open(p.dir + "/" + end)
	p.must(err)
	l, ok, err := d.Last(job, part)
	p.must(err)
	if !ok {
		p.Fatalf("%s: no last run of %s", end, report.JobName(job, part))
	}
	return l.Run
}

// only is the one file that a pattern matches.
func (p *pair) only(pattern string) string {
	p.Helper()
	found, _ := filepath.Glob(p.dir + "/" + pattern)
	if len(found) != 1 {
		p.Fatalf("%s: %q", pattern, found)
	}
	return found[0]
}

func namesOf(list []os.DirEntry) (names []string) {
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// noReports demands that the report directory is empty.
func (p *pair) noReports() {
	p.Helper()
	if left, _ := filepath.Glob(p.dir + "/reports/*"); len(left) > 0 {
		p.Errorf("left in the report directory: %q", left)
	}
}

// report is the text of the client's report file, "" where there is none.
func (p *pair) report() string {
	files, _ := filepath.Glob(p.dir + "/reports/*.b1k")
	if len(files) != 1 {
		return ""
	}
	b, _ := os.ReadFile(files[0])
	return string(b)
}
