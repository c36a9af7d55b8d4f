package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"b1000/internal/store"
	"b1000/internal/wire"
)

// tellEvery is how often a client that waits for a verification is told how far
// it is.
const tellEvery = 2 * time.Second

// verify reads a backup and tells whether it is what it was: a line now and then,
// and the last with the result.
func (s *Server) verify(c *call) error {
	e, err := s.find(c)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(c.w)
	flush := http.NewResponseController(c.w).Flush
	var read atomic.Int64
	type result struct {
		found store.Verified
		err   error
	}
	done := make(chan result, 1)
	go func() {
		unlock, err := s.recorder.lock(c.r.Context(), filepath.Join(s.root(c.client), e.Job))
		if err != nil {
			done <- result{err: err}
			return
		}
		defer unlock()
		found, err := store.Verify(c.r.Context(), c.store, e, func(n int) { read.Add(int64(n)) })
		done <- result{found, err}
	}()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = out.Encode(wire.Verified{Read: read.Load()})
			_ = flush() // one that does not arrive is a client that has gone: then the context ends
		case r := <-done:
			v := r.found
			last := wire.Verified{Last: true, Read: read.Load(), Files: v.Files, Bytes: v.Bytes, Fresh: v.Fresh, Damaged: v.Damaged, Damage: v.Damage}
			if r.err != nil {
				last.Fault = r.err.Error()
			}
			if v.Damaged > 0 {
				s.Log.Error(fmt.Sprintf("%s: backup %s of job %s is damaged: %d files, the first: %s", c.client.name, e.ID, e.Job, v.Damaged, v.Damage[0]))
			}
			_ = out.Encode(last)
			return nil
		}
	}
}

// record takes the digests of what a client has just stored, while it is still in
// memory. One backup after the other; a server that is stopped meanwhile does it
// with the next backup that shares these files, or when they are verified.
func (s *Server) record(c *client, st store.Store, id, dir string) {
	job := filepath.Join(s.root(c), firstOf(dir))
	me := s.recorder.enter(s.ctx, filepath.Join(s.root(c), dir))
	s.wg.Go(func() {
		err := s.recorder.record(me, job, func(ctx context.Context) error {
			list, err := st.List(ctx, firstOf(dir))
			for _, e := range list {
				if e.Dir == dir && err == nil {
					err = store.Record(ctx, st, e)
				}
			}
			return err
		})
		if err != nil {
			s.Log.Warn(fmt.Sprintf("%s: backup %s: its digests are not recorded: %v", c.name, id, err))
		}
	})
}
