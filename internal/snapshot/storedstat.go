package snapshot

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// parseStat reads the attribute of rsync (xattrs.c, set_stat_xattr): "mode
// major,minor uid:gid", the mode in octal, the rest in decimal figures.
func parseStat(text []byte, st *unix.Statx_t) error {
	rest, bad := string(text), false
	number := func(end byte, base, bits int) uint64 {
		word := rest
		if end != 0 {
			i := bytes.IndexByte([]byte(rest), end)
			if i < 0 {
				bad = true
				return 0
			}
			word, rest = rest[:i], rest[i+1:]
		}
		n, err := strconv.ParseUint(word, base, bits)
		bad = bad || err != nil
		return n
	}
	st.Mode = uint16(number(' ', 8, 16))
	st.Rdev_major, st.Rdev_minor = uint32(number(',', 10, 32)), uint32(number(' ', 10, 32))
	st.Uid, st.Gid = uint32(number(':', 10, 32)), uint32(number(0, 10, 32))
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
	default:
		bad = true
	}
	if bad {
		return errUnsure
	}
	return nil
}

// Size is the size of what a stored file of size bytes stands for. One that is in
// doubt stands for itself.
func (s Stored) Size(path string, size int64) int64 {
	if s != Munged || size <= int64(len(mungePrefix)) || size > int64(unix.PathMax+len(mungePrefix)) || kindOf(path) != unix.S_IFLNK {
		return size
	}
	return size - int64(len(mungePrefix))
}

// Regular reports whether a stored file stands for one.
func (s Stored) Regular(path string) bool { return s == Inode || kindOf(path) == unix.S_IFREG }

// kindOf is the type of what a stored file stands for.
func kindOf(path string) uint16 {
	var text [64]byte
	var st unix.Statx_t
	n, err := unix.Lgetxattr(path, statName, text[:])
	if err != nil || parseStat(text[:n], &st) != nil {
		return unix.S_IFREG
	}
	return st.Mode & unix.S_IFMT
}
