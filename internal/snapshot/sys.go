package snapshot

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the walk, made directly: the wrappers of x/sys copy
// each name into a new string, which costs more than some of the calls. A name
// is a slice that ends in its NUL byte.

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

// cname returns name with the NUL byte that system calls want.
func cname(name string) []byte { return append([]byte(name), 0) }

// plain returns the name without its NUL byte.
func plain(name []byte) []byte { return name[:len(name)-1] }

// statAt fills st with what name below fd is; links are not followed.
func statAt(fd int, name []byte, st *unix.Statx_t) error {
	for {
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&name[0])),
			unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(st)), 0)
		if e == 0 {
			return nil
		}
		if e != unix.EINTR {
			return e
		}
	}
}

// statFD fills st with what fd is.
func statFD(fd int, st *unix.Statx_t) error {
	return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, st)
}

// linkAt makes name below to one more name of what old below from is.
func linkAt(from int, old []byte, to int, name []byte) error {
	for {
		_, _, e := unix.Syscall6(unix.SYS_LINKAT, uintptr(from), uintptr(unsafe.Pointer(&old[0])),
			uintptr(to), uintptr(unsafe.Pointer(&name[0])), 0, 0)
		if e == 0 {
			return nil
		}
		if e != unix.EINTR {
			return e
		}
	}
}

// openAt opens name below fd.
func openAt(fd int, name []byte, flags int) (int, error) {
	for {
		r, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(fd), uintptr(unsafe.Pointer(&name[0])), uintptr(flags|unix.O_LARGEFILE), 0, 0, 0)
		if e == 0 {
			return int(r), nil
		}
		if e != unix.EINTR {
			return -1, e
		}
	}
}

// openSource opens a directory without touching its access time, where that is
// permitted (the owner and root).
func openSource(fd int, name []byte) (int, error) {
	d, err := openAt(fd, name, openDir|unix.O_NOATIME)
	if err == unix.EPERM {
		d, err = openAt(fd, name, openDir)
	}
	return d, err
}

// readLinkAt reads a symbolic link into buf and returns the part that is filled.
func readLinkAt(fd int, name []byte, buf []byte) ([]byte, error) {
	r, _, e := unix.Syscall6(unix.SYS_READLINKAT, uintptr(fd), uintptr(unsafe.Pointer(&name[0])),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if e != 0 {
		return nil, e
	}
	return buf[:r], nil
}

// readDir fills buf with directory entries; 0 is the end.
func readDir(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Getdents(fd, buf)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// nextEntry takes the first entry (struct linux_dirent64) off buf.
func nextEntry(buf []byte) (name []byte, kind byte, rest []byte) {
	n := binary.NativeEndian.Uint16(buf[16:])
	rec := buf[:n]
	end := bytes.IndexByte(rec[19:], 0)
	return rec[19 : 19+end+1], rec[18], buf[n:]
}

// isDots tells whether name is "." or "..".
func isDots(name []byte) bool {
	return name[0] == '.' && (len(name) == 2 || len(name) == 3 && name[1] == '.')
}

// procName writes the path /proc/self/fd/FD/NAME into buf, with its NUL byte.
func procName(buf []byte, fd int, name []byte) []byte {
	buf = append(buf[:0], "/proc/self/fd/"...)
	buf = strconv.AppendInt(buf, int64(fd), 10)
	return append(append(buf, '/'), name...)
}
