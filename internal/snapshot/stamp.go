package snapshot

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Stamp gives the directory target what the directory source has: owner, mode,
// ACL and attributes as asked, and mtime last. It is for a target that holds
// the contents of a source (Name "."), after rsync has added to it.
func Stamp(source, target string, acls, xattrs bool, stored Stored) error {
	dst, err := unix.Open(target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("snapshot: target %s: %w", target, err)
	}
	defer unix.Close(dst)
	modern := hasListAt(dst)
	k := worker{attrs: newAttrs(acls, xattrs, unix.Geteuid() == 0, modern), faked: newFaked(stored, modern)}
	if err := k.stampPath(source, dst); err != nil {
		return fmt.Errorf("snapshot: target %s: %w", target, err)
	}
	return nil
}

// stampPath gives the directory dst what the directory at a path has.
func (k *worker) stampPath(source string, dst int) error {
	src, err := openAt(unix.AT_FDCWD, cname(source), openPath)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	full, err := openAt(dst, cname("."), openDir)
	if err != nil {
		return err
	}
	defer unix.Close(full)
	var st unix.Statx_t
	if err := statFD(src, &st); err != nil {
		return err
	}
	return k.stampFrom(src, full, &st)
}

// stamp gives an open directory what another has, on file systems alike.
func stamp(a *attrs, src, dst int, st *unix.Statx_t) error {
	return stampWith(dst, st, func() error { return a.copy(src, dst) })
}

// stampWith gives an open directory what st says. The order matters: chown
// clears set-id bits, an ACL changes the mode's group bits, and everything
// changes times but the last call.
func stampWith(dst int, st *unix.Statx_t, attributes func() error) error {
	if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(dst, uint32(st.Mode)&0o7777); err != nil {
		return err
	}
	if err := attributes(); err != nil {
		return err
	}
	return setTime(dst, st.Mtime)
}

// setTime sets the mtime of an open file.
func setTime(fd int, t unix.StatxTimestamp) error {
	mtime, err := unix.TimeToTimespec(time.Unix(t.Sec, int64(t.Nsec)))
	if err != nil {
		return err
	}
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// stamp finishes a directory. Where rsync has something to do in it or below it,
// rsync finishes it once more, since the parents of what is listed are implied
// (rsync(1), --relative): listing them too would double its work. One that is not
// implied is listed: it cannot be finished here, so that rsync can say why, or
// something may still be linked into it.
func (k *worker) stamp(d *dir) {
	top := d.up == nil // the target itself: rsync cannot be told of it alone
	done := false
	if top || !d.waits.Load() {
		err := k.stampFrom(d.src, d.dst, &d.st)
		switch {
		case err == nil:
			done = true
		case top || broken(err):
			k.fail(fmt.Errorf("%s: set attributes: %w", d.source(nil), err))
		default:
			d.rest.Store(true)
		}
	}
	if d.rest.Load() && !top && !(done && d.listed.Load()) {
		k.restDir(d, nil)
	}
}

// broken tells an error of the target as a whole from one of the entry.
func broken(err error) bool {
	for _, e := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS, unix.ENOMEM, unix.EUCLEAN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
