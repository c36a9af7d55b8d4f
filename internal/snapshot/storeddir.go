package snapshot

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// stampStored gives an open directory of the target what st and its attributes
// say, as attrs.read writes them, in the way in which the target keeps that.
// Without whole the attributes are left to rsync.
func (k *worker) stampStored(dst int, st *unix.Statx_t, attributes []byte, whole bool) error {
	if k.faked != nil {
		return k.faked.stamp(dst, st, attributes, whole)
	}
	return stampWith(dst, st, func() error {
		if !whole {
			return nil
		}
		return k.attrs.set(dst, attributes)
	})
}

// stampFrom does so with what another open directory has.
func (k *worker) stampFrom(src, dst int, st *unix.Statx_t) error {
	a := k.attrs
	v, err := a.read(src, cname("."), a.valA[:0])
	a.valA = v
	if err != nil {
		return err
	}
	return k.stampStored(dst, st, v, true)
}

// stamp stores it as rsync does (xattrs.c, set_stat_xattr): the owner of the
// storage may enter each directory.
func (f *faked) stamp(dst int, st *unix.Statx_t, attributes []byte, whole bool) error {
	var own unix.Statx_t
	if err := statFD(dst, &own); err != nil {
		return err
	}
	mode := own.Mode&unix.S_IFMT | st.Mode&0o777 | 0o700
	if own.Mode != mode {
		if err := unix.Fchmod(dst, uint32(mode)&0o7777); err != nil {
			return err
		}
	}
	err := f.setStat(dst, st, mode == st.Mode && own.Uid == st.Uid && own.Gid == st.Gid)
	if err == nil && whole {
		err = f.setAttrs(dst, attributes, st.Mode)
	}
	return errors.Join(err, setTime(dst, st.Mtime))
}

// setStat says what a directory is, unless its inode does.
func (f *faked) setStat(dst int, st *unix.Statx_t, plainly bool) error {
	if !plainly {
		return unix.Fsetxattr(dst, statName, fmt.Appendf(nil, "%o 0,0 %d:%d", st.Mode, st.Uid, st.Gid), 0)
	}
	if err := unix.Fremovexattr(dst, statName); err != nil && err != unix.ENODATA && err != unix.ENOTSUP {
		return err
	}
	return nil
}

// setAttrs stores the attributes, and takes away those that are there beside them.
func (f *faked) setAttrs(dst int, attributes []byte, mode uint16) error {
	p, err := partAttrs(attributes)
	if err != nil {
		return err
	}
	access, _, err := encodeAccess(p.access, mode)
	if err != nil {
		return err
	}
	deflt, err := encodeDefault(p.deflt)
	if err != nil {
		return err
	}
	var want []byte
	if access != nil {
		want = appendAttr(want, cname(accessName), access)
	}
	if deflt != nil {
		want = appendAttr(want, cname(defaultName), deflt)
	}
	_, _ = each(p.others, func(attr, value []byte) error {
		switch {
		case bytes.HasPrefix(attr, []byte(rsyncPrefix+"%")): // rsync does not send them
		case bytes.HasPrefix(attr, userPrefix):
			want = appendAttr(want, attr, value)
		default:
			want = appendAttr(want, append([]byte(rsyncPrefix), attr...), value)
		}
		return nil
	})
	list, err := f.attrs.list(dst, cname("."), &f.attrs.listA)
	if err != nil {
		return err
	}
	for attr := range split(list) {
		if bytes.HasPrefix(attr, userPrefix) && string(plain(attr)) != statName && !has(want, attr) {
			if err := unix.Fremovexattr(dst, string(plain(attr))); err != nil {
				return err
			}
		}
	}
	_, err = each(want, func(attr, value []byte) error { return unix.Fsetxattr(dst, string(plain(attr)), value, 0) })
	return err
}
