package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/mattn/go-shellwords"

	"b1000/internal/process"
)

// Catter is a Store that can read one stored file as a stream.
type Catter interface {
	// Cat writes what is in a regular file of a backup to w. An error of w is
	// returned as it is.
	Cat(ctx context.Context, e Entry, name string, w io.Writer) error
}

// Streams reports whether one file of a store can be read without room for it on
// this machine.
func Streams(s Store) bool {
	_, ok := s.(Catter)
	if r, remote := s.(*remote); remote {
		ok = r.ssh != nil
	}
	return ok
}

// Cat writes what is in a regular file of a backup to w. From a store that cannot
// be read as a stream the file is fetched first, into a directory below temp (""
// for the system's) that is removed again.
func Cat(ctx context.Context, s Store, e Entry, name, temp string, w io.Writer) error {
	clean, err := cleanName(name)
	if err != nil {
		return err
	}
	if Streams(s) {
		return s.(Catter).Cat(ctx, e, clean, w)
	}
	dir, err := os.MkdirTemp(temp, "b1000-stream-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := s.Restore(ctx, e, Restore{Paths: []string{clean}, To: dir}); err != nil {
		return err
	}
	return catFile(ctx, dir, clean, w)
}

// catFile writes what is in a regular file below a directory. No link leads out
// of the directory.
func catFile(ctx context.Context, dir, name string, w io.Writer) error {
	info, err := os.Lstat(filepath.Join(dir, name))
	if err == nil && !info.Mode().IsRegular() { // opening a FIFO would wait
		err = notRegular(name)
	}
	if err != nil {
		return err
	}
	f, err := os.OpenInRoot(dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, reader{ctx, f})
	return err
}

func notRegular(name string) error { return fmt.Errorf("%s is not a regular file", name) }

// reader ends with its context.
type reader struct {
	ctx  context.Context
	from io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}

// Cat reads the file where it is, and keeps the backup from being deleted
// meanwhile.
func (s *local) Cat(ctx context.Context, e Entry, name string, w io.Writer) error {
	done, err := s.reading(e)
	if err != nil {
		return err
	}
	defer done()
	dir := s.abs(e.Dir)
	if !s.stored().Regular(filepath.Join(dir, name)) {
		return notRegular(name)
	}
	return catFile(ctx, dir, name, w)
}

// Cat is for a store behind ssh; a daemon gives nothing as a stream (see
// Streams).
func (s *remote) Cat(ctx context.Context, e Entry, name string, w io.Writer) error {
	if s.ssh == nil {
		return errors.New("an rsync daemon gives no streams")
	}
	return s.ssh.cat(ctx, s.Extra, path.Join(e.Dir, name), w)
}

const catScript = `test ! -L "$1" && test -f "$1" || { echo "$1 is not there, or not a regular file" >&2; exit 1; }; exec cat -- "$1"`

// cat lets the host print a file.
func (h *sshHost) cat(ctx context.Context, extra []string, name string, w io.Writer) error {
	argv, err := shellwords.Parse(h.shell(extra))
	if err != nil || len(argv) == 0 {
		return fmt.Errorf("remote shell %q: %w", h.shell(extra), err)
	}
	out := &taking{to: w}
	err = process.Run(ctx, process.Command{
		Args: append(argv, h.login, "sh -c "+quote(catScript)+" b1000 "+quote(path.Join(h.dir, name))), Env: os.Environ(), Name: "ssh " + h.login, Output: out,
	})
	if out.err != nil && ctx.Err() == nil { // ssh noticed no more than that nobody listens
		return out.err
	}
	return err
}

// taking keeps the error of a writer.
type taking struct {
	to  io.Writer
	err error
}

func (t *taking) Write(p []byte) (int, error) {
	n, err := t.to.Write(p)
	if err != nil {
		t.err = err
	}
	return n, err
}
