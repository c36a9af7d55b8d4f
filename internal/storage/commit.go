package storage

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/wire"
)

// commit makes the backup exist. What identifies it is what was begun; what it
// holds is the client's to say, but for the streams, which were counted here.
func (s *Server) commit(c *call) error {
	b, err := s.backup(c)
	if err != nil {
		return err
	}
	var m report.Manifest
	if err := c.hear(&m); err != nil {
		return err
	}
	begun := b.target.Manifest
	if m.ID != begun.ID || m.Job != begun.Job || m.Instance != begun.Instance || m.Host != begun.Host || m.Type != begun.Type || !m.Start.Equal(begun.Start) {
		return &refusal{status: http.StatusConflict, text: "the manifest is that of another backup"}
	}
	m.Start, m.Version = begun.Start, begun.Version
	s.endTransfers(b, nil)
	if err := b.sound(m); err != nil {
		return err
	}
	if err := s.overQuota(c.r.Context(), c.client); err != nil {
		s.discard(c.client, b, err)
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}
	where, err := b.commit(c.r.Context(), m)
	s.drop(b, nil)
	if err != nil {
		return err
	}
	dir, err := filepath.Rel(s.root(c.client), where)
	if err != nil {
		return err
	}
	s.Log.Info(fmt.Sprintf("%s: has made backup %s of job %s: %d files, %d bytes, %s", b.client, m.ID, m.Job, m.Files, m.Bytes, where))
	s.retain(c.client, c.store, store.KeyOf(&m))
	s.stale(b.client)
	s.record(c.client, c.store, m.ID, dir)
	return c.say(wire.Committed{Location: dir})
}

// commit makes the backup exist, unless it was closed meanwhile.
func (b *backup) commit(ctx context.Context, m report.Manifest) (where string, err error) {
	b.ending.Lock()
	defer b.ending.Unlock()
	if b.isClosed() {
		return "", &refusal{status: http.StatusGone, text: "this backup is not being made any more"}
	}
	return b.place.Commit(ctx, m)
}

// sound refuses a manifest that speaks of streams which are not stored so.
func (b *backup) sound(m report.Manifest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, want := range m.Streams {
		if !slices.Contains(b.streams, want) {
			return &refusal{status: http.StatusConflict, text: fmt.Sprintf("stream %s is not stored with the %d bytes and the digest that the client counted", want.Name, want.Size)}
		}
	}
	return nil
}
