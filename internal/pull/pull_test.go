package pull

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/process"
	"b1000/internal/report"
	"b1000/internal/rsync/rsynctest"
)

const good = `[jobstatus:ext]
host = client7
name = ext
instance =
direction = passive
start_time = 2014-08-20 15:40:04
step = COPYING
status = OK

[dest:atm]
type = passive
path = pull://backup-2
status = COPYING
`

const goodName = "ext--2014-08-20-15-40-04.b1k"

// client is a report directory that a real daemon serves.
func client(t *testing.T) (dir string, s *Source) {
	t.Helper()
	dir = t.TempDir()
	d := rsynctest.Start(t, dir)
	return dir, &Source{Location: d.URL, Job: "ext", Names: []string{"backup-2.example.org", "backup-2"}, TempDir: t.TempDir()}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// at is the good report with another start, and its name.
func at(start string) (name, text string) {
	stamp := strings.NewReplacer(" ", "-", ":", "-").Replace(start)
	return "ext--" + stamp + ".b1k", strings.Replace(good, "2014-08-20 15:40:04", start, 1)
}

func TestTheNewestOfferIsTaken(t *testing.T) {
	dir, s := client(t)
	for _, start := range []string{"2014-08-20 15:40:04", "2031-01-01 00:00:00", "2013-01-01 00:00:00"} {
		name, text := at(start)
		write(t, dir, name, text)
	}
	name, text := at("2032-01-01 00:00:00") // for another host
	write(t, dir, name, strings.Replace(text, "backup-2", "backup-9", 1))
	name, text = at("2033-01-01 00:00:00") // answered
	write(t, dir, name, text)
	write(t, dir, name+".backup-2.error", "")
	write(t, dir, "ext-a-2034-01-01-00-00-00.b1k", "of an instance")
	write(t, dir, "other--2034-01-01-00-00-00.b1k", "of a job")

	o, err := s.Look(t.Context())
	if err != nil || o.File != "ext--2031-01-01-00-00-00.b1k" || o.Name != "backup-2" || o.Copy.Status != report.CopyCopying || o.Report.Host != "client7" {
		t.Fatalf("got %+v, %v", o, err)
	}
	for n, want := range []string{"ext--2031-01-01-00-00-00.b1k.backup-2.done", goodName + ".backup-2.error"} {
		o, err := s.Look(t.Context())
		if err == nil {
			err = s.Answer(t.Context(), o, n == 0)
		}
		if info, statErr := os.Stat(filepath.Join(dir, want)); err != nil || statErr != nil || info.Size() != 0 {
			t.Fatalf("%s: %v, %v", want, err, statErr)
		}
	}
	name, _ = at("2013-01-01 00:00:00")
	write(t, dir, name+".backup-2.example.org.done", "")
	if _, err := s.Look(t.Context()); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(s.TempDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Only regular files of the right name, size and grammar count, and what they
// say has to fit to what they are called.
func TestHostileReports(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, tt := range map[string]struct {
		file, text, err string
		make            func(path string) error
	}{
		"nothing":             {err: ErrNothing.Error()},
		"another's job":       {text: strings.ReplaceAll(good, "ext", "shop"), err: "tells of another run, shop--"},
		"another's instance":  {text: change("instance =", "instance = a"), err: "tells of another run, ext-a-"},
		"another start":       {text: change("15:40:04", "15:40:05"), err: "tells of another run"},
		"not passive":         {text: change("direction = passive", "direction = push"), err: "is of a push job"},
		"host that leaves":    {text: change("client7", "../../etc"), err: `host "../../etc" is not a name`},
		"host with a slash":   {text: change("client7", "a/b"), err: "is not a name"},
		"host that is hidden": {text: change("client7", ".partial-x"), err: "is not a name"},
		"too large":           {text: good + strings.Repeat("\n", 70000), err: "larger than 65536 bytes"},
		"no end of keys":      {text: good + strings.Repeat("x = y\n", 1000), err: `unknown key "x"`},
		"two jobs":            {text: good + good, err: "a second jobstatus section"},
		"half":                {text: good[:60], err: "report file: line"},
		"binary":              {text: "\x00\xff\xfe", err: "report file: line 1"},
		"year 9999":           {file: "ext--9999-01-01-00-00-00.b1k", text: change("2014-08-20 15:40:04", "9999-01-01 00:00:00"), err: "in the year 9999"},
		"no section of ours":  {text: change("backup-2", "backup-22"), err: ErrNothing.Error()},
		"an active section":   {text: strings.Replace(good, "type = passive", "type = active", 1), err: ErrNothing.Error()},
		"a link":              {err: ErrNothing.Error(), make: func(p string) error { return os.Symlink("/etc/passwd", p) }},
		"a pipe":              {err: ErrNothing.Error(), make: func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		"a directory":         {err: ErrNothing.Error(), make: func(p string) error { return os.Mkdir(p, 0o755) }},
		"a device":            {err: ErrNothing.Error(), make: func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o644, 1<<8|5) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, s := client(t)
			if tt.file == "" {
				tt.file = goodName
			}
			if tt.text != "" {
				write(t, dir, tt.file, tt.text)
			}
			if tt.make != nil {
				if err := tt.make(filepath.Join(dir, tt.file)); err != nil {
					t.Fatal(err)
				}
			}
			if o, err := s.Look(t.Context()); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %+v, %v; want %s", o, err, tt.err)
			}
			if left, _ := os.ReadDir(s.TempDir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestTooManyFiles(t *testing.T) {
	dir, s := client(t)
	for n := range maxEntries + 10 {
		write(t, dir, fmt.Sprintf("ext--%04d-01-01-00-00-00.b1k", n), good)
	}
	if _, err := s.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "holds more than 1000 files") {
		t.Errorf("got %v", err)
	}
}

// A report of another of the client's jobs counts only where it is allowed, and
// only where it is one.
func TestAnotherJobOfTheClient(t *testing.T) {
	dir, s := client(t)
	s.Job = "system"
	write(t, dir, goodName, good)
	if _, err := s.Look(t.Context()); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v", err)
	}
	s.AnyJob = true
	if o, err := s.Look(t.Context()); err != nil || o.Report.Job != "ext" {
		t.Errorf("got %+v, %v", o, err)
	}
	write(t, dir, strings.Replace(goodName, "ext", "shop", 1), strings.ReplaceAll(good, "ext", "shop"))
	if _, err := s.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "say report_job") {
		t.Errorf("got %v", err)
	}
	write(t, dir, strings.Replace(goodName, "ext", "system", 1), strings.ReplaceAll(good, "ext", "system"))
	if o, err := s.Look(t.Context()); err != nil || o.Report.Job != "system" {
		t.Errorf("its own job comes first: got %+v, %v", o, err)
	}
}

// However much the other side sends, no more of it gets onto the disk.
func TestWhatIsFetchedIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "endless")
	err := process.Run(t.Context(), process.Command{Args: append(small(), "dd", "if=/dev/zero", "of="+file, "bs=64K", "count=64"), Env: os.Environ()})
	info, statErr := os.Stat(file)
	if err == nil || statErr != nil || info.Size() > 256<<10 {
		t.Errorf("got %v, %v, %v", err, info, statErr)
	}
}

// A client that takes the connection and never speaks.
func TestASilentClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, gone)
	defer cancel()
	s := &Source{Location: "rsync://" + l.Addr().String() + "/reports", Job: "ext", Names: []string{"backup-2"}}
	if _, err := s.Look(ctx); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

// Whatever a report holds, what is taken of it can be part of a path and of a row.
func FuzzReport(f *testing.F) {
	f.Add(goodName, good)
	f.Add("ext-a-2014-08-20-15-40-04.b1k", strings.Replace(good, "instance =", "instance = a", 1))
	f.Fuzz(func(t *testing.T, name, text string) {
		if strings.ContainsAny(name, "/\x00") || name == "" || len(name) > 200 {
			return
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return
		}
		s := &Source{Job: "ext", Names: []string{"backup-2"}}
		files := s.unanswered([]string{name}, "ext")
		if len(files) == 0 {
			return
		}
		run, err := read(path)
		if err != nil || s.check(name, &run) != nil {
			return
		}
		if run.Job != "ext" || run.Instance != "" || strings.ContainsAny(run.Host+run.MasterHost+run.MasterInstance, "/\x00\n") || strings.HasPrefix(run.Host, ".") || run.Host == "" {
			t.Errorf("accepted %+v", run)
		}
	})
}
