package bulk

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// File is one that could be sent.
type File struct {
	Path string // on this machine
	Name string // in the tree at the other end
	Size int64  // bytes
}

// settled is how old the last change of a file has to be: of a younger one a
// change while it is read could have the same time as the one before, on file
// systems that count in seconds or two.
const settled = 2 * time.Second

// Fits reports whether a file may be carried: it is regular, has one name, and
// permissions that need no care.
func Fits(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode() == info.Mode().Perm() && st.Nlink == 1 && time.Since(info.ModTime()) > settled && time.Since(time.Unix(st.Ctim.Unix())) > settled
}

// Send offers files and sends those that the other end wants. An error among them
// is the last, and Send's, after what came before it. done, if not nil, is told of the
// bytes that were sent as they are, and stored of each file that was sent well. Files
// that are gone or change meanwhile are left out; any other error is one of the
// connection. How much memory it takes does not depend on their number.
func Send(conn io.ReadWriter, files iter.Seq2[File, error], done func(bytes int), stored func(File)) (Sum, error) {
	s := sender{conn: conn, done: done, stored: stored, frame: make([]byte, headerSize+frameSize)}
	var some []File
	var last error
	for f, err := range files {
		if last = err; err != nil {
			break
		}
		if some = append(some, f); len(some) < mostOffered {
			continue
		}
		if err := s.some(some); err != nil {
			return s.sum, err
		}
		some = some[:0]
	}
	err := s.some(some)
	if err == nil {
		err = writeText(conn, []offer{})
	}
	return s.sum, errors.Join(last, err)
}

type sender struct {
	conn   io.ReadWriter
	done   func(int)
	stored func(File)
	frame  []byte
	sum    Sum
}

// some sends those that are wanted of some files.
func (s *sender) some(files []File) error {
	var offers []offer
	var of []File
	for _, f := range files {
		info, err := os.Lstat(f.Path)
		if err != nil || !Fits(info) {
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		offers = append(offers, offer{Name: []byte(f.Name), Size: info.Size(), Mode: info.Mode(), UID: st.Uid, GID: st.Gid, Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec})
		of = append(of, f)
	}
	if len(offers) == 0 {
		return nil
	}
	if err := writeText(s.conn, offers); err != nil {
		return err
	}
	var a answer
	if err := readText(s.conn, &a); err != nil {
		return err
	}
	last := -1
	for _, i := range a.Wanted {
		if i <= last || i >= len(offers) {
			return errFrame
		}
		last = i
		if err := s.file(of[i], offers[i]); err != nil {
			return err
		}
	}
	return readText(s.conn, &a)
}

// file sends the content of one file, or says that it could not.
func (s *sender) file(f File, o offer) error {
	size, sum, err := s.content(f.Path, o)
	var local *localError
	switch {
	case errors.As(err, &local):
		end := make([]byte, 2*headerSize) // and nothing behind it: changed
		if _, err := os.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) {
			end = append(binary.BigEndian.AppendUint32(end[:headerSize], 1), 0)
		}
		_, err = s.conn.Write(end)
		return err
	case err != nil:
		return err
	}
	end := binary.BigEndian.AppendUint32(make([]byte, headerSize), digestSize)
	if _, err := s.conn.Write(binary.BigEndian.AppendUint64(end, sum)); err != nil {
		return err
	}
	s.sum.Files++
	s.sum.Bytes += size
	if s.stored != nil {
		s.stored(f)
	}
	return nil
}

// localError is one of this machine's file, not of the connection.
type localError struct{ error }

var errChanged = errors.New("has changed")

// content sends what the file holds. It is good only where the file was what was
// offered before, and still is behind.
func (s *sender) content(path string, o offer) (size int64, sum uint64, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, 0, &localError{err}
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil || !Fits(before) || before.Size() != o.Size || !before.ModTime().Equal(o.time()) {
		return 0, 0, &localError{errors.Join(err, errChanged)}
	}
	digest := xxhash.New()
	for {
		n, err := io.ReadFull(f, s.frame[headerSize:])
		if n > 0 {
			data := s.frame[headerSize : headerSize+n]
			_, _ = digest.Write(data)
			binary.BigEndian.PutUint32(s.frame, uint32(n)) //nolint:gosec // at most frameSize
			if _, err := s.conn.Write(s.frame[:headerSize+n]); err != nil {
				return 0, 0, err
			}
			size += int64(n)
			if s.done != nil {
				s.done(n)
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err == nil && size > o.Size {
			err = errChanged // it grows; it could do so for ever
		}
		if err != nil {
			return 0, 0, &localError{err}
		}
	}
	after, err := f.Stat()
	if err != nil || size != o.Size || !same(before, after) {
		return 0, 0, &localError{errors.Join(err, errChanged)}
	}
	return size, digest.Sum64(), nil
}

// same reports whether a file has not been touched.
func same(a, b fs.FileInfo) bool {
	x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
	return x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim
}
