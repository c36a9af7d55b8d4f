package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/wire"
)

// backup is one that a client is making.
type backup struct {
	token, client string
	target        store.Target
	place         store.Place
	since         time.Time // begun

	mu        sync.Mutex
	used      time.Time
	busy      int // transfers and streams at work
	attempts  int // to fill it with trees; only the last one counts
	over      bool
	closed    bool            // nothing is held any more
	ending    sync.Mutex      // held while it is committed or closed
	filled    bool            // there may be something of an attempt before
	streams   []report.Stream // that are stored whole
	discarded error           // why it was; it is known here still for who asks
}

// begin begins a backup. One of the same id that the client had begun before, and
// whose connection it has lost, ends.
func (s *Server) begin(c *call) error {
	var asked wire.Target
	if err := c.hear(&asked); err != nil {
		return err
	}
	t, err := targetOf(asked)
	if err != nil {
		return err
	}
	if err := s.makeRoot(c.client); err != nil {
		return err
	}
	s.supersede(c.client, t)
	if err := errors.Join(s.tight(), s.overQuota(c.r.Context(), c.client)); err != nil {
		return err
	}
	made, err := c.store.Begin(c.r.Context(), t)
	if err != nil {
		return err
	}
	place := made.(store.Place)
	b := &backup{token: rand.Text(), client: c.client.name, target: t, place: place, since: s.Now(), used: s.Now()}
	s.mu.Lock()
	s.backups[b.token] = b
	s.mu.Unlock()
	s.stale(b.client)
	s.Log.Info(fmt.Sprintf("%s: has begun backup %s of job %s", b.client, t.Manifest.ID, t.Job))
	return c.say(wire.Begun{Token: b.token})
}

// supersede lets go of what the client had begun with that id.
func (s *Server) supersede(c *client, t store.Target) {
	s.mu.Lock()
	var old []*backup
	for _, b := range s.backups {
		if b.client == c.name && b.target.Job == t.Job && b.target.Manifest.ID == t.Manifest.ID {
			old = append(old, b)
		}
	}
	s.mu.Unlock()
	for _, b := range old {
		s.drop(b, errors.New("the backup was begun again"))
	}
}

// backup is the backup that a call is about. It is the client's own, or it is
// not there.
func (s *Server) backup(c *call) (*backup, error) {
	s.mu.Lock()
	b := s.backups[c.r.PathValue("token")]
	s.mu.Unlock()
	if b == nil || b.client != c.client.name {
		return nil, &refusal{status: http.StatusGone, text: "this backup is not being made here; the server may have been started anew"}
	}
	b.mu.Lock()
	discarded := b.discarded
	b.mu.Unlock()
	if discarded != nil {
		return nil, &refusal{status: http.StatusGone, text: "this backup was discarded: " + discarded.Error()}
	}
	b.mu.Lock()
	b.used = s.Now()
	b.mu.Unlock()
	return b, nil
}

// enter begins to fill the backup; leave ends it.
func (b *backup) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return &refusal{status: http.StatusGone, text: "this backup is not being made any more"}
	}
	b.busy++
	return nil
}

func (b *backup) leave(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy--
	b.used = now
}

// isClosed reports whether the backup is being made no more.
func (b *backup) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// finish marks the backup as over, unless something still writes to it.
func (b *backup) finish() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
		return &refusal{status: http.StatusGone, text: "this backup is not being made any more"}
	case b.busy > 0:
		return &refusal{status: http.StatusLocked, text: "something is still being written to this backup"}
	}
	b.over = true
	return nil
}

// drop lets go of a backup, and cuts what fills it. It stays as an incomplete
// one.
func (s *Server) drop(b *backup, why error) {
	s.release(b, why)
	s.mu.Lock()
	delete(s.backups, b.token)
	s.mu.Unlock()
}

// release does so, and the backup is still known here.
func (s *Server) release(b *backup, why error) {
	b.mu.Lock()
	b.over = true // for those who wait for a place
	b.mu.Unlock()
	s.endTransfers(b, why)
	b.ending.Lock() // a commit comes to its end: what it has begun must not be begun again meanwhile
	defer b.ending.Unlock()
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	s.stale(b.client)
	if closed {
		return
	}
	if err := b.place.Close(); err != nil {
		s.Log.Warn(fmt.Sprintf("%s: backup %s: %v", b.client, b.target.Manifest.ID, err))
	}
}

// discard lets go of a full backup, and removes what is there of it. A sync one
// stays: there is no other copy.
func (s *Server) discard(c *client, b *backup, why error) {
	root := b.place.Root()
	b.mu.Lock()
	b.discarded = why // its client can be told, until it has been idle for a day
	b.mu.Unlock()
	s.release(b, context.Canceled)
	st, err := s.open(c)
	if err != nil || b.target.Day == "" {
		return
	}
	list, _ := st.List(s.ctx, b.target.Job) // what is not listed is not removed
	for _, e := range list {
		if filepath.Join(s.root(c), e.Dir) == root && e.State == report.Incomplete {
			if err := st.Delete(s.ctx, e); err != nil {
				s.Log.Warn(fmt.Sprintf("%s: %v", c.name, err))
			}
		}
	}
}

func (s *Server) letGo(c *call) error {
	b, err := s.backup(c)
	if err != nil {
		return err
	}
	s.drop(b, context.Canceled)
	s.Log.Info(fmt.Sprintf("%s: has let go of backup %s of job %s", b.client, b.target.Manifest.ID, b.target.Job))
	return c.say(struct{}{})
}

// closeAll lets go of everything, at the end.
func (s *Server) closeAll() {
	s.mu.Lock()
	var all []*backup
	for _, b := range s.backups {
		all = append(all, b)
	}
	s.mu.Unlock()
	for _, b := range all {
		s.drop(b, errEnding)
	}
}
