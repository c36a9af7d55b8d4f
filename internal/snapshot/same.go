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
		if k.same(d, i, name) && k.used.claim(inodeOf(&k.sb)) && k.link(d, i, name) == nil {
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

// same tells whether the entry of base i equals the source's, k.sa, in
// everything that is preserved. It leaves the base's in k.sb.
func (k *worker) same(d *dir, i int, name []byte) bool {
	if d.bases[i] < 0 || statAt(d.bases[i], name, &k.sb) != nil {
		return false
	}
	a, b := &k.sa, &k.sb
	if a.Mode != b.Mode || a.Size != b.Size || a.Mtime.Sec != b.Mtime.Sec || a.Mtime.Nsec != b.Mtime.Nsec ||
		a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev_major != b.Rdev_major || a.Rdev_minor != b.Rdev_minor {
		return false
	}
	if inodeOf(a) == inodeOf(b) { // the source is linked to the base: who writes to it writes to the backup
		return false
	}
	if i < len(k.opt.BaseTimes) && uncertain(k.opt.BaseTimes[i], a.Mtime) {
		return false
	}
	if a.Mode&unix.S_IFMT == unix.S_IFLNK && !k.sameLink(d, i, name) {
		return false
	}
	return k.attrs.equal(d.src, d.bases[i], name)
}

// sameLink compares the targets of two symbolic links.
func (k *worker) sameLink(d *dir, i int, name []byte) bool {
	a, err := readLinkAt(d.src, name, k.la)
	if err != nil || len(a) == len(k.la) {
		return false
	}
	b, err := readLinkAt(d.bases[i], name, k.lb)
	return err == nil && bytes.Equal(a, b)
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
