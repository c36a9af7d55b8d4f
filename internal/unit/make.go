package unit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

	mu   sync.Mutex
	dirs []string // that have been made
}

// make makes everything by two workers. The kernel lets only one at a time make
// something in one directory, so one of them begins with what is at the root, and
// the other with what has directories of its own; who is done first helps the
// other one, from the far end.
func (m *maker) make() error {
	var top, below []int
	for at := range m.entries {
		if strings.IndexByte(m.entries[at].Path, '/') < 0 {
			top = append(top, at)
		} else {
			below = append(below, at)
		}
	}
	first, second := pile{entries: top}, pile{entries: below}
	done := make(chan error)
	go func() { done <- m.makeBoth(first.front, second.back) }()
	err := m.makeBoth(second.front, first.back)
	return errors.Join(err, <-done)
}

// makeBoth makes what the worker's own pile holds, then what the other one's does.
func (m *maker) makeBoth(own, other func() []int) error {
	if err := m.makeAll(own); err != nil {
		return err
	}
	return m.makeAll(other)
}

// pile is a list of entries that one worker takes from the front and another from
// the back.
type pile struct {
	entries []int
	taken   atomic.Int64 // handfuls
	ends    [2]int       // of either worker: how many handfuls it has had
}

// handful is how many entries are taken at once.
const handful = 32

// front returns the next entries from the front, none when all are taken.
func (p *pile) front() []int { return p.take(0) }

// back returns the next entries from the back.
func (p *pile) back() []int { return p.take(1) }

func (p *pile) take(end int) []int {
	handfuls := (len(p.entries) + handful - 1) / handful
	if p.taken.Add(1) > int64(handfuls) {
		return nil
	}
	at := p.ends[end]
	if end == 1 {
		at = handfuls - 1 - at
	}
	p.ends[end]++
	return p.entries[at*handful : min((at+1)*handful, len(p.entries))]
}

// makeAll makes the entries that next returns until it returns none.
func (m *maker) makeAll(next func() []int) error {
	last := ""
	for entries := next(); len(entries) > 0 && !m.failed.Load(); entries = next() {
		for _, at := range entries {
			dir, _ := filepath.Split(m.entries[at].Path)
			var err error
			if dir != last {
				err = m.makeDir(strings.TrimSuffix(dir, "/"))
				last = dir
			}
			if err == nil {
				err = m.makeEntry(at)
			}
			if err != nil {
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
		m.mu.Lock()
		m.dirs = append(m.dirs, path)
		m.mu.Unlock()
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
