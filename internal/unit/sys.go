package unit

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of which Make makes ten thousands, made directly. On the
// tmpfs that a generator writes to each takes a few microseconds; the runtime
// would get ready for one that blocks, with other threads and timers, which costs
// a tenth of the time.

// pathMax is longer than any path in a tree of units: a name with its directory
// is at most nameMax each.
const pathMax = 2*nameMax + 2

// cpath returns a path with the NUL byte that system calls want.
func cpath(path string) (buf [pathMax + 1]byte, err error) {
	if copy(buf[:pathMax], path) < len(path) {
		err = unix.ENAMETOOLONG
	}
	return buf, err
}

// create opens a new file for writing; one that is there already is an error.
func create(dir int, path string) (fd int, err error) {
	buf, err := cpath(path)
	if err != nil {
		return -1, err
	}
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	r, _, e := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&buf)), flags, 0o644, 0, 0)
	return int(r), failure(e)
}

// link gives a file another name, in the same directory tree.
func link(dir int, from, to string) error {
	a, errA := cpath(from)
	b, errB := cpath(to)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	_, _, e := unix.RawSyscall6(unix.SYS_LINKAT, uintptr(dir), uintptr(unsafe.Pointer(&a)), uintptr(dir), uintptr(unsafe.Pointer(&b)), 0, 0)
	return failure(e)
}

func mkdir(dir int, path string) error {
	buf, err := cpath(path)
	if err != nil {
		return err
	}
	_, _, e := unix.RawSyscall(unix.SYS_MKDIRAT, uintptr(dir), uintptr(unsafe.Pointer(&buf)), 0o755)
	return failure(e)
}

// write writes the whole text, or fails.
func write(fd int, text string) error {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)))
	if e == 0 && int(n) < len(text) {
		return unix.ENOSPC
	}
	return failure(e)
}

func closeFile(fd int) error {
	_, _, e := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return failure(e)
}

func failure(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}
