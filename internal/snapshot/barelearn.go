package snapshot

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// Learn looks at files that are copied without a base, so that already the next
// run knows them. It stays on the file systems of the sources, passes over what it
// cannot read, and ends early when stop is closed.
func (b *Bare) Learn(sources []Source, acls, xattrs bool, stop <-chan struct{}) {
	fd, err := unix.Open("/", openPath, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	l := learner{
		bareNotes: bareNotes{Bare: b}, attrs: newAttrs(acls, xattrs, os.Geteuid() == 0, hasListAt(fd)),
		buf: make([]byte, 64<<10), stop: stop,
	}
	for _, s := range sources {
		var st unix.Statx_t
		dir, err := openSource(unix.AT_FDCWD, cname(s.Path))
		if err != nil {
			continue // a single file is not worth it
		}
		if statFD(dir, &st) == nil {
			l.top = inodeOf(&st).dev
			l.walk(dir, 0)
		}
		unix.Close(dir)
	}
	l.flush()
}

// learner is one call of Learn.
type learner struct {
	bareNotes
	attrs *attrs
	buf   []byte
	stop  <-chan struct{}
	top   uint64
}

func (l *learner) walk(dir, depth int) {
	var subs []byte
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		n, err := readDir(dir, l.buf)
		if err != nil || n <= 0 {
			break
		}
		for rest := l.buf[:n]; len(rest) > 0; {
			var name []byte
			var kind byte
			name, kind, rest = nextEntry(rest)
			switch {
			case isDots(name):
			case kind == unix.DT_DIR:
				subs = append(subs, name...)
			default:
				l.file(dir, name)
			}
		}
	}
	for len(subs) > 0 && depth < maxOpen {
		n := bytes.IndexByte(subs, 0) + 1
		var st unix.Statx_t
		if fd, err := openSource(dir, subs[:n]); err == nil {
			if statFD(fd, &st) == nil && inodeOf(&st).dev == l.top {
				l.walk(fd, depth+1)
			}
			unix.Close(fd)
		}
		subs = subs[n:]
	}
}

func (l *learner) file(dir int, name []byte) {
	var st unix.Statx_t
	if statAt(dir, name, &st) != nil {
		return
	}
	if _, digest := l.find(dir, &st); digest != 0 {
		if v, err := l.attrs.read(dir, name, nil); err == nil && len(v) == 0 {
			l.note(digest)
		}
	}
}
