package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Place is where files are stored.
type Place struct {
	Root *os.Root
	// Half is the name of a directory beside a file's place, in which it is until it
	// is whole: that of rsync's --partial-dir, so that an rsync goes on from a half
	// that was left.
	Half string
	// Made is the time that directories get which have to be made, as a sign that
	// nobody has said what they are. Those that are there keep theirs.
	Made time.Time
}

// Receive stores what the other end sends, until it has no more. What is at its
// place already, or has a half, is not wanted. What does not come whole stays as a
// half, but for what has no use. Nothing that was there is written to.
func Receive(conn io.ReadWriter, p Place) (Sum, error) {
	r := receiver{conn: conn, place: p, owners: os.Geteuid() == 0, buffer: make([]byte, bufferSize)}
	for {
		var offers []offer
		if err := readText(conn, &offers); err != nil {
			return r.sum, err
		}
		if len(offers) == 0 {
			return r.sum, nil
		}
		if err := r.some(offers); err != nil {
			return r.sum, err
		}
	}
}

// bufferSize is how much is written at once: whole pages.
const bufferSize = 128 << 10

type receiver struct {
	conn   io.ReadWriter
	place  Place
	owners bool // can be kept
	buffer []byte
	sum    Sum
}

func (r *receiver) some(offers []offer) error {
	var a answer
	if len(offers) > mostOffered {
		return errFrame
	}
	for i, o := range offers {
		if err := o.check(); err != nil {
			return err
		}
		if r.wants(string(o.Name)) {
			a.Wanted = append(a.Wanted, i)
		}
	}
	if err := writeText(r.conn, a); err != nil {
		return err
	}
	before := r.sum.Files
	for _, i := range a.Wanted {
		if err := r.file(offers[i]); err != nil {
			return fmt.Errorf("%s: %w", offers[i].Name, err)
		}
	}
	return writeText(r.conn, answer{Stored: int(r.sum.Files - before)})
}

// check refuses what no sender of ours would offer.
func (o offer) check() error {
	name := string(o.Name)
	parts := strings.Split(name, "/")
	bad := slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." || len(p) > longestPart })
	if bad || len(name) > longestName || o.Nsec < 0 || o.Nsec >= int64(time.Second) || strings.Contains(name, "\x00") || o.Size < 0 || o.Mode != o.Mode.Perm() {
		return fmt.Errorf("%w: a file %q of %d bytes with mode %v", errFrame, name, o.Size, o.Mode)
	}
	return nil
}

// half is where a file is until it is whole.
func (r *receiver) half(name string) string {
	return path.Join(path.Dir(name), r.place.Half, path.Base(name))
}

func (r *receiver) wants(name string) bool {
	if strings.Count(name, "/") > deepest {
		return false
	}
	for _, there := range []string{name, r.half(name)} {
		if _, err := r.place.Root.Lstat(there); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// file takes one file. Where something stands in its way its content is read
// nevertheless.
func (r *receiver) file(o offer) error {
	half := r.half(string(o.Name))
	leave, err := r.enter(path.Dir(half))
	defer leave()
	var f *os.File
	if err == nil {
		f, err = r.place.Root.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		_, _, err := r.content(io.Discard, o.Size)
		return err
	}
	defer f.Close()
	size, is, err := r.content(f, o.Size)
	if err == nil && is == good {
		err = r.finish(f, half, o)
	}
	var cut *cutError
	switch {
	case err == nil && is == good:
		r.sum.Files++
		r.sum.Bytes += size
	case size == 0 || err == nil && is == gone || err != nil && !errors.As(err, &cut):
		_ = r.place.Root.Remove(half)
	}
	return err
}

// enter makes a directory. leave removes it where nothing is in there, and sets
// the times of those that it is in.
func (r *receiver) enter(dir string) (leave func(), err error) {
	root := r.place.Root
	var made []string
	there := dir
	for ; there != "."; there = path.Dir(there) {
		if _, err := root.Lstat(there); err == nil {
			break
		}
		made = append(made, there)
	}
	if there == dir && there != "." { // what it is in changes
		there = path.Dir(dir)
	}
	info, err := root.Stat(there)
	if err == nil {
		err = root.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return func() {}, err
	}
	return func() {
		if path.Base(dir) == r.place.Half {
			_ = root.Remove(dir)
		}
		for _, m := range made {
			_ = root.Chtimes(m, time.Time{}, r.place.Made)
		}
		_ = root.Chtimes(there, time.Time{}, info.ModTime())
	}, nil
}

// finish gives a file that is whole what belongs to it, and its place.
func (r *receiver) finish(f *os.File, half string, o offer) error {
	if r.owners {
		if err := f.Chown(int(o.UID), int(o.GID)); err != nil {
			return err
		}
	}
	if err := f.Chmod(o.Mode); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // a network file system may say only now that it is full
		return err
	}
	if err := r.place.Root.Chtimes(half, time.Time{}, o.time()); err != nil {
		return err
	}
	return r.place.Root.Rename(half, string(o.Name))
}

// end is what the sender says of a content.
type end int

const (
	good end = iota
	changed
	gone
)

// cutError is of a connection that ends in the middle of a file.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

// content writes what comes to w, and returns how much that is. It is good only
// where it is as long as it was said to be and has the digest that the sender
// counted.
func (r *receiver) content(w io.Writer, want int64) (size int64, is end, err error) {
	digest := xxhash.New()
	filled := 0
	flush := func() error {
		b := r.buffer[:filled]
		filled = 0
		_, _ = digest.Write(b)
		n, err := w.Write(b)
		size += int64(n)
		return err
	}
	for {
		n, err := readHeader(r.conn, frameSize)
		if err != nil {
			return size, changed, errors.Join(cut(err), flush())
		}
		if n == 0 {
			break
		}
		if size > want {
			return size, changed, fmt.Errorf("%w: more than the %d bytes", errFrame, want)
		}
		for n > 0 {
			m, err := io.ReadFull(r.conn, r.buffer[filled:min(filled+n, len(r.buffer))])
			n -= m
			if filled += m; err != nil {
				return size, changed, errors.Join(cut(broken(err)), flush())
			}
			if filled == len(r.buffer) {
				if err := flush(); err != nil {
					return size, changed, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return size, changed, err
	}
	is, err = r.verdict(digest.Sum64())
	if err == nil && is == good && size != want {
		err = fmt.Errorf("%w: %d bytes in place of %d", errFrame, size, want)
	}
	return size, is, err
}

// cut marks an error of the connection.
func cut(err error) error {
	if errors.Is(err, errFrame) {
		return err
	}
	return &cutError{err}
}

// verdict reads what the sender says of what it sent.
func (r *receiver) verdict(sum uint64) (end, error) {
	n, err := readHeader(r.conn, digestSize)
	if err != nil {
		return changed, cut(err)
	}
	var said [digestSize]byte
	if _, err := io.ReadFull(r.conn, said[:n]); err != nil {
		return changed, cut(broken(err))
	}
	switch {
	case n == 0:
		return changed, nil
	case n == 1 && said[0] == 0:
		return gone, nil
	case n == digestSize && binary.BigEndian.Uint64(said[:]) == sum:
		return good, nil
	}
	return changed, errors.New("what came is not what was sent: the digests differ")
}
