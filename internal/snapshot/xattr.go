package snapshot

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	listMax  = 64 << 10 // XATTR_LIST_MAX
	valueMax = 64 << 10 // XATTR_SIZE_MAX
)

var (
	aclPrefix    = []byte("system.posix_acl_")
	systemPrefix = []byte("system.")
	userPrefix   = []byte("user.")
)

// attrs reads and compares extended attributes; ACLs are two of them. Each
// worker has one.
type attrs struct {
	acls, xattrs bool
	root         bool // all name spaces, not only user.*
	modern       bool // the kernel has listxattrat (6.13)

	path         []byte
	listA, listB []byte
	valA, valB   []byte
}

func newAttrs(acls, xattrs, root, modern bool) *attrs {
	a := &attrs{acls: acls, xattrs: xattrs, root: root, modern: modern}
	if a.wanted() {
		a.path = make([]byte, 0, 512)
		a.listA, a.listB = make([]byte, listMax), make([]byte, listMax)
		a.valA, a.valB = make([]byte, valueMax), make([]byte, valueMax)
	}
	return a
}

// wanted tells whether any attribute is preserved at all.
func (a *attrs) wanted() bool { return a.acls || a.xattrs }

// kept tells whether the attribute is one that is preserved. It follows rsync:
// -A takes the two POSIX ACLs, -X everything outside system.*, for an ordinary
// user only user.*.
func (a *attrs) kept(name []byte) bool {
	switch {
	case bytes.HasPrefix(name, aclPrefix):
		return a.acls
	case bytes.HasPrefix(name, systemPrefix):
		return false
	default:
		return a.xattrs && (a.root || bytes.HasPrefix(name, userPrefix))
	}
}

// hasListAt tells whether the kernel knows listxattrat. A sandbox may answer
// anything for a call that it does not know, so only a plain success counts.
func hasListAt(fd int) bool {
	a := attrs{modern: true}
	_, err := a.list(fd, cname("."), make([]byte, listMax))
	return err == nil
}

// list returns the attribute names of name below fd, each followed by a NUL.
// A file system without attributes has none.
func (a *attrs) list(fd int, name, buf []byte) ([]byte, error) {
	var n uintptr
	e := unix.ENOSYS
	if a.modern {
		n, _, e = unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(fd), uintptr(unsafe.Pointer(&name[0])),
			unix.AT_SYMLINK_NOFOLLOW, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
	} else {
		a.path = procName(a.path, fd, name)
		n, _, e = unix.Syscall(unix.SYS_LLISTXATTR, uintptr(unsafe.Pointer(&a.path[0])),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	}
	if e == unix.ENOTSUP {
		return nil, nil
	}
	if e != 0 {
		return nil, e
	}
	return buf[:n], nil
}

// get returns the value of one attribute of name below fd.
func (a *attrs) get(fd int, name, attr, buf []byte) ([]byte, error) {
	a.path = procName(a.path, fd, name)
	n, _, e := unix.Syscall6(unix.SYS_LGETXATTR, uintptr(unsafe.Pointer(&a.path[0])), uintptr(unsafe.Pointer(&attr[0])),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if e != 0 {
		return nil, e
	}
	return buf[:n], nil
}

// equal tells whether name has the same preserved attributes below both
// directories. Whatever cannot be read is not equal.
func (a *attrs) equal(fdA, fdB int, name []byte) bool {
	if !a.wanted() {
		return true
	}
	la, err := a.list(fdA, name, a.listA)
	if err != nil {
		return false
	}
	lb, err := a.list(fdB, name, a.listB)
	if err != nil {
		return false
	}
	if len(la) == 0 && len(lb) == 0 {
		return true
	}
	if a.count(la) != a.count(lb) {
		return false
	}
	for attr := range split(la) {
		if !a.kept(attr) {
			continue
		}
		va, err := a.get(fdA, name, attr, a.valA)
		if err != nil {
			return false
		}
		vb, err := a.get(fdB, name, attr, a.valB)
		if err != nil || !bytes.Equal(va, vb) {
			return false
		}
	}
	return true
}

// count returns how many names of the list are preserved.
func (a *attrs) count(list []byte) (n int) {
	for attr := range split(list) {
		if a.kept(attr) {
			n++
		}
	}
	return n
}

// split walks the names of a list, each with its NUL byte.
func split(list []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(list) > 0 {
			n := bytes.IndexByte(list, 0) + 1
			if n == 0 || !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// copy gives the open directory to the preserved attributes of the open
// directory from, and takes away those that from does not have (an ACL
// inherited from the parent's default ACL).
func (a *attrs) copy(from, to int) error {
	if !a.wanted() {
		return nil
	}
	dot := []byte{'.', 0}
	la, err := a.list(from, dot, a.listA)
	if err != nil {
		return err
	}
	lb, err := a.list(to, dot, a.listB)
	if err != nil {
		return err
	}
	for attr := range split(lb) {
		if a.kept(attr) && !has(la, attr) {
			if err := unix.Fremovexattr(to, string(plain(attr))); err != nil {
				return err
			}
		}
	}
	for attr := range split(la) {
		if !a.kept(attr) {
			continue
		}
		v, err := a.get(from, dot, attr, a.valA)
		if err != nil {
			return err
		}
		if err := unix.Fsetxattr(to, string(plain(attr)), v, 0); err != nil {
			return err
		}
	}
	return nil
}

// has tells whether the list holds the name.
func has(list, attr []byte) bool {
	for x := range split(list) {
		if bytes.Equal(x, attr) {
			return true
		}
	}
	return false
}
