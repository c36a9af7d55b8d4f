package unit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is a set of files and links below one directory. The zero value is empty.
type Tree struct{ entries []Entry }

// Entry is one file or link of a Tree.
type Entry struct {
	Path string `json:"path"`           // relative, clean
	Text string `json:"text,omitempty"` // of a file
	Link string `json:"link,omitempty"` // what a link points to; "" for a file
}

// File adds a file.
func (t *Tree) File(path, text string) { t.entries = append(t.entries, Entry{Path: path, Text: text}) }

// Link adds a symbolic link.
func (t *Tree) Link(path, target string) {
	t.entries = append(t.entries, Entry{Path: path, Link: target})
}

// Add adds what is in another tree.
func (t *Tree) Add(other *Tree) { t.entries = append(t.entries, other.entries...) }

// Entries are all of them, sorted by path.
func (t *Tree) Entries() []Entry {
	slices.SortFunc(t.entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return t.entries
}

// WriteTo prints the tree for people: each path, then the text below it.
func (t *Tree) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, e := range t.Entries() {
		if e.Link != "" {
			fmt.Fprintf(&b, "%s -> %s\n\n", e.Path, e.Link)
			continue
		}
		fmt.Fprintf(&b, "%s\n", e.Path)
		for line := range strings.Lines(e.Text) {
			if line != "\n" {
				b.WriteString("    ")
			}
			b.WriteString(line)
		}
		b.WriteByte('\n')
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Make writes the tree below dir, which has to be there, and nothing if that is
// not possible as a whole. A file that is there already is an error and stays as
// it is. Systemd waits for a generator, and most of its time goes into the calls
// made here; so they are plain, and made by several threads.
func (t *Tree) Make(dir string) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	m := maker{dir: root, entries: t.Entries(), done: make([]bool, len(t.entries))}
	if err := m.make(); err != nil {
		return errors.Join(err, m.undo())
	}
	return nil
}

// maker is one call of Make.
type maker struct {
	dir     *os.File
	entries []Entry
	done    []bool // which entries have been made
	dirs    []string
}

// make makes everything by two workers that never make something in one
// directory at the same time, since the kernel lets in one after the other: for
// ten thousand jobs nearly all of the time goes there.
func (m *maker) make() error {
	var top, shared, own []int // entries at the root, in directories that hold several, in ones of their own
	held := map[string]int{}
	for _, e := range m.entries {
		held[filepath.Dir(e.Path)]++
	}
	for at, e := range m.entries {
		switch d := filepath.Dir(e.Path); {
		case d == ".":
			top = append(top, at)
		case held[d] > 1:
			shared = append(shared, at)
		default:
			own = append(own, at)
		}
	}
	if err := m.makeDirs(shared); err != nil {
		return err
	}
	err := both(func() error { return m.makeDirs(own) }, func() error { return m.makeEntries(shared) })
	if err != nil {
		return err
	}
	return both(func() error { return m.makeEntries(top) }, func() error { return m.makeEntries(own) })
}

// both runs two functions at once and joins their errors.
func both(f, g func() error) error {
	done := make(chan error)
	go func() { done <- g() }()
	err := f()
	return errors.Join(err, <-done)
}

// makeDirs makes the directories of entries.
func (m *maker) makeDirs(entries []int) error {
	last := ""
	for _, at := range entries {
		d := filepath.Dir(m.entries[at].Path)
		if d == last {
			continue
		}
		last = d
		switch err := unix.Mkdirat(int(m.dir.Fd()), d, 0o755); err {
		case nil:
			m.dirs = append(m.dirs, d)
		case unix.EEXIST:
		default:
			return &os.PathError{Op: "mkdir", Path: d, Err: err}
		}
	}
	return nil
}

func (m *maker) makeEntries(entries []int) error {
	for _, at := range entries {
		if err := m.makeEntry(at); err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) makeEntry(at int) error {
	e := m.entries[at]
	if e.Link != "" {
		if err := unix.Symlinkat(e.Link, int(m.dir.Fd()), e.Path); err != nil {
			return &os.PathError{Op: "symlink", Path: e.Path, Err: err}
		}
		m.done[at] = true
		return nil
	}
	fd, err := unix.Openat(int(m.dir.Fd()), e.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: e.Path, Err: err}
	}
	m.done[at] = true
	n, err := unix.Write(fd, []byte(e.Text))
	if err == nil && n < len(e.Text) {
		err = unix.ENOSPC
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return &os.PathError{Op: "write", Path: e.Path, Err: err}
	}
	return nil
}

// undo removes what has been made.
func (m *maker) undo() error {
	var errs []error
	for at, done := range m.done {
		if done {
			errs = append(errs, unix.Unlinkat(int(m.dir.Fd()), m.entries[at].Path, 0))
		}
	}
	for _, d := range m.dirs {
		errs = append(errs, unix.Unlinkat(int(m.dir.Fd()), d, unix.AT_REMOVEDIR))
	}
	return errors.Join(errs...)
}

// Differences compares the tree with what is below dir: the paths that are
// missing there, and those that say something else. What else is there is not
// looked at.
func (t *Tree) Differences(dir string) (missing, changed []string) {
	for _, e := range t.Entries() {
		path := filepath.Join(dir, e.Path)
		var have string
		var err error
		want := e.Text
		if e.Link != "" {
			want = e.Link
			have, err = os.Readlink(path)
		} else {
			var data []byte
			data, err = os.ReadFile(path)
			have = string(data)
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			missing = append(missing, e.Path)
		case err != nil || have != want:
			changed = append(changed, e.Path)
		}
	}
	return missing, changed
}
