package rsync

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"b1000/internal/process"
)

// Entry is a line of rsync's listing.
type Entry struct {
	Mode string    `json:"mode"` // as ls(1): drwxr-xr-x
	Size int64     `json:"size"`
	Time time.Time `json:"time"` // to the second, local; zero where rsync prints none that is a date
	Name string    `json:"name"`
	Link string    `json:"link,omitempty"` // target of a symbolic link
}

// Dir reports whether the entry is a directory.
func (e Entry) Dir() bool { return strings.HasPrefix(e.Mode, "d") }

// List lists the sources with --list-only, calling each for every entry. A line
// that can only be an entry and is not understood is an error: who restores by
// the list must not miss one.
func List(ctx context.Context, o Options, each func(Entry)) error {
	o.Dest = ""
	a := append([]string{"--list-only"}, o.args()...)
	a = a[:len(a)-1] // no destination
	var unread error
	err := quiet(ctx, o, a, func(l string) {
		switch e, ok := parseEntry(l); {
		case ok:
			each(e)
		case entryStart.MatchString(l) && unread == nil:
			unread = fmt.Errorf("rsync: lists %q, which cannot be read", l)
		}
	})
	return errors.Join(err, unread)
}

var (
	entryStart = regexp.MustCompile(`^([-dlpscb][-rwxsStT]{9}) +([0-9,]+) `)
	// longDate is a date that is wider than its column: rsync before 3.5 does not
	// cut it off.
	longDate = regexp.MustCompile(`^(-[0-9]{4,}|[0-9]{5,})/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} `)
)

// dateWidth is the width of rsync's column of dates. Of a year below 0 or above
// 9999 it holds as much as there is room for, or "(time out of range)".
const dateWidth = len("2006/01/02 15:04:05")

// parseEntry reads "-rw-r--r--          1,234 2026/11/22 10:00:00 name"; a
// symbolic link's name is followed by " -> target".
func parseEntry(l string) (Entry, bool) {
	start := entryStart.FindStringSubmatch(l)
	if start == nil {
		return Entry{}, false
	}
	e := Entry{Mode: start[1], Size: leadingNumber(start[2])}
	rest := l[len(start[0]):]
	width := dateWidth
	if long := longDate.FindString(rest); long != "" {
		width = len(long) - 1
	}
	if len(rest) < width+2 || rest[width] != ' ' {
		return Entry{}, false
	}
	if at, err := time.ParseInLocation("2006/01/02 15:04:05", rest[:width], time.Local); err == nil {
		e.Time = at
	}
	e.Name = rest[width+1:]
	if e.Mode[0] == 'l' {
		e.splitLink()
	}
	e.Name = DecodeName(e.Name)
	return e, true
}

// splitLink parts "name -> target". Either may hold an arrow itself; the size of
// a symbolic link is the length of its target, but for a daemon that munges
// links: then the first arrow counts.
func (e *Entry) splitLink() {
	const arrow = " -> "
	if strings.Count(e.Name, arrow) == 1 {
		e.Name, e.Link, _ = strings.Cut(e.Name, arrow)
		e.Link = DecodeName(e.Link)
		return
	}
	for i := 0; i < len(e.Name); i++ {
		if !strings.HasPrefix(e.Name[i:], arrow) {
			continue
		}
		if target := DecodeName(e.Name[i+len(arrow):]); int64(len(target)) == e.Size {
			e.Name, e.Link = e.Name[:i], target
			return
		}
	}
	e.Name, e.Link, _ = strings.Cut(e.Name, arrow)
}

// quiet runs rsync with args and hands out its lines; failures as Run.
func quiet(ctx context.Context, o Options, args []string, each func(string)) error {
	var errs messages
	err := process.Run(ctx, process.Command{
		Args: append([]string{Program}, args...), Name: "rsync", Env: environment(),
		Stall: o.stall(), Files: o.Files, Stdin: o.stdin(), Stdout: each, Stderr: errs.line,
	})
	var e *process.ExitError
	if errors.As(err, &e) && e.Cause == nil && e.Signal == 0 {
		if e.Code == exitVanished && errs.failures == 0 {
			return nil
		}
		return &Error{Code: e.Code, Lines: errs.failed, Count: errs.failures}
	}
	return err
}

// Names lets rsync's own rules say what belongs to a copy: it writes the names
// of all that o would copy, each ended by NUL, directories with a "/" before it,
// parents before children. Nothing is copied. The names are relative to the
// destination. Where a source cannot be read the error is rsync's; w has then
// got what could be.
func Names(ctx context.Context, o Options, w io.Writer) error {
	o.DryRun, o.Dest = true, "/nonexistent-b1000-list/"
	o.HardLinks, o.ACLs, o.XAttrs, o.LinkDest, o.Verbosity = false, false, false, nil, 0
	args := append([]string{"--out-format=" + itemPrefix + "%n"}, o.args()...)
	buf := bufio.NewWriterSize(w, 64<<10)
	var failed error
	err := quiet(ctx, o, args, func(l string) {
		name, ok := strings.CutPrefix(l, itemPrefix)
		if !ok || failed != nil {
			return
		}
		buf.WriteString(strings.TrimPrefix(DecodeName(name), "/")) // with -R a name begins with "/"
		failed = buf.WriteByte(0)
	})
	return errors.Join(err, failed, buf.Flush())
}

// Version is the version of the installed rsync, such as "3.5.0".
func Version(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, Program, "--version")
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("rsync: cannot be run: %w; install rsync 3.2.7 or later", err)
	}
	f := strings.Fields(string(bytes.TrimSpace(out)))
	if len(f) < 3 || f[0] != "rsync" || f[1] != "version" {
		return "", errors.New("rsync: does not tell its version")
	}
	return f[2], nil
}
