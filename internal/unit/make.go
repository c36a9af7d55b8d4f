package unit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

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
	m := maker{dir: int(root.Fd()), entries: t.entries, done: make([]bool, len(t.entries))}
	if err := m.make(); err != nil {
		return errors.Join(err, m.undo())
	}
	return nil
}

// maker is one call of Make.
type maker struct {
	dir     int
	entries []Entry
	done    []bool // which entries have been made
	failed  atomic.Bool

	dirs []string // that have been made
}

// handful is how many entries are taken at once.
const handful = 32

// make makes everything by two workers. The kernel lets only one at a time make
// something in one directory, so one of them makes all directories, then what is
// at the root, and the other what is in the directories that are there already;
// who is done first helps the other one.
func (m *maker) make() error {
	var top, below []int
	for at := range m.entries {
		if strings.IndexByte(m.entries[at].Path, '/') < 0 {
			top = append(top, at)
		} else {
			below = append(below, at)
		}
	}
	ready := make(chan []int, len(below)/handful+1)
	tops := make(chan []int, len(top)/handful+1)
	for entries := range slices.Chunk(top, handful) {
		tops <- entries
	}
	close(tops)
	done := make(chan error)
	go func() { done <- errors.Join(m.makeAll(ready), m.makeAll(tops)) }()
	err := errors.Join(m.makeDirs(below, ready), m.makeAll(tops), m.makeAll(ready))
	return errors.Join(err, <-done)
}

// makeDirs makes the directories of entries, and says which entries can be made.
func (m *maker) makeDirs(entries []int, ready chan<- []int) error {
	defer close(ready)
	last := ""
	for entries := range slices.Chunk(entries, handful) {
		for _, at := range entries {
			dir, _ := filepath.Split(m.entries[at].Path)
			if dir == last {
				continue
			}
			last = dir
			if err := m.makeDir(strings.TrimSuffix(dir, "/")); err != nil {
				m.failed.Store(true)
				return err
			}
		}
		ready <- entries
	}
	return nil
}

// makeAll makes entries until there are none.
func (m *maker) makeAll(handfuls <-chan []int) error {
	for entries := range handfuls {
		for _, at := range entries {
			if m.failed.Load() {
				return nil
			}
			if err := m.makeEntry(at); err != nil {
				m.failed.Store(true)
				return err
			}
		}
	}
	return nil
}

// makeDir makes a directory, unless it is there.
func (m *maker) makeDir(path string) error {
	switch err := mkdir(m.dir, path); err {
	case nil:
		m.dirs = append(m.dirs, path)
	case unix.EEXIST:
	default:
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

func (m *maker) makeEntry(at int) error {
	e := m.entries[at]
	if e.Link != "" {
		if err := unix.Symlinkat(e.Link, m.dir, e.Path); err != nil {
			return &os.PathError{Op: "symlink", Path: e.Path, Err: err}
		}
		m.done[at] = true
		return nil
	}
	if e.same != "" && link(m.dir, e.same, e.Path) == nil { // else it is not there yet, or cannot have more names
		m.done[at] = true
		return nil
	}
	fd, err := create(m.dir, e.Path)
	if err != nil {
		return &os.PathError{Op: "open", Path: e.Path, Err: err}
	}
	m.done[at] = true
	if err := errors.Join(write(fd, e.Text), closeFile(fd)); err != nil {
		return &os.PathError{Op: "write", Path: e.Path, Err: err}
	}
	return nil
}

// undo removes what has been made.
func (m *maker) undo() error {
	var errs []error
	for at, done := range m.done {
		if done {
			errs = append(errs, unix.Unlinkat(m.dir, m.entries[at].Path, 0))
		}
	}
	for _, d := range m.dirs {
		errs = append(errs, unix.Unlinkat(m.dir, d, unix.AT_REMOVEDIR))
	}
	return errors.Join(errs...)
}
