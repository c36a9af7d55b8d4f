package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pieceSize is how much of a stream a spool holds at a time. While one piece is
// sent the next is filled: that makes two.
const pieceSize = 32 << 20

const spoolPrefix = "b1000-spool-"

// spool is a directory with two files of one name, each as long as the stream so
// far, and all of it a hole but for the last piece.
type spool struct {
	dir   string
	lock  *os.File
	files [2]*os.File
}

// newSpool makes a spool in dir for a stream that is called base, after removing
// those that a killed program has left there.
func newSpool(dir, base string) (*spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	sweepSpools(dir)
	own, err := os.MkdirTemp(dir, spoolPrefix)
	if err != nil {
		return nil, err
	}
	s := &spool{dir: own}
	if s.lock, err = lockDir(own); err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	for i := range s.files {
		at := filepath.Join(own, fmt.Sprint(i))
		err := os.Mkdir(at, 0o700)
		if err == nil {
			s.files[i], err = os.OpenFile(filepath.Join(at, base), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		}
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// hole makes one of the files nothing but a hole of a size, where the next piece
// begins, and returns it.
func (s *spool) hole(i int, size int64) (*os.File, error) {
	f := s.files[i]
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	_, err := f.Seek(size, 0)
	return f, err
}

func (s *spool) Close() error {
	var errs []error
	for _, f := range s.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir), unlock(s.lock))...)
}

// sweepSpools removes the spools that nobody has locked. One that was made this
// moment and is not locked yet is empty: such a one stays.
func sweepSpools(dir string) {
	list, _ := filepath.Glob(filepath.Join(dir, spoolPrefix+"*", "*"))
	for _, inside := range list {
		at := filepath.Dir(inside)
		f, err := os.Open(at)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(at)
		}
		f.Close()
	}
}
