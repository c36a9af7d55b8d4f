package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync/rsynctest"
)

// fleet is many clients that one pull job fetches from; each serves its reports
// and its backup below a directory of its own.
type fleet struct {
	*site
	self  string
	names []string
	start time.Time
}

func newFleet(t *testing.T, n int, options string) *fleet {
	t.Helper()
	s := newSite(t)
	f := &fleet{site: s, start: time.Now().Truncate(time.Second)}
	var err error
	f.self, err = os.Hostname()
	s.must(err)
	s.must(os.Mkdir(s.dir+"/stor", 0o755))
	for i := range n {
		name := fmt.Sprintf("web%d", i+1)
		f.names = append(f.names, name)
		s.must(os.MkdirAll(s.dir+"/clients/"+name+"/reports", 0o755))
		s.write("clients/"+name+"/backup/name", name+"\n")
		s.write("clients/"+name+"/backup/deep/er", strings.Repeat(name, 1000))
	}
	d := rsynctest.Serve(t, "[clients]\npath = "+s.dir+"/clients\nread only = no\n")
	s.write("b1000.cfg", strings.ReplaceAll(storageHead, "DIR/storage", "DIR/status")+`[job:ext]
direction = pull
type = full
dest = local
report = main
hosts = `+strings.Join(f.names, " ")+`
report_source = `+d.URL+`/clients/$client/reports
include = `+d.URL+`/clients/$client/backup
report_poll_wait = 1
report_poll_retries = 60
`+options)
	return f
}

// client is one of the fleet, an original.
func (f *fleet) client(name, instance string) original {
	return original{site: f.site, dir: f.dir + "/clients/" + name + "/reports", job: "ext", instance: instance, host: name, to: f.self, start: f.start}
}

// stored demands that each client has n backups, each equal to its data.
func (f *fleet) stored(names []string, n int) {
	f.Helper()
	found := map[string][]string{}
	for _, e := range f.list("stor") {
		if e.State == report.Complete {
			found[e.Manifest.Host] = append(found[e.Manifest.Host], e.Location)
		}
	}
	for _, name := range names {
		if len(found[name]) != n {
			f.Errorf("%s: %d backups, want %d", name, len(found[name]), n)
		}
		for _, tree := range found[name] {
			same(f.T, f.dir+"/clients/"+name+"/backup", tree+"/backup")
		}
	}
}

// One client that is not ready, and one that cannot be asked, hold nobody up.
func TestPullFromManyClients(t *testing.T) {
	f := newFleet(t, 10, "parallel = 2\n")
	slow, gone, rest := f.names[0], f.names[1], f.names[2:]
	f.must(os.Rename(f.dir+"/clients/"+gone, f.dir+"/gone"))
	f.client(slow, "").write("PRE", "OK", "INIT")
	for _, name := range rest {
		f.client(name, "").write("COPYING", "OK", "COPYING")
	}
	r := f.inFile()
	for _, name := range rest {
		if said := f.client(name, "").answer(); said != "done" {
			t.Errorf("%s: %s", name, said)
		}
	}
	f.stored(rest, 1)
	f.client(slow, "").write("COPYING", "OK", "COPYING")
	if said := f.client(slow, "").answer(); said != "done" {
		t.Errorf("%s: %s", slow, said)
	}
	f.until("the last row", func() bool { return len(f.rows()) == 9 })
	f.must(os.Rename(f.dir+"/gone", f.dir+"/clients/"+gone))
	f.client(gone, "").write("PRE", "FAILED", "INIT") // before the first look that works
	f.must(r.cmd.Process.Signal(syscall.SIGTERM))
	_ = r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != 130 {
		t.Errorf("exit status %d", got)
	}
	f.stored(append(rest, slow), 1)
	f.stored([]string{gone}, 0)
	for _, name := range f.names {
		want := map[bool]report.Status{true: report.Failed, false: report.OK}[name == gone]
		if got := f.last("ext", name); got.Status != want || got.Host != name || got.Client != name {
			t.Errorf("%s: %+v", name, got)
		}
	}

	// One of them by its name.
	o := f.client(slow, "")
	o.start = o.start.Add(time.Hour)
	o.write("COPYING", "OK", "COPYING")
	f.b1000(0, "ext/"+slow)
	f.stored([]string{slow}, 2)
}

// inFile starts the program with its output in a file.
func (f *fleet) inFile() *end {
	f.Helper()
	p := pair{site: f.site}
	return p.startWith("b1000.cfg")
}

// No client can speak for another, whatever it calls itself.
func TestPullFromAClientThatCallsItselfAnother(t *testing.T) {
	f := newFleet(t, 2, "")
	for _, name := range f.names {
		o := f.client(name, "")
		o.host = "web1"
		o.write("COPYING", "OK", "COPYING")
	}
	f.b1000(0)
	f.stored(f.names, 1)
	hosts := map[string]bool{}
	for _, r := range f.rows() {
		hosts[r.Host] = true
	}
	if len(hosts) != 2 || !hosts["web2"] {
		t.Errorf("rows of %v", hosts)
	}
}

// Each instance of each client is a run of its own.
func TestPullOfInstances(t *testing.T) {
	f := newFleet(t, 2, "instances = 3306 3307\n")
	for _, name := range f.names {
		for _, instance := range []string{"3306", "3307"} {
			f.client(name, instance).write("COPYING", "OK", "COPYING")
		}
	}
	f.b1000(0)
	f.stored(f.names, 2)
	if got := f.last("ext", "web2:3307"); got.Host != "web2" || got.Instance != "3307" || got.Status != report.OK {
		t.Errorf("got %+v", got)
	}
	if trees, _ := filepath.Glob(f.dir + "/stor/ext/*/web1-3306-*"); len(trees) != 1 {
		t.Errorf("trees: %q", trees)
	}
}

// Fifty clients that are ready at once: the time and memory are in the log.
func TestPullFromFiftyClients(t *testing.T) {
	f := newFleet(t, 50, "")
	for _, name := range f.names {
		f.client(name, "").write("COPYING", "OK", "COPYING")
	}
	began := time.Now()
	r := f.inFile()
	r.wait(0)
	usage, ok := r.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("no usage")
	}
	t.Logf("50 clients in %v, at most %d KiB in b1000 itself, %v of processor time with all rsyncs", time.Since(began).Round(10*time.Millisecond), usage.Maxrss,
		time.Duration(usage.Utime.Nano()+usage.Stime.Nano()))
	f.stored(f.names, 1)
}
