package state

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// holdEnv makes this test binary a process that takes a lock in the directory
// named, starts a program that outlives it, says so and waits for its end.
const holdEnv = "B1000_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(dir)
		return
	}
	os.Exit(m.Run())
}

func hold(dir string) {
	d, err := Open(dir)
	if err == nil {
		_, err = d.Lock("etc", "3307", day)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("held", child.Process.Pid)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// otherProcess starts another process that tries for the lock and returns what it says.
func otherProcess(t *testing.T, d *Dir) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+d.path)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	line = strings.TrimSpace(line)
	if pid, ok := strings.CutPrefix(line, "held "); ok {
		n, err := strconv.Atoi(pid)
		must(t, err)
		t.Cleanup(func() { _ = syscall.Kill(n, syscall.SIGKILL) })
	}
	return cmd, line
}

func TestLockOfTwoProcesses(t *testing.T) {
	d := open(t)
	holder, line := otherProcess(t, d)
	if !strings.HasPrefix(line, "held ") {
		t.Fatal(line)
	}
	want := fmt.Sprintf("running since 2014-08-20 15:40:04, pid %d", holder.Process.Pid)
	_, err := d.Lock("etc", "3307", day)
	var locked *Locked
	if !errors.As(err, &locked) || locked.Holder != want || locked.Job != "etc" || locked.Instance != "3307" {
		t.Fatalf("error = %v, want a *Locked with %s", err, want)
	}
	if got := err.Error(); got != `job "etc:3307": `+want {
		t.Errorf("error = %s", got)
	}
	if _, line := otherProcess(t, d); line != err.Error() {
		t.Errorf("a third process says %q, want %q", line, err)
	}
	if got, running, err := d.Running("etc", "3307"); !running || err != nil || got != want {
		t.Errorf("Running = %q, %v, %v, want %q", got, running, err, want)
	}
	other, err := d.Lock("etc", "3308", day)
	if err != nil {
		t.Fatalf("another instance: %v", err)
	}
	must(t, other.Release())

	must(t, holder.Process.Kill())
	_ = holder.Wait() // killed: its status is no news
	if got, running, err := d.Running("etc", "3307"); running || err != nil {
		t.Errorf("after kill -9, with its child alive: Running = %q, %v, %v", got, running, err)
	}
	mine, err := d.Lock("etc", "3307", day)
	if err != nil {
		t.Fatalf("after kill -9: %v", err)
	}
	must(t, mine.Release(), mine.Release())
}

func TestLockSaysWho(t *testing.T) {
	d := open(t)
	if _, running, err := d.Running("etc", ""); running || err != nil {
		t.Errorf("before: %v, %v", running, err)
	}
	if left, err := os.ReadDir(filepath.Join(d.path, lockFolder)); err != nil || len(left) != 0 {
		t.Errorf("looking made %v, %v", left, err)
	}
	l, err := d.Lock("etc", "", day)
	must(t, err)
	text, err := os.ReadFile(filepath.Join(d.path, lockFolder, "etc:"))
	must(t, err)
	host, err := os.Hostname()
	must(t, err)
	want := fmt.Sprintf("pid=%d host=%s program=state.test since=%s\n", os.Getpid(), host, day.Format(time.RFC3339))
	if string(text) != want {
		t.Errorf("lock says %q, want %q", text, want)
	}
	must(t, l.Release())
	if got, running, err := d.Running("etc", ""); running || err != nil {
		t.Errorf("after: %q, %v, %v", got, running, err)
	}
}

func TestLocksOfLikeNames(t *testing.T) {
	d := open(t)
	for _, name := range [][2]string{{"a-b", "c"}, {"a", "b-c"}, {"a", ""}, {"a-b-c", ""}, {"a:", "b"}, {"a", ":b"}, {"a%3A", "b"}} {
		l, err := d.Lock(name[0], name[1], day)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		defer func() { must(t, l.Release()) }()
	}
}

// A run that begins while somebody looks must not be told that it is running.
func TestLookingNeverMakesARunFail(t *testing.T) {
	d := open(t)
	l, err := d.Lock("etc", "", day)
	must(t, err, l.Release())
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if _, _, err := d.Running("etc", ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 300 {
		l, err := d.Lock("etc", "", day)
		if err != nil {
			t.Errorf("Lock while others look: %v", err)
			break
		}
		if _, running, err := d.Running("etc", ""); !running || err != nil {
			t.Errorf("Running = %v, %v while the lock is held", running, err)
		}
		must(t, l.Release())
	}
	stop.Store(true)
	wg.Wait()
}

// Of several runs that begin at once, exactly one gets the lock.
func TestLockOfManyAtOnce(t *testing.T) {
	d := open(t)
	for range 100 {
		var wg sync.WaitGroup
		locks := make([]*Lock, 4)
		errs := make([]error, len(locks))
		for i := range locks {
			wg.Go(func() { locks[i], errs[i] = d.Lock("etc", "", day) })
		}
		wg.Wait()
		held := 0
		for i, l := range locks {
			var locked *Locked
			switch {
			case l != nil:
				held++
				must(t, l.Release())
			case !errors.As(errs[i], &locked):
				t.Errorf("error = %v, want a *Locked", errs[i])
			}
		}
		if held != 1 {
			t.Fatalf("%d have the lock, want 1", held)
		}
	}
}
