package storage

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"b1000/internal/wire"
)

// tree makes the place in which a backup's tree is written.
func (s *Server) tree(c *call) error {
	b, err := s.backup(c)
	if err != nil {
		return err
	}
	attempt := b.attempt()
	s.endTransfers(b, errors.New("another attempt has begun"))
	if err := errors.Join(s.tight(), s.overQuota(c.r.Context(), c.client)); err != nil {
		return err
	}
	if err := b.enter(); err != nil {
		return err
	}
	t := &transfer{backup: b, module: module{writable: true}, done: func() { b.leave(s.Now()) }}
	used, err := b.prepare(t, attempt, c.r.URL.Query().Has("link"))
	if err != nil {
		t.done()
		return err
	}
	if err := s.place(c.r.Context(), c.client, t); err != nil {
		return err
	}
	if err := b.current(attempt); err != nil { // who ended the others did not know of this one
		s.finish(t, err)
		s.forget(t)
		return err
	}
	link := len(t.bases) > 0
	return c.say(wire.Ready{Token: t.token, Resumed: used && !link, Link: link, Bulk: bulky(s), FakeSuper: s.FakeSuper, Again: b.place.Doubtful() || !link && b.place.Unsure()})
}

// attempt begins another attempt, and tells its number.
func (b *backup) attempt() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts++
	return b.attempts
}

// current is an error where another attempt has begun since that one, or the backup
// is not being made any more.
func (b *backup) current(attempt int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isCurrent(attempt)
}

func (b *backup) isCurrent(attempt int) error {
	switch {
	case b.over:
		return &refusal{status: http.StatusGone, text: "this backup is not being made any more"}
	case b.attempts != attempt:
		return &refusal{status: http.StatusConflict, text: "another attempt has begun"}
	}
	return nil
}

// prepare makes the tree ready for an attempt, with something to link to where that
// is wanted, and says so in its transfer. It reports whether something may be in the
// tree that the client has sent before.
func (b *backup) prepare(t *transfer, attempt int, link bool) (used bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.isCurrent(attempt); err != nil {
		return false, err
	}
	if link {
		if t.damaged, err = b.place.Damaged(); err != nil { // the client is told
			return false, err
		}
		if t.bases, t.since, err = b.linkable(); err != nil {
			return false, err
		}
	}
	used = b.filled || b.place.Used()
	b.filled = true
	t.dir, t.lock = b.place.Dir(), b.place.Lock()
	return used, nil
}

func (b *backup) isOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// plainly makes sure that no link leads to where a transfer is shut in. There is none
// unless something is wrong.
func (s *Server) plainly(t *transfer) error {
	below, err := filepath.Rel(s.Path, t.dir)
	if err != nil || t.dir == "" {
		return err
	}
	root, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), below, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	switch err {
	case nil:
		return unix.Close(fd)
	case unix.ENOSYS, unix.EPERM: // an old kernel, or a sandbox
		return nil
	}
	return fmt.Errorf("open %s: %w", t.dir, err)
}
