package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// told is an entry as the other machine describes it. It is one's facts.
type told struct {
	st     unix.Statx_t
	target []byte // of a symbolic link
	attrs  []byte
	digest bool
}

func (t *told) symlink() ([]byte, error)          { return t.target, nil }
func (t *told) attributes() ([]byte, bool, error) { return t.attrs, t.digest, nil }

// owner is what often stays the same from one entry to the next.
type owner struct {
	mode     uint16
	uid, gid uint32
}

// errLong is that an entry cannot be described.
var errLong = errors.New("too long")

// describe appends what st and of say of an entry, without its name. Attributes
// longer than inline become a digest. An entry that cannot be read is an error,
// and nothing is appended.
func describe(buf []byte, st *unix.Statx_t, of facts, before *owner, inline int) ([]byte, error) {
	at := len(buf)
	attrs, _, err := of.attributes()
	if err != nil {
		return buf, err
	}
	flags, now := byte(0), owner{st.Mode, st.Uid, st.Gid}
	if now.mode == before.mode {
		flags |= sameMode
	}
	if now.uid == before.uid && now.gid == before.gid {
		flags |= sameOwner
	}
	switch {
	case len(attrs) > inline:
		flags |= hasDigest
	case len(attrs) > 0:
		flags |= hasAttrs
	}
	if st.Nlink > 1 {
		flags |= hasInode
	}
	buf = append(buf, flags)
	if flags&sameMode == 0 {
		buf = binary.AppendUvarint(buf, uint64(now.mode))
	}
	if flags&sameOwner == 0 {
		buf = binary.AppendUvarint(binary.AppendUvarint(buf, uint64(now.uid)), uint64(now.gid))
	}
	buf = binary.AppendUvarint(buf, st.Size)
	buf = binary.AppendVarint(buf, st.Mtime.Sec)
	buf = binary.AppendUvarint(buf, uint64(st.Mtime.Nsec))
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		l, err := of.symlink()
		if err != nil || len(l) > maxTarget {
			return buf[:at], errors.Join(err, errLong)
		}
		buf = appendText(buf, l)
	case unix.S_IFCHR, unix.S_IFBLK:
		buf = binary.AppendUvarint(binary.AppendUvarint(buf, uint64(st.Rdev_major)), uint64(st.Rdev_minor))
	}
	if flags&hasInode != 0 {
		id := inodeOf(st)
		buf = binary.AppendUvarint(binary.AppendUvarint(buf, id.dev), id.ino)
	}
	switch {
	case flags&hasDigest != 0:
		sum := sha256.Sum256(attrs)
		buf = append(buf, sum[:]...)
	case flags&hasAttrs != 0:
		buf = append(binary.AppendUvarint(buf, uint64(len(attrs))), attrs...)
	}
	*before = now
	return buf, nil
}

// entry reads what describe has written. An inode that was not told is none
// that a file could have here.
func (b *body) entry(t *told, before *owner) {
	flags := b.bytes(1)
	if b.bad {
		return
	}
	f := flags[0]
	now := *before
	if f&sameMode == 0 {
		now.mode = uint16(b.below(1 << 16))
	}
	if f&sameOwner == 0 {
		now.uid, now.gid = uint32(b.below(1<<32)), uint32(b.below(1<<32))
	}
	*t = told{}
	t.st.Mode, t.st.Uid, t.st.Gid = now.mode, now.uid, now.gid
	t.st.Size = b.number()
	t.st.Mtime.Sec, t.st.Mtime.Nsec = b.signed(), uint32(b.below(1e9))
	switch now.mode & unix.S_IFMT {
	case unix.S_IFLNK:
		t.target = plain(b.text(maxTarget))
	case unix.S_IFCHR, unix.S_IFBLK:
		t.st.Rdev_major, t.st.Rdev_minor = uint32(b.below(1<<32)), uint32(b.below(1<<32))
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFDIR:
	default:
		b.fault()
	}
	if f&hasInode != 0 {
		dev := b.number()
		t.st.Dev_major, t.st.Dev_minor, t.st.Ino = unix.Major(dev), unix.Minor(dev), b.number()
	}
	switch {
	case f&hasDigest != 0:
		t.attrs, t.digest = b.bytes(sha256.Size), true
	case f&hasAttrs != 0:
		t.attrs = b.bytes(b.below(maxDirAttr + 1))
	}
	*before = now
}
