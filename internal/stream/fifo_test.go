package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newFIFO(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/queue"
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writer runs a command of the shell whose standard output is the FIFO, and ends
// it with the test.
func writer(t *testing.T, path, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec >"+path+"; "+command)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
}

func TestAFIFOIsReadUntilItsWriterCloses(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"1", "65536", "3000000"} {
		path := newFIFO(t)
		writer(t, path, "sleep 0.2; head -c "+size+" /dev/zero; sleep 0.2; printf end")
		got, err := read(t, Source{FIFO: path}, time.Minute)
		if err != nil || !strings.HasSuffix(string(got), "\x00end") {
			t.Errorf("%s: got %d bytes, %v", size, len(got), err)
		}
	}
}

// INCIDENTS borgmatic 360, 582, 947: a FIFO is no reason to wait for ever.
func TestAFIFOThatDeliversNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ command, want string }{
		"nobody opens it":       {"", "nobody has opened it for writing"},
		"nobody writes":         {"exec sleep 1000", "its writer neither writes nor closes it"},
		"nobody closes it":      {"printf x; exec sleep 1000", "its writer neither writes nor closes it"},
		"it is closed at once":  {"exit 0", "allow_empty"},
		"its writer is stopped": {"head -c 100000 /dev/zero; kill -STOP $$", "its writer neither writes nor closes it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newFIFO(t)
			if test.command != "" {
				writer(t, path, test.command)
			}
			_, err := read(t, Source{FIFO: path}, 2*short)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if strings.Contains(test.want, "writ") && (!errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), path)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatIsNoFIFO(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, "/dev/zero", file + ".not"} {
		if _, err := read(t, Source{FIFO: path}, short); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestTheEndOfTheContextEndsTheReadingOfAFIFO(t *testing.T) {
	t.Parallel()
	stop := errors.New("SIGTERM came")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := Open(ctx, Source{FIFO: newFIFO(t)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.AfterFunc(short, func() { cancel(stop) })
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}

// A writer that waits for a reader is let go.
func TestRelease(t *testing.T) {
	t.Parallel()
	path := newFIFO(t)
	done := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			for err == nil {
				_, err = io.WriteString(f, "x")
			}
			f.Close()
		}
		done <- err
	}()
	for {
		if err := Release(path); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, unix.EPIPE) {
				t.Errorf("the writer got %v, want %v", err, unix.EPIPE)
			}
			return
		case <-time.After(10 * time.Millisecond): // it has not opened it yet
		}
	}
}
