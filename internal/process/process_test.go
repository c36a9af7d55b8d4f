package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(script string) Command {
	return Command{Args: []string{"/bin/sh", "-c", script}, Env: os.Environ(), Name: "script"}
}

func TestRunTellsHowACommandEnded(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		code         int
		want         string
	}{
		{"good", "exit 0", 0, ""},
		{"status and stderr", "echo oops >&2; exit 3", 3, "script: exit status 3: oops"},
		{"signal", "kill -9 $$", -1, "script: ended by signal 9 (killed)"},
		{"only the end of a flood of stderr", "i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done >&2; echo last >&2; exit 1", 1, "last"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Run(context.Background(), sh(tt.script))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *ExitError
			if !errors.As(err, &e) || e.Code != tt.code || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got %v, want status %d and %q", err, tt.code, tt.want)
			}
			if len(err.Error()) > tailSize+100 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestRunHandsOutLinesOfBothKinds(t *testing.T) {
	var got []string
	c := sh(`printf 'a\rb\n\nc'; printf '%s' "$X"`)
	c.Env = []string{"X=d"}
	c.Stdout = func(l string) { got = append(got, l) }
	if err := Run(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "cd"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunOfAProgramThatIsNotThere(t *testing.T) {
	err := Run(context.Background(), Command{Args: []string{"/no/such/program"}})
	if err == nil || !strings.Contains(err.Error(), "program: cannot be started") {
		t.Errorf("got %v", err)
	}
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"polite", "sleep 1000 & echo $! >$PIDFILE; wait"},
		{"ignores SIGTERM", "trap '' TERM; sleep 1000 & echo $! >$PIDFILE; while :; do wait; done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pidfile := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithCancelCause(context.Background())
			why := errors.New("told to stop")
			c := sh(tt.script)
			c.Env = append(c.Env, "PIDFILE="+pidfile)
			c.Grace = 200 * time.Millisecond
			var pid int
			go func() {
				for pid == 0 {
					b, _ := os.ReadFile(pidfile)
					pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
					time.Sleep(5 * time.Millisecond)
				}
				cancel(why)
			}()
			if err := Run(ctx, c); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
			waitGone(t, pid)
		})
	}
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for range 500 {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
}

func TestAGrandchildThatKeepsTheOutputIsNotWaitedForForEver(t *testing.T) {
	c := sh("sleep 1000 & exit 0")
	c.Grace = 50 * time.Millisecond
	c.Stdout = func(string) {}
	if err := Run(context.Background(), c); err != nil {
		t.Errorf("got %v, want success: the command itself ended well", err)
	}
}

func TestLimits(t *testing.T) {
	c := sh("while :; do :; done")
	c.Timeout, c.Grace = 50*time.Millisecond, 50*time.Millisecond
	if err := Run(context.Background(), c); !errors.Is(err, ErrTimeout) {
		t.Errorf("timeout: got %v", err)
	}
	c = sh("sleep 1000")
	c.Stall, c.Grace = 300*time.Millisecond, 50*time.Millisecond
	if err := Run(context.Background(), c); !errors.Is(err, ErrStalled) {
		t.Errorf("stall: got %v", err)
	}
	c = sh("i=0; while [ $i -lt 8 ]; do echo .; sleep 0.1; i=$((i+1)); done")
	c.Stall = 500 * time.Millisecond
	if err := Run(context.Background(), c); err != nil {
		t.Errorf("a slow but lively command: got %v", err)
	}
	c = sh("while :; do echo trying again; sleep 0.05; done")
	c.Stall, c.Grace = 300*time.Millisecond, 50*time.Millisecond
	c.Sign = func(bytes uint64) uint64 { return bytes >> 30 }
	if err := Run(context.Background(), c); !errors.Is(err, ErrStalled) {
		t.Errorf("busy, but does not get on: got %v", err)
	}
}

func TestAskingIsHarmless(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         bool
	}{
		{"catches it", "trap 'echo here' VTALRM; i=0; while [ $i -lt 40 ]; do sleep 0.02; i=$((i+1)); done", true},
		{"would die of it", "sleep 0.3", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers, read := 0, uint64(0)
			c := sh(tt.script)
			c.Ask, c.AskEvery = syscall.SIGVTALRM, 10*time.Millisecond
			c.Stdout = func(string) { answers++ }
			c.Read = func(n uint64) { read = max(read, n) }
			if err := Run(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			if read == 0 {
				t.Error("no bytes were read")
			}
			if (answers > 0) != tt.want {
				t.Errorf("%d answers", answers)
			}
		})
	}
}

// A lock on an inherited descriptor lasts until the last child is gone.
func TestFilesAreInherited(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	c := sh("echo mine >&3")
	c.Files = []*os.File{f}
	if err := Run(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(f.Name()); string(b) != "mine\n" {
		t.Errorf("got %q", b)
	}
}

// INCIDENTS restic#2452, zrepl#791: nothing of a killed run may go on writing.
func TestTheCommandDiesWithTheProgram(t *testing.T) {
	if os.Getenv("PROCESS_TEST_CHILD") == "1" {
		_ = Run(context.Background(), sh("echo $$ >$PIDFILE; exec sleep 1000"))
		return
	}
	pidfile := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run=^TestTheCommandDiesWithTheProgram$")
	cmd.Env = append(os.Environ(), "PROCESS_TEST_CHILD=1", "PIDFILE="+pidfile)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	for range 1000 {
		b, _ := os.ReadFile(pidfile)
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(b))); pid != 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if pid == 0 {
		t.Fatal("the child did not start")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	waitGone(t, pid)
}
