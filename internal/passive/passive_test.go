package passive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	url     string // rsync://127.0.0.1:port
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
	cmd := exec.Command("rsync", args...)
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

func TestAnybodyElseIsRefusedBeforeAByteIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		hosts []string
		want  string
	}{
		"another address":         {[]string{"192.0.2.1"}, "refused: that is not the host that may fetch, 192.0.2.1"},
		"a name without address":  {[]string{"backup-9"}, "the address of backup-9: no such host"},
		"an empty list: nobody":   {nil, "which is nobody"},
		"no one of several hosts": {[]string{"192.0.2.1", "2001:db8::1"}, "192.0.2.1 or 2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, func(s *Settings) { s.Hosts = test.hosts })
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if out, code := c.rsync(c.url + "/share/"); code == 0 {
				t.Errorf("served:\n%s", out)
			}
			if err := c.end(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(strings.ReplaceAll(c.log.String(), `\n`, " "), test.want) || strings.Count(c.log.String(), "level=WARN") != 2 {
				t.Errorf("log of two refusals:\n%s", c.log)
			}
		})
	}
}

func TestAddressesOfOneHostAreEqualInEveryForm(t *testing.T) {
	s := &Server{Settings: Settings{Hosts: []string{"backup-2", "192.0.2.7", "2001:db8::7"}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("2001:db8::1")}, nil
	}}}
	for address, want := range map[string]string{
		"192.0.2.1": "backup-2", "::ffff:192.0.2.1": "backup-2", "192.0.2.2": "backup-2", "2001:db8::1": "backup-2",
		"192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::7", "192.0.2.3": "", "2001:db8::2": "", "::": "", "0.0.0.0": "",
	} {
		got, err := s.hostsAt(t.Context(), &net.TCPAddr{IP: net.ParseIP(address), Port: 4000})
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s is %v, %v; want %q", address, got, err, want)
		}
	}
}

func TestAClientThatNeverSpeaksIsCut(t *testing.T) {
	for name, words := range map[string]string{"not a word": "", "half a greeting": "@RSY", "a module and no more": greeting + "share\n"} {
		t.Run(name, func(t *testing.T) {
			c := start(t, func(s *Settings) { s.Handshake, s.Connections = 200*time.Millisecond, 1 })
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(words)); err != nil {
				t.Fatal(err)
			}
			c.eventually("it is cut", func() bool { return strings.Contains(c.log.String(), "cut: it has not said what it wants") })
			c.eventually("somebody else is served", func() bool { _, code := c.rsync(c.url + "/share/"); return code == 0 })
		})
	}
}

func TestOneConnectionTooManyIsToldSo(t *testing.T) {
	c := start(t, func(s *Settings) { s.Connections = 1 })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 8)); err != nil { // it is served
		t.Fatal(err)
	}
	out, code := c.rsync(c.url + "/share/")
	if code != 5 || !strings.Contains(out, "1 connections are served already; try again later") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	conn.Close()
	c.eventually("the next one is served", func() bool { _, code := c.rsync(c.url + "/share/"); return code == 0 })
}

func TestTheServerEndsWhenItIsIdleAndNotBefore(t *testing.T) {
	c := start(t, func(s *Settings) { s.Idle = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * c.Idle) // longer than idle, and somebody is there
	if _, code := c.rsync(c.url + "/share/"); code != 0 {
		t.Error("ended while a client was served")
	}
	conn.Close()
	c.eventually("it ends", func() bool {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			conn.Close()
			time.Sleep(2 * c.Idle) // each look is a connection
		}
		return err != nil
	})
}

func TestBeforeTheFirstRunThereAreNoReports(t *testing.T) {
	c := start(t, func(s *Settings) { s.Reports += "-of-later" })
	if out, code := c.rsync(c.url + "/reports/ext--*.b1k"); code != noMatch {
		t.Errorf("exit %d; want %d:\n%s", code, noMatch, out)
	}
}

func TestPathsThatRsyncWouldReadAsSomethingElseAreRefused(t *testing.T) {
	for _, path := range []string{"relative", "/a%USER%", "/a\nb", "/a'b", `/a\`, " /a", "/a "} {
		for _, s := range []Settings{{Reports: "/r", Dir: "/d", Share: path}, {Reports: path, Dir: "/d"}} {
			s.Log = slog.Default()
			if _, err := New(s); err == nil {
				t.Errorf("%q is served", path)
			}
		}
	}
}

func TestAServerThatBeganWithoutReportsMakesRoomForOneThatCanWriteThem(t *testing.T) {
	c := start(t, func(s *Settings) { s.Reports += "-of-later"; s.Idle = time.Hour })
	c.must(c.url + "/share/")
	c.eventually("it ends", func() bool {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestWhenTheConfigurationIsNotTheOneAnyMoreOnlyWhatIsOnIsServed(t *testing.T) {
	ending := make(chan struct{})
	c := start(t, func(s *Settings) { s.Ending = ending })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, len(greeting))); err != nil { // it is served
		t.Fatal(err)
	}
	close(ending)
	c.eventually("nobody else is served", func() bool {
		other, err := net.Dial("tcp", c.address)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	if _, err := conn.Write([]byte(greeting + "#list\n")); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || !strings.Contains(string(rest), "share") {
		t.Errorf("the one that was on got %q, %v", rest, err)
	}
}
