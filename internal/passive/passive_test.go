package passive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// log is a log to look at while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client is a host that serves a passive job on loopback.
type client struct {
	Settings
	t       *testing.T
	log     *log
	address string
	url     string   // rsync://127.0.0.1:port
	shell   []string // by which rsync connects; none for a socket
	end     func() error
}

const report = "ext--2026-11-22-03-00-00.b1k"

// start serves a report directory with one report, and a share with a few files.
func start(t *testing.T, edit func(*Settings)) *client {
	t.Helper()
	dir := t.TempDir()
	c := &client{t: t, log: &log{}}
	c.Settings = Settings{
		Reports: filepath.Join(dir, "reports"), Share: filepath.Join(dir, "share"), Dir: filepath.Join(dir, "run"),
		Hosts: []string{"backup-2"}, Log: slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "backup-2" {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, nil
			}
			return nil, errors.New("no such host")
		},
	}
	write(t, filepath.Join(c.Reports, report), "[jobstatus:ext]\n")
	write(t, filepath.Join(c.Share, "a/file"), "precious\n")
	write(t, filepath.Join(dir, "outside"), "secret\n")
	if err := os.Symlink("../outside", filepath.Join(c.Share, "link")); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(&c.Settings)
	}
	s, err := New(c.Settings)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c.end = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := c.end(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(c.Dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	c.address = l.Addr().String()
	c.url = "rsync://" + c.address
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// rsync runs rsync as the pulling host does.
func (c *client) rsync(args ...string) (out string, code int) {
	c.t.Helper()
	cmd := exec.Command("rsync", append(c.shell, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (c *client) must(args ...string) {
	c.t.Helper()
	if out, code := c.rsync(args...); code != 0 {
		c.t.Fatalf("rsync %v: exit %d\n%s\n%s", args, code, out, c.log)
	}
}

// eventually waits for what another process does.
func (c *client) eventually(what string, done func() bool) {
	c.t.Helper()
	for until := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			c.t.Fatalf("waited for a minute: %s\n%s", what, c.log)
		}
	}
}

// names are the files in a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// same fails where two trees differ.
func same(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.Command("rsync", "-naicHAX", "--delete", a+"/", b+"/").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s and %s differ: %v\n%s", a, b, err, out)
	}
}

func TestAHostFetchesReportAndShareAndTellsTheResult(t *testing.T) {
	var asked []bool
	c := start(t, func(s *Settings) { s.Asked = func(context.Context) { asked = append(asked, true) } })
	got := t.TempDir()
	c.must("-a", c.url+"/reports/ext--*.b1k", got)
	if text, err := os.ReadFile(filepath.Join(got, report)); err != nil || string(text) != "[jobstatus:ext]\n" {
		t.Errorf("report: %q, %v", text, err)
	}
	c.must("-aHAX", "--numeric-ids", c.url+"/share/", filepath.Join(got, "share"))
	same(t, c.Share, filepath.Join(got, "share"))
	for _, mark := range []string{report + ".backup-2.done", report + ".backup-2.error"} {
		empty := filepath.Join(got, mark)
		write(t, empty, "")
		c.must("-a", empty, c.url+"/reports/")
		c.eventually(mark, func() bool { _, err := os.Lstat(filepath.Join(c.Reports, mark)); return err == nil })
		if out, code := c.rsync("--list-only", c.url+"/reports/"); code != 0 || strings.Contains(string(out), report) {
			t.Errorf("a report that has been answered is offered again:\n%s", out)
		}
		if err := os.Remove(filepath.Join(c.Reports, mark)); err != nil { // as the run does
			t.Fatal(err)
		}
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
	if len(asked) != 3 {
		t.Errorf("reports were looked for three times; told %d times", len(asked))
	}
	for _, want := range []string{`fetched \"share/\"`, "says " + report + ".backup-2.done"} {
		if !strings.Contains(c.log.String(), want) {
			t.Errorf("log lacks %s:\n%s", want, c.log)
		}
	}
}

func TestAFetchingHostCanDoNothingElse(t *testing.T) {
	c := start(t, nil)
	write(t, filepath.Join(c.Reports, "notes.txt"), "private\n")
	write(t, filepath.Join(c.Reports, report+".backup-3.done"), "")
	write(t, filepath.Join(c.Reports, "sub/ext--x.b1k"), "")
	if err := os.Symlink("notes.txt", filepath.Join(c.Reports, "link.b1k")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "evil\n")
	write(t, filepath.Join(dir, report), "evil\n")
	write(t, filepath.Join(dir, "empty/.keep"), "")
	if err := os.Remove(filepath.Join(dir, "empty/.keep")); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Dir(c.Share))
	mine := func(args ...string) []string { return append([]string{"-a"}, args...) }
	for _, test := range []struct {
		name, want string // want: in what rsync says
		args       []string
	}{
		{"write to the share", "read only", mine(dir+"/file", c.url+"/share/")},
		{"delete in the share", "refuse --delete", mine("--delete", dir+"/empty/", c.url+"/share/")},
		{"replace a report", "Operation not permitted", mine(dir+"/"+report, c.url+"/reports/")},
		{"replace a report in place", "Permission denied", mine("--inplace", dir+"/"+report, c.url+"/reports/")},
		{"delete reports", "refuse --delete", mine("--delete", dir+"/empty/", c.url+"/reports/")},
		{"delete what is in the way", "refuse --delete", mine("--delete-excluded", dir+"/empty/", c.url+"/reports/")},
		{"another name", "refused to receive", mine(dir+"/file", c.url+"/reports/")},
		{"another host's result", "daemon", mine(dir+"/file", c.url+"/reports/"+report+".backup-3.done")},
		{"a result of no report", "daemon", mine(dir+"/file", c.url+"/reports/nix--2026-11-22-03-00-00.b1k.backup-2.done")},
		{"above the reports", "", mine(dir+"/file", c.url+"/reports/../share/")},
		{"above the share", "", mine(c.url+"/share/../outside", dir+"/got/")},
		{"what is no report", "", mine(c.url+"/reports/notes.txt", dir+"/got/")},
		{"through a link", "", mine("-L", c.url+"/share/link", dir+"/got/")},
		{"a report that is a link", "", mine("-L", c.url+"/reports/link.b1k", dir+"/got/")},
		{"another module", "Unknown module", mine(c.url+"/etc/", dir+"/got/")},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, code := c.rsync(test.args...)
			if code == 0 || !strings.Contains(out, test.want) {
				t.Errorf("exit %d; want %q:\n%s", code, test.want, out)
			}
		})
	}
	// What is no file is taken, and nothing comes of it.
	c.must(mine(dir+"/empty/", c.url+"/reports/"+report+".backup-2.done/")...)
	if err := c.end(); err != nil {
		t.Error(err)
	}
	if after := snapshot(t, filepath.Dir(c.Share)); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if left, err := os.ReadDir(dir + "/got"); err == nil && len(left) > 0 {
		t.Errorf("got %v", left)
	}
}

// snapshot is what reports and share hold.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, top := range []string{"reports", "share", "outside"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestAReportThatIsTooLargeDoesNotKeepTheOthersBack(t *testing.T) {
	c := start(t, nil)
	large := "ext--2026-11-21-03-00-00.b1k"
	write(t, filepath.Join(c.Reports, large), strings.Repeat("x", maxReport+1))
	got := t.TempDir()
	c.must("-a", c.url+"/reports/ext--*.b1k", got)
	if names(t, got) != report || !strings.Contains(c.log.String(), "not offered: report "+large) {
		t.Errorf("got %s; log:\n%s", names(t, got), c.log)
	}
}
