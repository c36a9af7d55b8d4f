package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a terminal with a program at work on it, and somebody who reads and
// types.
type terminal struct {
	t      *testing.T
	screen *os.File
	cmd    *exec.Cmd
	seen   string // since the last answer
	all    string
}

// onTerminal starts a program with a terminal of its own.
func onTerminal(t *testing.T, env []string, argv ...string) *terminal {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = keys, keys, keys
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, screen: screen, cmd: cmd}
}

// read adds to what has been seen; it reports whether there may be more.
func (m *terminal) read() bool {
	buf := make([]byte, 4096)
	n, err := m.screen.Read(buf) // EIO when the last who has it open is gone
	text := strings.ReplaceAll(string(buf[:n]), "\r\n", "\n")
	m.seen, m.all = m.seen+text, m.all+text
	return err == nil
}

// answer waits for a question, and types what is given for it.
func (m *terminal) answer(question, text string) {
	m.t.Helper()
	for !strings.Contains(m.seen, question) || !strings.HasSuffix(m.seen, ": ") {
		if !m.read() {
			m.t.Fatalf("%q is not asked:\n%s", question, m.all)
		}
	}
	m.seen = ""
	if _, err := m.screen.WriteString(text); err != nil {
		m.t.Fatal(err)
	}
}

// end waits for the program and returns its exit status and what it said last.
func (m *terminal) end() (code int, last string) {
	m.t.Helper()
	for m.read() {
	}
	late := time.AfterFunc(time.Minute, func() { m.cmd.Process.Kill() })
	defer late.Stop()
	m.cmd.Wait()
	return m.cmd.ProcessState.ExitCode(), m.seen
}

// Somebody types what is wrong, is asked again, and has a configuration in the end,
// which nobody can have written over by asking again.
func TestInitOnATerminal(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"src", "home"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	src, dst, cfg := filepath.Join(dir, "src"), filepath.Join(dir, "dst"), filepath.Join(dir, "b1000.cfg")
	env := []string{"HOME=" + dir + "/home", "XDG_STATE_HOME=" + dir + "/home/state"}
	begin := func() *terminal { return onTerminal(t, env, "b1000ctl", "init", "-f", cfg) }

	m := begin()
	m.answer("What is to be backed up?", "my files\n")
	m.answer("\"my\" is not an absolute path", src+" \"it is open\n")
	m.answer("What is to be backed up?", src+"\n")
	m.answer("Where to?", "\n")
	m.answer("a place is needed", "gopher://x\n")
	m.answer("gopher", src+"/backup\n")
	m.answer("each backup would store those before it", dst+"\n")
	m.answer("Make it? It may be a disk that is not mounted [no]", "perhaps\n")
	m.answer("yes or no?", "y\n")
	m.answer("For how many days", "a week\n")
	m.answer("\"a week\" is not a number of days", "-1\n")
	m.answer("\"-1\" is not a number of days", "7\n")
	code, last := m.end()
	if code != 0 || !strings.Contains(last, "wrote "+cfg) || !strings.Contains(last, "Next:") {
		t.Fatalf("status %d:\n%s", code, m.all)
	}
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"include = " + src + "\n", "path = " + dst + "\n", "keep_daily = 7\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}

	code, last = begin().end()
	if code != 2 || !strings.Contains(last, "is there already, and nothing is written over; edit it") {
		t.Errorf("again: status %d:\n%s", code, last)
	}
	if again, _ := os.ReadFile(cfg); string(again) != string(text) {
		t.Errorf("the configuration is now\n%s", again)
	}
}

// Control-C and control-D end the conversation, and nothing is left.
func TestInitBrokenOffOnATerminal(t *testing.T) {
	for key, want := range map[string]int{"\x03": 130, "\x04": 1} {
		cfg := filepath.Join(t.TempDir(), "sub", "b1000.cfg")
		m := onTerminal(t, nil, "b1000ctl", "init", "-f", cfg)
		m.answer("What is to be backed up?", "/etc\n")
		m.answer("Where to?", key)
		if code, last := m.end(); code != want {
			t.Errorf("%q: status %d, want %d:\n%s", key, code, want, last)
		}
		if _, err := os.Lstat(filepath.Dir(cfg)); err == nil {
			t.Errorf("%q: something was written", key)
		}
	}
}
