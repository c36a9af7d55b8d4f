package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// verdict is what becomes of an entry.
type verdict int

const (
	toRest verdict = iota // rsync copies it
	linked                // it is in the target
	waits                 // its group decides
)

// decide links the entry that k.sa describes, if it can.
func (k *worker) decide(d *dir, name []byte) verdict {
	if k.opt.HardLinks && k.sa.Nlink > 1 {
		return k.member(d, name)
	}
	for i := range d.bases {
		if k.same(d.bases[i], i, name, k.here(d, name)) && k.used.claim(inodeOf(&k.sb)) && k.link(d, i, name) == nil {
			return linked
		}
	}
	return toRest
}

// errUnlinked is that an entry cannot be linked and rsync has to copy it.
var errUnlinked = errors.New("not linked")

// link makes the base's entry, k.sb, an entry of the target.
func (k *worker) link(d *dir, i int, name []byte) error {
	return k.linkTo(d.bases[i], name, d.dst, name, inodeOf(&k.sb))
}

// linkTo links an entry, which is the inode id, to another place. What says no
// more than that this entry, or this file system, has no (more) links is
// errUnlinked; any other error has ended the run.
func (k *worker) linkTo(from int, old []byte, to int, name []byte, id inode) error {
	err := linkAt(from, old, to, name)
	switch err {
	case nil:
		return nil
	case unix.EMLINK, unix.EXDEV, unix.EPERM, unix.EACCES, unix.ENOENT, unix.ELOOP, unix.EOPNOTSUPP, unix.ENOSYS:
		return errUnlinked
	case unix.EEXIST:
		var st unix.Statx_t
		if statAt(to, name, &st) == nil && inodeOf(&st) == id {
			return nil
		}
	}
	k.fail(fmt.Errorf("link %q in the target: %w", plain(name), err))
	return errUnlinked
}

// facts are what a stat does not tell of the source's entry, wherever that is.
type facts interface {
	symlink() ([]byte, error)
	// attributes are the preserved ones as attrs.read writes them, or a digest of
	// that.
	attributes() (value []byte, digest bool, err error)
}

// same tells whether the entry of base i equals the source's, k.sa, in
// everything that is preserved. fd is the directory in that base. It leaves the
// base's entry in k.sb, as its inode is. Whoever compares, on one machine or on
// two, asks here.
func (k *worker) same(fd, i int, name []byte, of facts) bool {
	if fd < 0 || statAt(fd, name, &k.sb) != nil || len(k.opt.Damaged) > 0 && k.damaged(fd, name) {
		return false
	}
	if k.faked == nil {
		return k.alike(i, &k.sb) && k.sameLink(fd, name, of) && k.attrs.equal(of, fd, name)
	}
	if k.sa.Mtime.Sec != k.sb.Mtime.Sec || k.sa.Mtime.Nsec != k.sb.Mtime.Nsec { // most of what has changed
		return false
	}
	is := k.sb
	return k.faked.read(fd, name, &is) == nil && k.alike(i, &is) && k.faked.same(of, k.sa.Mode)
}

// damaged tells whether the base's entry, k.sb, is known to be. One whose birth
// cannot be told has to be taken for it.
func (k *worker) damaged(fd int, name []byte) bool {
	born, is := k.opt.Damaged[k.sb.Ino]
	if !is {
		return false
	}
	var st unix.Statx_t
	err := unix.Statx(fd, string(plain(name)), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	return err != nil || born == 0 || st.Mask&unix.STATX_BTIME == 0 || st.Btime.Sec*1e9+int64(st.Btime.Nsec) == born
}

// alike compares the source's entry, k.sa, with what base i has, b.
func (k *worker) alike(i int, b *unix.Statx_t) bool {
	a := &k.sa
	if a.Mode != b.Mode || a.Size != b.Size || a.Mtime.Sec != b.Mtime.Sec || a.Mtime.Nsec != b.Mtime.Nsec ||
		a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev_major != b.Rdev_major || a.Rdev_minor != b.Rdev_minor {
		return false
	}
	if inodeOf(a) == inodeOf(b) { // the source is linked to the base: who writes to it writes to the backup
		return false
	}
	if u := k.unsure; u.least > 0 && i >= u.from && a.Size >= u.least && a.Mode&unix.S_IFMT == unix.S_IFREG {
		return false
	}
	return i >= len(k.opt.BaseTimes) || !uncertain(k.opt.BaseTimes[i], a.Mtime)
}

// sameLink compares the targets of symbolic links.
func (k *worker) sameLink(fd int, name []byte, of facts) bool {
	if k.sa.Mode&unix.S_IFMT != unix.S_IFLNK {
		return true
	}
	x, err := of.symlink()
	if err != nil {
		return false
	}
	y, err := readLinkAt(fd, name, k.lb)
	return err == nil && bytes.Equal(x, y)
}

// local is an entry of a source on this machine.
type local struct {
	k    *worker
	fd   int
	name []byte
	st   *unix.Statx_t
}

// here returns the facts of an entry of d, until the next call.
func (k *worker) here(d *dir, name []byte) facts {
	k.entryAt = local{k, d.src, name, &k.sa}
	return &k.entryAt
}

func (e *local) symlink() ([]byte, error) {
	l, err := readLinkAt(e.fd, e.name, e.k.la)
	if err == nil && len(l) == len(e.k.la) {
		err = unix.ENAMETOOLONG
	}
	return l, err
}

func (e *local) attributes() ([]byte, bool, error) {
	a := e.k.attrs
	known, digest := e.k.bare.find(e.fd, e.st)
	if known {
		e.k.bare.note(digest)
		return nil, false, nil
	}
	v, err := a.read(e.fd, e.name, a.valA[:0])
	a.valA = v
	if err == nil && len(v) == 0 {
		e.k.bare.note(digest)
	}
	return v, false, err
}

// uncertain tells whether a file of that mtime may have changed after it was
// copied to a base taken at that time, without a change of its mtime.
func uncertain(taken time.Time, m unix.StatxTimestamp) bool {
	if taken.IsZero() {
		return false
	}
	slack := 10 * time.Millisecond
	if m.Nsec == 0 {
		slack = 2 * time.Second
	}
	return !time.Unix(m.Sec, int64(m.Nsec)).Before(taken.Add(-slack))
}
