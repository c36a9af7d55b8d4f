package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// sweeper removes from a tree what does not stay.
type sweeper struct {
	target  int
	leave   string // at the top
	stopped func() bool
	dir     func(ino uint64) bool           // stays even if it is empty
	name    func(ino uint64, p string) bool // stays
	buf     []byte
}

var errSwept = errors.New("ended before it was swept")

// sweep does one directory and those below it. It keeps none open meanwhile. A
// directory that has lost something keeps its time.
func (s *sweeper) sweep(p string) error {
	if s.stopped() {
		return errSwept
	}
	subs, gone, err := s.look(p)
	if err != nil {
		return fmt.Errorf("%q: %w", p, err)
	}
	var empty []string
	for _, sub := range subs {
		if err := s.sweep(below(p, sub.name)); err != nil {
			return err
		}
		if !s.dir(sub.ino) {
			empty = append(empty, sub.name)
		}
	}
	if len(gone)+len(empty) == 0 {
		return nil
	}
	at, err := full(s.target, p)
	if err != nil {
		return fmt.Errorf("%q: %w", p, err)
	}
	defer unix.Close(at)
	return keepTime(at, func(at int) error {
		for _, name := range gone {
			if err := unlink(at, name); err != nil {
				return err
			}
		}
		for _, name := range empty {
			err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
			if err != nil && err != unix.ENOTEMPTY && err != unix.EEXIST && err != unix.ENOENT {
				return fmt.Errorf("remove directory %q: %w", name, err)
			}
		}
		return nil
	})
}

// found is an entry of a directory that is swept.
type found struct {
	name string
	ino  uint64
}

// look reads one directory.
func (s *sweeper) look(p string) (subs []found, gone []string, err error) {
	at, err := openBeneath(s.target, p, openDir)
	if err != nil { // too long a path for one call
		if at, err = full(s.target, p); err != nil {
			return nil, nil, err
		}
	}
	defer unix.Close(at)
	for {
		n, err := readDir(at, s.buf)
		if n <= 0 || err != nil {
			return subs, gone, err
		}
		for rest := s.buf[:n]; len(rest) > 0; {
			ino := binary.NativeEndian.Uint64(rest)
			var name []byte
			var kind byte
			name, kind, rest = nextEntry(rest)
			if isDots(name) || p == "" && string(plain(name)) == s.leave {
				continue
			}
			n := string(plain(name))
			switch {
			case kind == unix.DT_DIR, kind == unix.DT_UNKNOWN && isDir(at, name):
				subs = append(subs, found{n, ino})
			case !s.name(ino, below(p, n)):
				gone = append(gone, n)
			}
		}
	}
}

func isDir(at int, name []byte) bool {
	var st unix.Statx_t
	return statAt(at, name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// Empty removes what is in a directory, but for one name at its top. No link is
// followed. The directory keeps its time.
func Empty(dir, leave string) error {
	fd, err := unix.Open(dir, openDir, 0)
	if err == nil {
		defer unix.Close(fd)
		err = empty(fd, leave)
	}
	if err != nil {
		return fmt.Errorf("snapshot: %s: %w", dir, err)
	}
	return nil
}

func empty(fd int, leave string) error {
	s := &sweeper{
		target: fd, leave: leave, buf: make([]byte, 64<<10), stopped: func() bool { return false },
		dir: func(uint64) bool { return false }, name: func(uint64, string) bool { return false },
	}
	return s.sweep("")
}
