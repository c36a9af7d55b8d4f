package store

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// nameIn is where a source stands within a backup.
func (t Tree) nameIn(source string) string {
	switch {
	case source == "/":
		return "."
	case t.Relative:
		return strings.TrimPrefix(source, "/")
	}
	return filepath.Base(source)
}

func snapshotSources(t Tree) (list []snapshot.Source) {
	for _, s := range t.Sources {
		list = append(list, snapshot.Source{Path: s, Name: t.nameIn(s)})
	}
	return list
}

// without leaves out a directory of this machine: a backup never holds the
// place that it is written to.
func (t Tree) without(dir string) Tree {
	for _, s := range t.Sources {
		below, ok := strings.CutPrefix(dir, strings.TrimSuffix(s, "/")+"/")
		if !ok {
			continue
		}
		t.Exclude = append(slices.Clone(t.Exclude), escape("/"+path.Join(t.nameIn(s), below)))
		break
	}
	return t
}

// skip reports whether a path is left out: by itself, or by exclude_regex.
func (t Tree) skip(p string) bool {
	if slices.Contains(t.Without, p) {
		return true
	}
	for _, re := range t.ExcludeRegex {
		if re.MatchString(p) {
			return true
		}
	}
	return false
}

// rules sets the part of o that decides what belongs to the backup.
func (t Tree) rules(o *rsync.Options) {
	o.Sources, o.Exclude, o.Relative, o.OneFileSystem = t.Sources, t.Exclude, t.Relative, t.OneFS
	for _, p := range t.Without {
		if name, ok := t.stored(p); ok {
			o.Exclude = append(slices.Clip(o.Exclude), escape("/"+name))
		}
	}
}

// stored is the name within the backup of a path of this machine, if one of the
// sources holds it.
func (t Tree) stored(p string) (name string, ok bool) {
	for _, s := range t.Sources {
		if p == s {
			return t.nameIn(s), true
		}
		if below, ok := strings.CutPrefix(p, strings.TrimSuffix(s, "/")+"/"); ok {
			return path.Join(t.nameIn(s), below), true
		}
	}
	return "", false
}

// longestLine is the longest line of --files-from that rsync reads whole.
const longestLine = 4094

// choose completes o with what is to be copied. rsync knows no regular
// expressions: where there are some, rsync's own choice is listed first and
// what they match is taken out of it. The returned function removes that list.
func choose(ctx context.Context, t Tree, o *rsync.Options, temp string) (done func(), err error) {
	t.rules(o)
	if len(t.ExcludeRegex) == 0 {
		return func() {}, nil
	}
	f, err := os.CreateTemp(temp, "b1000-list-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	names, wait := filtered(ctx, t)
	s := bufio.NewScanner(names)
	s.Split(splitNUL)
	var long error
	for s.Scan() {
		line := t.anchored(strings.TrimSuffix(s.Text(), "/"))
		if len(line) > longestLine {
			long = fmt.Errorf("the path of …%s is longer than the %d bytes that rsync takes in a list", line[len(line)-60:], longestLine)
		}
		fmt.Fprintf(w, "%s\x00", line)
	}
	for _, err := range []error{s.Err(), wait(), w.Flush(), long} {
		if err != nil {
			os.Remove(f.Name())
			return nil, err
		}
	}
	o.Sources, o.Exclude, o.Relative, o.OneFileSystem, o.FilesFrom = []string{"/"}, nil, false, false, f.Name()
	return func() { os.Remove(f.Name()) }, nil
}

// anchored turns a name within the backup into a line for --files-from below
// "/": the part before "/./" is where it is, the part behind it what it is
// called there (rsync(1), --relative).
func (t Tree) anchored(name string) string {
	for _, s := range t.Sources {
		in := t.nameIn(s)
		if in == "." {
			return name
		}
		if name == in || strings.HasPrefix(name, in+"/") {
			return strings.TrimPrefix(strings.TrimSuffix(s, in), "/") + "./" + name
		}
	}
	return name // a parent directory of a relative source
}

// filtered lets rsync name what belongs to the backup, one name after the other
// through a pipe, without what exclude_regex matches. wait returns rsync's
// error once the reader is at its end; it has to be called.
func filtered(ctx context.Context, t Tree) (names io.Reader, wait func() error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		var o rsync.Options
		t.rules(&o)
		var out io.Writer = w
		if len(t.ExcludeRegex) > 0 {
			out = &regexFilter{tree: t, next: w}
		}
		err := rsync.Names(ctx, o, out)
		w.CloseWithError(err)
		failed <- err
	}()
	return r, func() error {
		r.Close()
		cancel() // a reader that gave up does not wait for the rest
		return <-failed
	}
}

// regexFilter drops names that exclude_regex matches, and what is below them.
type regexFilter struct {
	tree Tree
	next io.Writer
	part []byte
	gone map[string]bool // excluded directories
}

func (f *regexFilter) Write(p []byte) (int, error) {
	f.part = append(f.part, p...)
	for {
		i := bytes.IndexByte(f.part, 0)
		if i < 0 {
			return len(p), nil
		}
		name := string(f.part[:i+1])
		f.part = f.part[i+1:]
		if f.excluded(name[:i]) {
			continue
		}
		if _, err := io.WriteString(f.next, name); err != nil {
			return 0, err
		}
	}
}

// excluded takes a name as rsync prints it: a directory ends in "/".
func (f *regexFilter) excluded(printed string) bool {
	name := strings.TrimSuffix(printed, "/")
	if !f.gone[path.Dir(name)] && !f.tree.skip(f.tree.original(name)) {
		return false
	}
	if name != printed {
		if f.gone == nil {
			f.gone = map[string]bool{}
		}
		f.gone[name] = true
	}
	return true
}

// original is the path on this machine of a name within the backup.
func (t Tree) original(name string) string {
	for _, s := range t.Sources {
		in := t.nameIn(s)
		if in == "." {
			return "/" + name
		}
		if name == in || strings.HasPrefix(name, in+"/") {
			return strings.TrimSuffix(s, in) + name
		}
	}
	return "/" + name
}

func splitNUL(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

func resultOf(r rsync.Result) Result {
	res := Result{Files: r.Files, Bytes: r.Bytes, Sent: r.Literal}
	if len(r.Vanished) > 0 {
		res.Warnings = append(res.Warnings, vanished(r.Vanished, int64(len(r.Vanished))))
	}
	res.Warnings = append(res.Warnings, r.Warnings...)
	return res
}

func vanished(names []string, n int64) string {
	more := ""
	if int64(len(names)) < n {
		more = " …"
	}
	return "vanished while being copied: " + strings.Join(names, " ") + more
}

// progressOf turns entries dealt with into a share of what the last backup held.
func progressOf(tell func(rsync.Progress), last *report.Manifest) func(int64) {
	return func(done int64) {
		p := rsync.Progress{Percent: -1, Files: done}
		if last.Files > 0 {
			p.Percent = int(min(99, 100*done/last.Files))
			p.Total, p.Done = last.Bytes, last.Bytes*int64(p.Percent)/100
		}
		tell(p)
	}
}
