package logfile

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be a program that logs to a standard stream.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOGFILE_TEST_PATH"); path != "" {
		f, err := Open(path, "%(message)s", "INFO")
		if err != nil {
			panic(err)
		}
		slog.New(f).Info("hello")
		if err := f.Close(); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b1000.log")
	for _, message := range []string{"first", "second"} {
		f, err := Open(path, "%(message)s", "INFO")
		if err != nil {
			t.Fatal(err)
		}
		slog.New(f).Info(message)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, path); got != "first\nsecond\n" {
		t.Errorf("got %q", got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, path, format string
		want               error
	}{
		{"no directory", filepath.Join(dir, "none", "b1000.log"), "%(message)s", fs.ErrNotExist},
		{"a directory", dir, "%(message)s", syscall.EISDIR},
		{"a FIFO without a reader", fifo, "%(message)s", syscall.ENXIO},
	}
	for _, c := range cases {
		if _, err := Open(c.path, c.format, "INFO"); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	unmade := filepath.Join(dir, "unmade")
	if _, err := Open(unmade, "%(nope)s", "INFO"); err == nil {
		t.Error("a bad format is accepted")
	}
	if _, err := os.Stat(unmade); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a bad format made the file: %v", err)
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b1000.log")
	f, err := Open(path, "%(message)s", "INFO")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.out.(*rotated).now = func() time.Time { return now }
	log := slog.New(f)

	log.Info("before")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("within the second")
	now = now.Add(time.Second)
	log.Info("after")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // nothing that can be opened
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	log.Info("into the open file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	log.Info("again")
	if got, want := read(t, path+".1"), "before\nwithin the second\n"; got != want {
		t.Errorf("rotated file: got %q, want %q", got, want)
	}
	if got, want := read(t, path), "again\n"; got != want {
		t.Errorf("new file: got %q, want %q", got, want)
	}
}

// The standard streams of a service are sockets, those of a pipeline are pipes;
// neither can be opened by the name /dev/stdout.
func TestStandardStreams(t *testing.T) {
	for _, path := range []string{"/dev/stdout", "/dev/stderr"} {
		t.Run("pipe as "+path, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			hello(t, path, r, w)
		})
		t.Run("socket as "+path, func(t *testing.T) {
			r, w := socketPair(t)
			hello(t, path, r, w)
		})
	}
}

func socketPair(t *testing.T) (r, w *os.File) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err = c.(*net.UnixConn).File(); err != nil {
		t.Fatal(err)
	}
	if w, err = s.(*net.UnixConn).File(); err != nil {
		t.Fatal(err)
	}
	return r, w
}

func hello(t *testing.T, path string, r, w *os.File) {
	t.Helper()
	defer r.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOGFILE_TEST_PATH="+path)
	if path == "/dev/stdout" {
		cmd.Stdout = w
	} else {
		cmd.Stderr = w
	}
	err := cmd.Run()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := r.Read(b)
	if got := string(b[:n]); got != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
