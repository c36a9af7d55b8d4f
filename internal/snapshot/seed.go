package snapshot

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Seeds let rsync send of a changed file only what has changed in it: beside the
// place where it will write a file that is wanted, the file of a base is laid
// where rsync's --partial-dir keeps half of an interrupted file, which it then
// goes on from, in place. Where the file system can share blocks, those that do
// not change take no space.
type Seeds struct {
	Upload string // where rsync writes; it had been empty. The empty name is for no seeds
	Dir    string // the name of the --partial-dir; Merge leaves it out
	Least  int64  // bytes of a file that is worth it
	// Patience is how long may be spent on copying where blocks cannot be shared:
	// as long the other side may wait for an answer.
	Patience time.Duration
	// Own is the index from where on the bases are no backups, and will be gone
	// with the next one: halves of interrupted files are taken out of them.
	Own int
}

// unstamped is the mtime of a directory of the upload that was made for seeds
// only, and says nothing of the directory of the snapshot.
var unstamped = unix.StatxTimestamp{Sec: -1234567, Nsec: 987654321}

// Unstamped is that time, for others who make directories of the upload.
var Unstamped = time.Unix(unstamped.Sec, int64(unstamped.Nsec))

// seeder lays seeds for all helpers.
type seeder struct {
	Seeds
	upload  int // -1: there are to be none
	spent   atomic.Int64
	sharing atomic.Bool // blocks can be shared, as far as is known
}

func (s *seeder) open(opt Seeds) (err error) {
	s.Seeds, s.upload = opt, -1
	s.sharing.Store(true)
	if opt.Upload == "" {
		return nil
	}
	s.upload, err = unix.Open(opt.Upload, openPath|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("upload %s: %w", opt.Upload, err)
	}
	return nil
}

func (s *seeder) close() {
	if s.upload >= 0 {
		unix.Close(s.upload)
	}
}

// seed lays the seed of a wanted entry of the directory p, if a base has one. It
// is a help only: what cannot be done is left.
func (h *helper) seed(d *dir, p string, name []byte, t *told) {
	s := &h.acceptor.seeds
	if s.upload < 0 || t.st.Mode&unix.S_IFMT != unix.S_IFREG || int64(t.st.Size) < s.Least {
		return
	}
	place := -1
	defer func() {
		if place >= 0 {
			unix.Close(place)
		}
	}()
	ready := func() bool {
		if place < 0 {
			place, _ = s.place(p)
		}
		return place >= 0
	}
	for i := s.Own; i < len(d.bases); i++ {
		if s.half(d.bases[i], name) && ready() && s.take(d.bases[i], place, name) {
			return
		}
	}
	for _, fd := range d.bases {
		if from := s.whole(fd, name); from >= 0 {
			if ready() {
				h.fill(s, from, place, name)
			}
			unix.Close(from)
			return
		}
	}
}

// place opens the directory for the seeds of the directory p of the upload.
func (s *seeder) place(p string) (int, error) {
	if p != "" {
		p += "/"
	}
	return descend(s.upload, p+s.Dir, func(at int, name string) error {
		switch err := unix.Mkdirat(at, name, 0o700); err {
		case nil:
		case unix.EEXIST:
			return nil
		default:
			return err
		}
		full, err := openAt(at, cname("."), openDir)
		if err != nil {
			return err
		}
		defer unix.Close(full)
		return setTime(full, unstamped)
	})
}

// half reports whether a base holds half of an interrupted file.
func (s *seeder) half(base int, name []byte) bool {
	from, err := openAt(base, cname(s.Dir), openPath|unix.O_NOFOLLOW)
	if base < 0 || err != nil {
		return false
	}
	defer unix.Close(from)
	var st unix.Statx_t
	return statAt(from, name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 && st.Size > 0
}

// take moves half of an interrupted file here.
func (s *seeder) take(base, place int, name []byte) bool {
	from, err := openAt(base, cname(s.Dir), openPath|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer unix.Close(from)
	n := string(plain(name))
	return unix.Renameat2(from, n, place, n, unix.RENAME_NOREPLACE) == nil
}

// whole opens the file of a base, if it is one that is worth it.
func (s *seeder) whole(base int, name []byte) int {
	var st unix.Statx_t
	if base < 0 || statAt(base, name, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || int64(st.Size) < s.Least {
		return -1
	}
	fd, err := openAt(base, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return -1
	}
	return fd
}

// fill makes the seed from an open file.
func (h *helper) fill(s *seeder, from, place int, name []byte) {
	n := string(plain(name))
	to, err := unix.Openat(place, n, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return
	}
	defer unix.Close(to)
	if s.sharing.Load() {
		if unix.IoctlFileClone(to, from) == nil {
			return
		}
		s.sharing.Store(false)
	}
	if !h.copyFile(s, from, to) {
		_ = unix.Unlinkat(place, n, 0)
	}
}

// chunk is copied at once.
const chunk = 8 << 20

// copyFile copies a file; false where it takes too long or cannot be done.
func (h *helper) copyFile(s *seeder, from, to int) bool {
	for begun := time.Now(); ; {
		if h.stopped() || time.Duration(s.spent.Load())+time.Since(begun) > s.Patience {
			return false
		}
		n, err := unix.CopyFileRange(from, nil, to, nil, chunk, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return false
		case n == 0:
			s.spent.Add(int64(time.Since(begun)))
			return true
		}
	}
}
