package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func TestLine(t *testing.T) {
	const name, other = "etc → hd", "database → far"
	p := Progress{Done: 1288490189, Total: 3113851290, Percent: 42, Rate: 31 << 20}
	cases := []struct {
		name  string
		width int
		row   row
		want  string
	}{
		{"all of it", 100, row{last: p, seen: true},
			"etc → hd        [########------------]   42 %  1.2 GiB of 2.9 GiB  31 MiB/s  0:56 left"},
		{"no bar", 80, row{last: p, seen: true}, "etc → hd         42 %  1.2 GiB of 2.9 GiB  31 MiB/s  0:56 left"},
		{"no rate", 60, row{last: p, seen: true}, "etc → hd         42 %  1.2 GiB of 2.9 GiB  0:56 left"},
		{"no time", 50, row{last: p, seen: true}, "etc → hd         42 %  1.2 GiB of 2.9 GiB"},
		{"the least", 30, row{last: p, seen: true}, "etc → hd         42 %"},
		{"no padding", 20, row{last: p, seen: true}, "etc → hd  42 %"},
		{"half a name", 14, row{last: p, seen: true}, "etc → …  42 %"},
		{"hardly anything", 6, row{last: p, seen: true}, "etc …"},
		{"nothing", 1, row{last: p, seen: true}, ""},
		{"no columns", 0, row{last: p, seen: true}, ""},
		{"nothing known", 80, row{}, "etc → hd        starting"},
		{"no total", 80, row{last: Progress{Done: 2048, Percent: -1, Rate: 1024}, seen: true}, "etc → hd        2.0 KiB  1.0 KiB/s"},
		{"files only", 80, row{last: Progress{Percent: -1, Files: 12}, seen: true}, "etc → hd        12 files"},
		{"the end", 80, row{result: "done in 1:32"}, "etc → hd        done in 1:32"},
		{"an error keeps the name", 30, row{result: "failed: connection refused"}, "etc → hd  failed: connection…"},
	}
	for _, c := range cases {
		c.row.name = name
		got := c.row.text(utf8.RuneCountInString(other), c.width-1)
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(c.want), " ") || utf8.RuneCountInString(got) > c.width {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if !strings.Contains(got, "[") && got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// openTerminal gives both ends of a pseudo-terminal.
func openTerminal(t *testing.T, columns, rows uint16) (pty, tty *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	resize(t, tty, columns, rows)
	return pty, tty
}

func resize(t *testing.T, tty *os.File, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

// drain reads until the last user of the terminal has closed it.
func drain(pty *os.File) string {
	var b bytes.Buffer
	_, _ = io.Copy(&b, pty) // ends in EIO
	return b.String()
}

// On a terminal of 20 columns no row is longer than that, log lines are whole,
// and what is over stays to be read.
func TestBarsOnNarrowTerminal(t *testing.T) {
	pty, tty := openTerminal(t, 20, 10)
	output := make(chan string)
	go func() { output <- drain(pty) }()

	p := New(tty, true)
	if _, ok := p.(*bars); !ok {
		t.Fatalf("got %T", p)
	}
	good, bad, endless := p.Start("etc", "hd"), p.Start("database", "far away"), p.Start("home", "hd")
	var group sync.WaitGroup
	for i := range 50 {
		for _, task := range []Task{good, bad, endless} {
			group.Go(func() { task.Update(Progress{Done: int64(i) << 20, Total: 50 << 20, Percent: -1, Rate: 1 << 20}) })
		}
		group.Go(func() { fmt.Fprintf(p.Writer(), "log %02d\n", i) })
	}
	group.Wait()
	resize(t, tty, 40, 10)
	good.Done(nil)
	bad.Done(errors.New("no room"))
	bad.Done(nil)
	p.Close()
	endless.Update(Progress{})
	endless.Done(nil)
	p.Start("late", "hd").Done(nil)
	fmt.Fprint(p.Writer(), "after the bars")
	tty.Close()

	text := regexp.MustCompile(`\x1b\[\d+A\x1b\[J`).ReplaceAllString(<-output, "")
	rows := strings.Split(text, "\r\n")
	logs := 0
	for _, row := range rows {
		if utf8.RuneCountInString(row) > 40 || strings.Contains(row, "\x1b") {
			t.Errorf("row %q", row)
		}
		if regexp.MustCompile(`^log \d\d$`).MatchString(row) {
			logs++
		}
	}
	if logs != 50 {
		t.Errorf("%d whole log lines, want 50", logs)
	}
	for _, want := range []string{`etc → hd {2,}done in \d+:\d\d`, `database → far away  failed: no room`, `after the bars`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// Bars that are closed at once do not hang, and take lines still.
func TestBarsWithoutTask(t *testing.T) {
	var out bytes.Buffer
	p := newBars(&out, time.Now)
	p.Close()
	p.Close()
	if n, err := p.Writer().Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if out.String() != "x\n" {
		t.Errorf("got %q", out.String())
	}
}
