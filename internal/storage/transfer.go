package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"b1000/internal/store"
	"b1000/internal/wire"
)

// transfer is a place among those that are served at once: one directory that a
// client reaches by rsync, by one connection or several.
type transfer struct {
	token  string
	client *client
	dir    string   // that rsync is shut in
	module module   // without its directory
	lock   *os.File // that rsync holds as well; nil for none
	backup *backup  // that is filled; nil for a restore
	restic bool     // one request of restic
	done   func()   // gives back what the transfer holds

	bases   []string // to link to; none for no links
	since   []time.Time
	damaged map[uint64]int64 // files of them, see store.Place

	ctx    context.Context // of its rsyncs
	cancel context.CancelCauseFunc

	unused time.Duration // see Settings

	mu    sync.Mutex
	conns int
	idle  *time.Timer
	over  bool
	why   error          // it was cut
	gone  sync.WaitGroup // its rsyncs
}

// place makes a transfer, as soon as there is room.
func (s *Server) place(ctx context.Context, c *client, t *transfer) error {
	free, err := s.room(ctx, c)
	if err != nil {
		t.done()
		return err
	}
	held := t.done
	t.done = func() { held(); free() }
	t.token, t.client = rand.Text(), c
	t.ctx, t.cancel = context.WithCancelCause(s.ctx)
	t.unused = s.Unused
	t.idle = time.AfterFunc(t.unused, func() { s.finish(t, errors.New("nobody has connected for a while")) })
	s.mu.Lock()
	s.transfers[t.token] = t
	s.mu.Unlock()
	return nil
}

// restore makes a place to read a backup from.
func (s *Server) restore(c *call) error {
	e, err := s.find(c)
	if err != nil {
		return err
	}
	done, err := c.store.(store.Reader).Reading(e)
	if err != nil {
		return err
	}
	t := &transfer{dir: filepath.Join(s.root(c.client), e.Dir), done: done}
	if err := s.place(c.r.Context(), c.client, t); err != nil {
		return err
	}
	s.Log.Info(fmt.Sprintf("%s: reads backup %s of job %s", c.client.name, e.ID, e.Job))
	return c.say(wire.Ready{Token: t.token})
}

func (s *Server) transfer(c *call) (*transfer, error) {
	s.mu.Lock()
	t := s.transfers[c.r.PathValue("token")]
	s.mu.Unlock()
	if t == nil || t.client.name != c.client.name {
		return nil, &refusal{status: http.StatusGone, text: "there is no such transfer any more; the server may have been started anew"}
	}
	return t, nil
}

// connect hands a connection to rsync. Without an Upgrade it tells whether there
// was any trouble, and the place is kept for another minute.
func (s *Server) connect(c *call) error {
	t, err := s.transfer(c)
	if err != nil {
		return err
	}
	protocol := strings.ToLower(c.r.Header.Get("Upgrade"))
	switch {
	case protocol == wire.UpgradeLink && len(t.bases) == 0:
		return &refusal{status: http.StatusConflict, text: "nothing is linked in this transfer"}
	case protocol == wire.UpgradeBulk && (t.backup == nil || !bulky(s)):
		return &refusal{status: http.StatusConflict, text: "this transfer takes nothing in bulk"}
	case !slices.Contains([]string{wire.Upgrade, wire.UpgradeLink, wire.UpgradeBulk}, protocol):
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.why != nil {
			return &refusal{status: http.StatusConflict, text: t.why.Error()}
		}
		if t.conns == 0 && !t.over { // who asks will connect
			t.idle.Reset(t.unused)
		}
		return c.say(struct{}{})
	}
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol); err != nil {
		return nil // it has gone
	}
	if err := s.plainly(t); err != nil {
		s.Log.Error(fmt.Sprintf("%s: %v", c.client.name, err))
		return nil
	}
	serve := map[string]func(context.Context, *peer, *transfer) error{wire.Upgrade: s.rsync, wire.UpgradeBulk: s.bulk, wire.UpgradeLink: s.link}[protocol]
	if err := serve(t.ctx, c.peer, t); err != nil {
		s.Log.Warn(fmt.Sprintf("%s: %s: %v", c.client.name, strings.TrimPrefix(protocol, "b1000-"), err))
		s.cutIfFull(t, err)
	}
	return nil
}

func (t *transfer) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return &refusal{status: http.StatusGone, text: "there is no such transfer any more; the server may have been started anew"}
	}
	t.idle.Stop()
	t.conns++
	t.gone.Add(1)
	return nil
}

func (t *transfer) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone.Done()
	if t.conns--; t.conns == 0 && !t.over {
		t.idle.Reset(t.unused)
	}
}

func (s *Server) over(c *call) error {
	t, err := s.transfer(c)
	if err != nil {
		return err
	}
	s.finish(t, nil)
	s.forget(t)
	return c.say(struct{}{})
}

// settle is how long an rsync whose client has gone may take to write what it has.
const settle = 30 * time.Second

// finish ends a transfer. Without a cause its rsyncs may come to their own end,
// with one they are cut.
func (s *Server) finish(t *transfer, why error) {
	t.mu.Lock()
	first := !t.over
	t.over = true
	if t.why == nil {
		t.why = why
	}
	t.idle.Stop()
	t.mu.Unlock()
	if why != nil {
		t.cancel(why)
	}
	cut := time.AfterFunc(settle, func() { t.cancel(errors.New("rsync did not end")) })
	t.gone.Wait()
	cut.Stop()
	if !first {
		return
	}
	t.done()
	t.cancel(nil)
	if why == nil {
		s.forget(t)
	} else { // its client may ask why
		time.AfterFunc(t.unused, func() { s.forget(t) })
	}
}

func (s *Server) forget(t *transfer) {
	s.mu.Lock()
	delete(s.transfers, t.token)
	s.mu.Unlock()
}

// endTransfers ends those that fill a backup.
func (s *Server) endTransfers(b *backup, why error) {
	s.mu.Lock()
	var list []*transfer
	for _, t := range s.transfers {
		if t.backup == b {
			list = append(list, t)
		}
	}
	s.mu.Unlock()
	for _, t := range list {
		s.finish(t, why)
	}
}

// flushing lets the disk write what arrives, until the returned function is
// called. A disk that fails ends the transfer.
func (s *Server) flushing(t *transfer) (stop func()) {
	return t.backup.place.Flushing(func(err error) {
		s.cut(t, &refusal{status: http.StatusInsufficientStorage, text: "the server's disk fails: " + err.Error()})
	})
}
