package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	listMax  = 64 << 10 // XATTR_LIST_MAX
	valueMax = 64 << 10 // XATTR_SIZE_MAX
	usualMax = 256      // most need no more, and for more the kernel has to find pages each time
)

var (
	aclPrefix    = []byte("system.posix_acl_")
	systemPrefix = []byte("system.")
	sgiPrefix    = []byte("trusted.SGI_ACL_") // as which XFS shows an ACL once more
	userPrefix   = []byte("user.")
)

// attrs reads and compares extended attributes; ACLs are two of them. Each
// worker has one.
type attrs struct {
	acls, xattrs bool
	root         bool // all name spaces, not only user.*
	modern       bool // the kernel has listxattrat (6.13)

	path         []byte
	listA, listB []byte   // they and value grow when something longer comes
	names        [][]byte // of listA
	value        []byte
	valA, valB   []byte // what read has written
}

func newAttrs(acls, xattrs, root, modern bool) *attrs {
	a := &attrs{acls: acls, xattrs: xattrs, root: root, modern: modern}
	if a.wanted() {
		a.path = make([]byte, 0, 512)
		a.listA, a.listB, a.value = make([]byte, usualMax), make([]byte, usualMax), make([]byte, usualMax)
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
	case bytes.HasPrefix(name, systemPrefix), bytes.HasPrefix(name, sgiPrefix):
		return false
	default:
		return a.xattrs && (a.root || bytes.HasPrefix(name, userPrefix))
	}
}

// hasListAt tells whether the kernel knows listxattrat. A sandbox may answer
// anything for a call that it does not know, so only a plain success counts.
func hasListAt(fd int) bool {
	a := attrs{modern: true, listA: make([]byte, usualMax)}
	_, err := a.list(fd, cname("."), &a.listA)
	return err == nil
}

// list returns the attribute names of name below fd, each followed by a NUL, in
// buf. A file system without attributes has none.
func (a *attrs) list(fd int, name []byte, buf *[]byte) ([]byte, error) {
	list, err := a.listInto(fd, name, (*buf)[:usualMax])
	if err == unix.ERANGE {
		atLeast(buf, listMax)
		return a.listInto(fd, name, *buf)
	}
	return list, err
}

func atLeast(buf *[]byte, size int) {
	if len(*buf) < size {
		*buf = make([]byte, size)
	}
}

func (a *attrs) listInto(fd int, name, buf []byte) ([]byte, error) {
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

// get returns the value of one attribute of name below fd, until the next call.
func (a *attrs) get(fd int, name, attr []byte) ([]byte, error) {
	value, err := a.getInto(fd, name, attr, a.value[:usualMax])
	if err == unix.ERANGE {
		atLeast(&a.value, valueMax)
		return a.getInto(fd, name, attr, a.value)
	}
	return value, err
}

func (a *attrs) getInto(fd int, name, attr, buf []byte) ([]byte, error) {
	a.path = procName(a.path, fd, name)
	n, _, e := unix.Syscall6(unix.SYS_LGETXATTR, uintptr(unsafe.Pointer(&a.path[0])), uintptr(unsafe.Pointer(&attr[0])),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if e != 0 {
		return nil, e
	}
	return buf[:n], nil
}

// read appends the preserved attributes of name below fd to buf, sorted, so that
// equal ones are equal bytes: name, NUL, length of the value, value. Nothing is
// appended where there are none.
func (a *attrs) read(fd int, name, buf []byte) ([]byte, error) {
	if !a.wanted() {
		return buf, nil
	}
	list, err := a.list(fd, name, &a.listA)
	if err != nil || len(list) == 0 {
		return buf, err
	}
	a.names = a.names[:0]
	for attr := range split(list) {
		if a.kept(attr) {
			a.names = append(a.names, attr)
		}
	}
	slices.SortFunc(a.names, bytes.Compare)
	for _, attr := range a.names {
		v, err := a.get(fd, name, attr)
		if err != nil {
			return buf, err
		}
		buf = appendAttr(buf, attr, v)
	}
	return buf, nil
}

// appendAttr appends one attribute as read does.
func appendAttr(buf, attr, value []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(append(buf, attr...), uint32(len(value)))
	return append(buf, value...)
}

// each calls do for every attribute of what read has written; false if buf is
// something else.
func each(buf []byte, do func(attr, value []byte) error) (ok bool, err error) {
	for len(buf) > 0 {
		n := bytes.IndexByte(buf, 0) + 1
		if n <= 1 || len(buf) < n+4 {
			return false, nil
		}
		size := uint64(binary.LittleEndian.Uint32(buf[n:]))
		attr, rest := buf[:n], buf[n+4:]
		if size > uint64(len(rest)) {
			return false, nil
		}
		if err := do(attr, rest[:size]); err != nil {
			return true, err
		}
		buf = rest[size:]
	}
	return true, nil
}

// equal tells whether name below fd has the preserved attributes of an entry.
// Whatever cannot be read is not equal.
func (a *attrs) equal(of facts, fd int, name []byte) bool {
	if !a.wanted() {
		return true
	}
	va, digest, err := of.attributes()
	if err != nil {
		return false
	}
	vb, err := a.read(fd, name, a.valB[:0])
	a.valB = vb
	if err != nil {
		return false
	}
	if digest {
		sum := sha256.Sum256(vb)
		return bytes.Equal(va, sum[:])
	}
	return bytes.Equal(va, vb)
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
// directory from.
func (a *attrs) copy(from, to int) error {
	v, err := a.read(from, cname("."), a.valA[:0])
	a.valA = v
	if err != nil {
		return err
	}
	return a.set(to, v)
}

// errAttrs is that a list of attributes is none.
var errAttrs = errors.New("attributes that are none")

// set gives the open directory to the attributes that read has written, as far
// as they are preserved, and takes away those that it has beside them (an ACL
// inherited from the parent's default ACL).
func (a *attrs) set(to int, want []byte) error {
	if !a.wanted() {
		return nil
	}
	lb, err := a.list(to, cname("."), &a.listB)
	if err != nil {
		return err
	}
	for attr := range split(lb) {
		if a.kept(attr) && !has(want, attr) {
			if err := unix.Fremovexattr(to, string(plain(attr))); err != nil {
				return err
			}
		}
	}
	ok, err := each(want, func(attr, value []byte) error {
		if !a.kept(attr) {
			return nil
		}
		return unix.Fsetxattr(to, string(plain(attr)), value, 0)
	})
	if !ok {
		return errAttrs
	}
	return err
}

// has tells whether an attribute is among those that read has written.
func has(buf, attr []byte) (found bool) {
	_, _ = each(buf, func(x, _ []byte) error {
		found = found || bytes.Equal(x, attr)
		return nil
	})
	return found
}
