package storage

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"b1000/internal/retention"
	"b1000/internal/run"
	"b1000/internal/store"
)

// rules are how long a client's backups are kept.
func (s *Server) rules(c *client) retention.Rules {
	k := c.keep
	if !k.Set {
		k = s.Keep
	}
	return retention.Rules{Last: k.Last, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly, Within: k.Within}
}

// retain applies the client's rules after a good backup. What cannot be deleted
// is logged: the backup is good.
func (s *Server) retain(c *client, st store.Store, key store.Key) {
	all, err := run.Prune(s.ctx, st, key, s.rules(c), s.Now(), false)
	for _, p := range all {
		if p.Deleted {
			s.Log.Info(fmt.Sprintf("%s: deleted %s: %s", c.name, p.Entry.Location, p.Reason))
		}
	}
	if err != nil {
		s.Log.Error(fmt.Sprintf("%s: retention: %v", c.name, err))
	}
}

// Times for what nobody goes on with.
const (
	tendEvery = 15 * time.Minute
	abandoned = 24 * time.Hour
)

// tend looks after what clients have left behind, until the server ends.
func (s *Server) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		s.sweep(s.ctx)
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep lets go of backups that nobody has gone on with for a day, and removes
// what is left of them.
func (s *Server) sweep(ctx context.Context) {
	s.mu.Lock()
	var old []*backup
	for _, b := range s.backups {
		b.mu.Lock()
		if b.busy == 0 && s.Now().Sub(b.used) > abandoned {
			old = append(old, b)
		}
		b.mu.Unlock()
	}
	s.mu.Unlock()
	for _, b := range old {
		s.drop(b, nil)
	}
	for _, c := range s.clients.current() {
		if err := s.sweepRepository(c); err != nil && ctx.Err() == nil {
			s.Log.Warn(fmt.Sprintf("%s: restic: %v", c.name, err))
		}
		st, err := s.open(c)
		if err != nil {
			continue
		}
		list, err := st.List(ctx, "")
		if err != nil {
			continue // it has made none yet, or the list is no ground to delete on
		}
		for _, e := range list {
			s.clear(ctx, c, st, e)
		}
	}
}

// clear removes one backup that was begun and abandoned, or half deleted.
func (s *Server) clear(ctx context.Context, c *client, st store.Store, e store.Entry) {
	name := path.Base(e.Dir)
	if e.Day == "" || !strings.HasPrefix(name, store.PartialPrefix) && !strings.HasPrefix(name, store.DeletingPrefix) || s.making(c, e) {
		return
	}
	if at, err := changed(s.root(c), e); err != nil || s.Now().Sub(at) < abandoned {
		return
	}
	if err := st.Delete(ctx, e); err != nil {
		s.Log.Warn(fmt.Sprintf("%s: abandoned backup %s: %v", c.name, e.Location, err))
		return
	}
	s.Log.Info(fmt.Sprintf("%s: removed %s, which was begun and abandoned", c.name, e.Location))
}

// making reports whether a backup of that job is being made right now.
func (s *Server) making(c *client, e store.Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backups {
		if b.client == c.name && b.target.Job == e.Job && !b.isClosed() {
			return true
		}
	}
	return false
}
