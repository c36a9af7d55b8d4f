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

// stands tells whether an open directory of the target has all that already: then
// nothing is written to it.
func (k *worker) stands(dst int, t *told, whole bool) bool {
	var is unix.Statx_t
	if statFD(dst, &is) != nil || is.Mtime.Sec != t.st.Mtime.Sec || is.Mtime.Nsec != t.st.Mtime.Nsec {
		return false
	}
	if k.faked != nil {
		return k.faked.stands(dst, &is, t, whole)
	}
	return is.Mode == t.st.Mode && is.Uid == t.st.Uid && is.Gid == t.st.Gid && (!whole || k.attrs.equal(t, dst, cname(".")))
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
		return unix.Fsetxattr(dst, statName, statText(st), 0)
	}
	if err := unix.Fremovexattr(dst, statName); err != nil && err != unix.ENODATA && err != unix.ENOTSUP {
		return err
	}
	return nil
}

// setAttrs stores the attributes, and takes away those that are there beside them.
func (f *faked) setAttrs(dst int, attributes []byte, mode uint16) error {
	want, err := f.storedAttrs(attributes, mode)
	if err != nil {
		return err
	}
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

// storedAttrs are attributes of a directory as they are stored.
func (f *faked) storedAttrs(attributes []byte, mode uint16) (want []byte, err error) {
	p, err := partAttrs(attributes)
	if err != nil {
		return nil, err
	}
	access, _, err := encodeAccess(p.access, mode)
	if err != nil {
		return nil, err
	}
	deflt, err := encodeDefault(p.deflt)
	if err != nil {
		return nil, err
	}
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
	return want, nil
}

// stands tells whether an open directory, whose inode is own, has what stamp would
// give it, but for its time.
func (f *faked) stands(dst int, own *unix.Statx_t, t *told, whole bool) bool {
	st := &t.st
	mode := own.Mode&unix.S_IFMT | st.Mode&0o777 | 0o700
	if own.Mode != mode {
		return false
	}
	var want []byte
	if whole {
		var err error
		if want, err = f.storedAttrs(t.attrs, st.Mode); err != nil {
			return false
		}
	}
	if mode != st.Mode || own.Uid != st.Uid || own.Gid != st.Gid {
		want = appendAttr(want, cname(statName), statText(st))
	}
	list, err := f.attrs.list(dst, cname("."), &f.attrs.listA)
	if err != nil {
		return false
	}
	for attr := range split(list) {
		if bytes.HasPrefix(attr, userPrefix) && !has(want, attr) && (whole || string(plain(attr)) == statName) {
			return false
		}
	}
	equal := true
	ok, _ := each(want, func(attr, value []byte) error {
		is, err := f.attrs.get(dst, cname("."), attr)
		equal = equal && err == nil && bytes.Equal(is, value)
		return nil
	})
	return ok && equal
}

// statText is the value of the attribute that says what a directory is.
func statText(st *unix.Statx_t) []byte {
	return fmt.Appendf(nil, "%o 0,0 %d:%d", st.Mode, st.Uid, st.Gid)
}
