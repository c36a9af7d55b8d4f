package snapshot

import (
	"bytes"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxOpen is the depth below which a directory's descriptors are closed
// while a directory inside it is at work.
const maxOpen = 100

// dir is a directory that is being worked on: the same place in the source,
// the target and the bases.
type dir struct {
	up    *dir
	inc   *include
	name  string // one element; of a place above an include: its path in the snapshot
	depth int
	place bool // above an include: entered to reach it, neither stamped nor listed

	src, dst int
	bases    []int // -1: not in that base
	st       unix.Statx_t

	rest   atomic.Bool  // rsync has something to do in it or below it
	listed atomic.Bool  // an entry in it or below it is in the list, which makes rsync finish it too
	waits  atomic.Bool  // an entry in it may still be linked after it has been left
	parts  atomic.Int32 // itself and the directories in it that are not finished

	away []inode // after suspend: source, target and bases
}

// path appends the directory's path inside the snapshot to buf.
func (d *dir) path(buf []byte) []byte {
	if d.up != nil {
		if buf = d.up.path(buf); len(buf) > 0 {
			buf = append(buf, '/')
		}
	}
	return append(buf, d.name...)
}

// source returns the absolute source path of an entry, or of the directory
// itself if name is empty.
func (d *dir) source(name []byte) string {
	buf := append([]byte(nil), d.inc.above...)
	if buf[len(buf)-1] != '/' {
		buf = append(buf, '/')
	}
	buf = append(buf, d.path(nil)...)
	if len(name) > 0 && buf[len(buf)-1] != '/' {
		buf = append(buf, '/')
	}
	buf = append(buf, name...)
	if len(buf) > 1 {
		buf = bytes.TrimSuffix(buf, []byte{'/'})
	}
	return string(buf)
}

// close closes what is open.
func (d *dir) close() {
	for _, fd := range append([]int{d.src, d.dst}, d.bases...) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	d.src, d.dst = -1, -1
	for i := range d.bases {
		d.bases[i] = -1
	}
}

// suspend closes the descriptors until resume.
func (d *dir) suspend() error {
	d.away = d.away[:0]
	for _, fd := range append([]int{d.src, d.dst}, d.bases...) {
		var id inode
		if fd >= 0 {
			var st unix.Statx_t
			if err := statFD(fd, &st); err != nil {
				return err
			}
			id = inodeOf(&st)
		}
		d.away = append(d.away, id)
	}
	d.close()
	return nil
}

// resume opens a suspended directory again, as the parent of child. It must
// be the same one; a base that cannot be reached is done without.
func (d *dir) resume(child *dir) (err error) {
	if d.src, err = above(child.src, d.away[0]); err != nil {
		return err
	}
	if child.dst >= 0 {
		if d.dst, err = above(child.dst, d.away[1]); err != nil {
			return err
		}
	}
	for i, fd := range child.bases {
		if fd >= 0 {
			if d.bases[i], err = above(fd, d.away[2+i]); err != nil {
				d.bases[i] = -1
			}
		}
	}
	d.away = nil
	return nil
}

// above opens the parent of an open directory, which must be the inode want.
func above(fd int, want inode) (int, error) {
	up, err := openSource(fd, cname(".."))
	if err != nil {
		return -1, err
	}
	var st unix.Statx_t
	if err = statFD(up, &st); err == nil && inodeOf(&st) != want {
		err = errMoved
	}
	if err != nil {
		unix.Close(up)
		return -1, err
	}
	return up, nil
}
