package storage

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
)

// slowly is a place whose commit waits to be let go.
type slowly struct {
	store.Place
	begun, goOn chan struct{}
	closed      atomic.Bool
}

func (p *slowly) Commit(ctx context.Context, m report.Manifest) (string, error) {
	close(p.begun)
	<-p.goOn
	if p.closed.Load() {
		return "", errors.New("it was closed meanwhile")
	}
	return p.Place.Commit(ctx, m)
}

func (p *slowly) Close() error {
	p.closed.Store(true)
	return p.Place.Close()
}

// A client that has lost its connection while its backup is being committed, and begins
// it again, takes nothing away from the commit: it is told how that ended.
func TestABackupIsBegunAgainWhileItIsCommitted(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.client("web1")
	src := source(t)
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	r, err := b.Tree(context.Background(), treeOf(src))
	must(t, err)
	slow := &slowly{begun: make(chan struct{}), goOn: make(chan struct{})}
	s.mu.Lock()
	for _, made := range s.backups {
		slow.Place, made.place = made.place, slow
	}
	s.mu.Unlock()
	committed, again := make(chan error, 1), make(chan error, 1)
	go func() { committed <- end(b, target(1), r) }()
	<-slow.begun
	go func() {
		_, err := st.Begin(context.Background(), target(1))
		again <- err
	}()
	select {
	case err := <-again:
		t.Errorf("it was begun again while it was committed: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	close(slow.goOn)
	must(t, <-committed)
	var done *store.CommittedError
	if err := <-again; !errors.As(err, &done) {
		t.Errorf("begun again: %v", err)
	}
	l := listed(t, st)
	if len(l) != 1 || l[0].State != report.Complete {
		t.Fatalf("%+v", l)
	}
	restored(t, st, l[0], src)
}
