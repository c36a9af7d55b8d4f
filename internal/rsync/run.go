package rsync

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"b1000/internal/process"
)

// Program is the rsync that is run, looked up in PATH.
const Program = "rsync"

// Progress is how far a copy has come. Total is 0 while unknown.
type Progress struct {
	Done, Total int64 // bytes
	Percent     int   // -1 unknown
	Files       int64 // files transferred so far
}

// Hooks are told what happens while rsync runs; nil ones are not called.
type Hooks struct {
	Progress func(Progress)            // about once a second
	Item     func(change, name string) // with Verbosity above 1: rsync(1), --itemize-changes
	Line     func(string)              // any other line of output, for the log
}

// Result is what rsync counted.
type Result struct {
	Files    int64    // entries that are not directories, in the whole transfer
	Bytes    int64    // sum of their sizes
	Sent     int64    // bytes written to the connection (locally: to the other process)
	Literal  int64    // bytes of file content that had to be copied
	Matched  int64    // bytes of file content that the other side had in an older file
	Created  int64    // new entries, as --stats counts them (directories too)
	Vanished []string // the first source files that vanished on the way
	Warnings []string // other lines that say what was not done
}

// Run runs rsync. The Result is filled as far as rsync came. Source files that
// vanish (exit status 24, or 23 for nothing but listed files that are gone) are
// no error but a warning in the Result; every other status is an *Error.
func Run(ctx context.Context, o Options, h Hooks) (Result, error) {
	out := output{hooks: h, expect: o.Expect}
	errs := messages{listed: o.FilesFrom != ""}
	c := process.Command{
		Args: append(append(append([]string{}, o.Nice...), Program), o.args()...), Name: "rsync",
		Env: environment(), Files: o.Files, Stall: o.stall(), Stdin: o.stdin(),
		Stdout: out.line,
		Stderr: errs.line,
	}
	if h.Progress != nil {
		// --info=progress2 costs a write and a read for each file; a signal costs
		// one a second (rsync(1), SIGNALS: SIGVTALRM prints the progress).
		c.Ask, c.AskEvery = syscall.SIGVTALRM, time.Second
		c.Read = out.read
	}
	err := process.Run(ctx, c)
	res := out.result
	res.Vanished, res.Warnings = errs.vanished, errs.warnings
	var e *process.ExitError
	switch {
	case err == nil:
		return res, nil
	case errors.As(err, &e) && e.Cause == nil && e.Code == exitPartial && errs.failures == 0 && len(errs.vanished) > 0:
		return res, nil
	case errors.As(err, &e) && e.Cause == nil && e.Code == exitVanished && errs.failures == 0:
		if len(res.Vanished) == 0 {
			res.Vanished = []string{"source files"}
		}
		return res, nil
	case errors.As(err, &e) && e.Cause == nil && e.Signal == 0:
		return res, &Error{Code: e.Code, Lines: errs.failed, Count: errs.failures}
	default:
		return res, err
	}
}

// output reads rsync's standard output.
type output struct {
	hooks  Hooks
	result Result
	expect int64

	mu    sync.Mutex // lines and the count of bytes come from two goroutines
	shown int64      // bytes of the last progress
}

// tell hands on a progress, with the share of what is expected where rsync does
// not know it yet.
func (o *output) tell(p Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.Percent < 0 && o.expect > 0 {
		p.Total = max(o.expect, p.Done)
		p.Percent = int(min(99, 100*p.Done/p.Total))
	}
	o.shown = p.Done
	o.hooks.Progress(p)
}

// read tells of bytes that rsync has read: between two files it answers a
// signal, but not within a large one.
func (o *output) read(n uint64) {
	o.mu.Lock()
	last := o.shown
	o.mu.Unlock()
	if done := int64(n); done > last+largeStep {
		o.tell(Progress{Done: done, Percent: -1})
	}
}

// largeStep is more than rsync reads beside the files.
const largeStep = 4 << 20

func (o *output) line(l string) {
	if rest, ok := strings.CutPrefix(l, itemPrefix); ok {
		if change, name, ok := strings.Cut(rest, " "); ok && o.hooks.Item != nil {
			o.hooks.Item(change, DecodeName(name))
		}
		return
	}
	if p, ok := parseProgress(l); ok {
		if o.hooks.Progress != nil {
			o.tell(p)
		}
		return
	}
	if o.figure(l) || strings.HasPrefix(l, "sent ") || strings.HasPrefix(l, "total size is ") {
		return
	}
	if o.hooks.Line != nil {
		o.hooks.Line(l)
	}
}

// figure takes a line of --stats.
func (o *output) figure(l string) bool {
	key, value, ok := strings.Cut(l, ": ")
	if !ok {
		return false
	}
	n := leadingNumber(value)
	switch key {
	case "Number of files":
		o.result.Files = n - part(value, "dir: ")
	case "Number of created files":
		o.result.Created = n
	case "Total file size":
		o.result.Bytes = n
	case "Literal data":
		o.result.Literal = n
	case "Matched data":
		o.result.Matched = n
	case "Total bytes sent":
		o.result.Sent = n
	case "Number of deleted files", "Number of regular files transferred", "Total transferred file size",
		"File list size", "File list generation time", "File list transfer time", "Total bytes received":
	default:
		return false
	}
	return true
}

// parseProgress reads the line that rsync prints when asked how far it is, such
// as "  1,234  42%  1.23MB/s    0:00:01 (xfr#3, to-chk=5/10)". With "ir-chk" it
// is still finding files, and its percentage means nothing.
func parseProgress(l string) (Progress, bool) {
	f := strings.Fields(l)
	if len(f) < 4 || strings.Trim(f[0], "0123456789,") != "" || !strings.HasSuffix(f[1], "%") || !strings.HasSuffix(f[2], "/s") {
		return Progress{}, false
	}
	pct, err := strconv.Atoi(strings.TrimSuffix(f[1], "%"))
	if err != nil {
		return Progress{}, false
	}
	p := Progress{Done: leadingNumber(f[0]), Percent: -1}
	if pct > 0 && strings.Contains(l, "to-chk=") {
		p.Percent, p.Total = pct, max(p.Done, p.Done*100/int64(pct))
	}
	if _, after, ok := strings.Cut(l, "xfr#"); ok {
		p.Files = leadingNumber(after)
	}
	return p, true
}

// leadingNumber reads "1,234 bytes" as 1234.
func leadingNumber(s string) int64 {
	var n int64
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int64(c-'0')
		case c != ',':
			return n
		}
	}
	return n
}

// part reads the number after a label, 0 where there is none.
func part(s, label string) int64 {
	_, after, _ := strings.Cut(s, label)
	return leadingNumber(after)
}
