// Package progress is what a person sees while copies run: bars on a terminal,
// a line now and then elsewhere; and the short forms of sizes and ages that
// every table uses. It decides nothing and is no log: what must be kept goes to
// the log as well. It may import no package of this module.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// Progress is how far one copy has come.
type Progress struct {
	Done    int64 // bytes
	Total   int64 // bytes; 0: unknown
	Percent int   // -1: unknown; then it comes from Done and Total where both are known
	Files   int64 // entries seen or copied; 0: unknown
	Rate    int64 // bytes a second; 0: unknown
}

// Printer shows copies. Its methods may be called by several goroutines.
type Printer interface {
	// Start shows one more copy, of a job (or job:instance) to a destination.
	Start(job, destination string) Task
	// Writer prints above the bars what else has to be on the same terminal, log
	// lines for example. A Write is one or more whole lines.
	Writer() io.Writer
	// Close leaves the terminal as it should be. Tasks that are not done stay
	// as they are; Writer goes on working.
	Close()
}

// Task is one copy on display.
type Task interface {
	// Update tells how far the copy is. It may be called as often as one likes.
	Update(Progress)
	// Done tells that the copy is over, and how. Only the first call counts.
	Done(error)
}

// interval is the least time between two lines about one copy where there is no
// terminal.
const interval = 30 * time.Second

// New returns a printer that writes to w: bars where terminal says that w is a
// terminal (one that knows its width), else lines. The caller calls Close.
func New(w io.Writer, terminal bool) Printer {
	if f, ok := w.(*os.File); ok && terminal {
		width, height, err := term.GetSize(int(f.Fd()))
		terminal = err == nil && width > 0 && height > 0
	}
	if terminal {
		return newBars(w, time.Now)
	}
	return &lines{w: w, now: time.Now}
}

// percent is how far the copy is, or -1 where that is not known.
func (p Progress) percent() int {
	switch {
	case p.Percent >= 0:
		return min(p.Percent, 100)
	case p.Total > 0:
		return int(min(max(float64(p.Done)/float64(p.Total), 0), 1) * 100)
	}
	return -1
}

// amount is "1.2 GiB of 2.9 GiB", or what is known of it.
func (p Progress) amount() string {
	switch {
	case p.Total > 0:
		return Size(p.Done) + " of " + Size(p.Total)
	case p.Done > 0 || p.Files == 0:
		return Size(p.Done)
	}
	return fmt.Sprintf("%d files", p.Files)
}

// String is "42 %, 1.2 GiB of 2.9 GiB", or what is known of it.
func (p Progress) String() string {
	if n := p.percent(); n >= 0 {
		return fmt.Sprintf("%d %%, %s", n, p.amount())
	}
	return p.amount()
}

// left is the time that the rest will take; false where that is not known.
func (p Progress) left() (time.Duration, bool) {
	if p.Total <= 0 || p.Rate <= 0 || p.Done > p.Total {
		return 0, false
	}
	return time.Duration(float64(p.Total-p.Done) / float64(p.Rate) * float64(time.Second)), true
}

// lines is the printer for everything that is not a terminal.
type lines struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

func (l *lines) Start(job, destination string) Task {
	t := &lineTask{lines: l, job: printable(job), destination: printable(destination), started: l.now()}
	t.printed = t.started
	l.print("%s: copying to %s", t.job, t.destination)
	return t
}

func (l *lines) Writer() io.Writer { return l }

func (l *lines) Close() {}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// print writes a line; there is nobody to tell where it can't be written.
func (l *lines) print(format string, args ...any) {
	_, _ = fmt.Fprintf(l, format+"\n", args...)
}

type lineTask struct {
	*lines
	job, destination string
	started          time.Time

	state   sync.Mutex
	last    Progress
	printed time.Time
	over    bool
}

func (t *lineTask) Update(p Progress) {
	t.state.Lock()
	defer t.state.Unlock()
	t.last = p
	if now := t.now(); !t.over && now.Sub(t.printed) >= interval {
		t.printed = now
		t.print("%s: copying to %s: %s", t.job, t.destination, p)
	}
}

func (t *lineTask) Done(err error) {
	t.state.Lock()
	defer t.state.Unlock()
	if t.over {
		return
	}
	t.over = true
	if err != nil {
		t.print("%s: copy to %s failed: %s", t.job, t.destination, printable(err.Error()))
		return
	}
	t.print("%s: copied to %s: %s in %s", t.job, t.destination, t.last.sum(), clock(t.now().Sub(t.started)))
}

// sum is the amount at the end of a copy.
func (p Progress) sum() string {
	p.Total = 0
	return p.amount()
}

// printable is s in one line that can't steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
}
