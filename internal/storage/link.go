package storage

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
	"b1000/internal/store"
)

// linkable empties the tree of the backup where there is something to link to,
// and returns that. What is there of an attempt before becomes a part of it. The
// caller holds b.mu.
func (b *backup) linkable() (bases []string, since []time.Time, err error) {
	if some, _ := b.place.Bases(); len(some) == 0 && !(b.target.HardLink && b.target.Day != "" && (b.filled || b.place.Used())) {
		return nil, nil, nil
	}
	if err := b.place.Afresh(b.filled); err != nil {
		return nil, nil, err
	}
	b.filled, b.streams = false, nil // streams were in there too: they come again
	bases, since = b.place.Bases()
	return bases, since, nil
}

// link takes what a client offers and links what is unchanged into a tree of its
// own, which no rsync reaches. Nothing but links of this client's last backup
// can come into being there.
func (s *Server) link(ctx context.Context, p *peer, t *transfer) error {
	b := t.backup
	b.mu.Lock()
	into, err := b.place.Links()
	b.mu.Unlock()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { p.Close() })()
	o := snapshot.AcceptOptions{Bases: t.bases, BaseTimes: t.since, Target: into.Dir, Copied: into.Copied, Leave: into.Leave, Damaged: t.damaged}
	if into.Copied {
		o.Bases = o.Bases[1:]
	}
	o.Seeds = snapshot.Seeds{Own: ownFrom(t.bases), Least: leastSeed}
	if into.Copied {
		o.Seeds.Own = 1
	}
	o.Unsure = b.place.Unsure()
	if s.FakeSuper {
		o.Stored = snapshot.Munged // see module.config
	}
	if t.client.may("restore") { // of a seed the client learns what it holds
		o.Seeds.Upload, o.Seeds.Dir, o.Seeds.Patience = t.dir, rsync.PartialDir, seedPatience
	}
	done := false // the client may know it
	o.Done = func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		err := b.place.Linked()
		done = err == nil
		return err
	}
	sum, err := snapshot.Accept(ctx, o, mtls.Patient{Conn: p, Limit: s.Timeout})
	if err != nil && !done {
		b.mu.Lock()
		b.place.NoLinks()
		b.mu.Unlock()
	}
	if err != nil {
		return err
	}
	s.Log.Info(fmt.Sprintf("%s: backup %s of job %s: %d entries linked, %d wanted", b.client, b.target.Manifest.ID, b.target.Job, sum.Linked, sum.Wanted))
	return nil
}

// Of a changed file the old content is laid ready, if it is not small, for as long
// as that does not keep the client waiting too long.
const (
	leastSeed    = 256 << 10
	seedPatience = 2 * time.Minute
)

// ownFrom is from where on the bases are no backups.
func ownFrom(bases []string) int {
	own := slices.IndexFunc(bases, func(dir string) bool { return strings.HasPrefix(filepath.Base(dir), store.PartialPrefix) })
	if own < 0 {
		own = len(bases)
	}
	return own
}
