package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"

	"b1000/internal/bulk"
	"b1000/internal/mtls"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// bulky reports whether large files may come whole before rsync. Where owners are
// kept in attributes that is left to rsync, which alone knows how.
func bulky(s *Server) bool { return !s.FakeSuper }

// bulk takes large files whole, into the tree that rsync fills next.
func (s *Server) bulk(ctx context.Context, p *peer, t *transfer) error {
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	defer context.AfterFunc(ctx, func() { p.Close() })()
	defer s.flushing(t)()
	p.ReadMuch()
	sum, err := bulk.Receive(mtls.Patient{Conn: p, Limit: s.Timeout}, bulk.Place{Root: root, Half: rsync.PartialDir, Made: snapshot.Unstamped})
	if sum.Files > 0 {
		s.Log.Info(fmt.Sprintf("%s: backup %s of job %s: %d large files came whole, %d bytes", t.backup.client, t.backup.target.Manifest.ID, t.backup.target.Job, sum.Files, sum.Bytes))
	}
	if errors.Is(err, syscall.ENOSPC) { // now; what was half there is gone already
		s.cut(t, &refusal{status: http.StatusInsufficientStorage, text: "the server's disk is full: " + err.Error()})
	}
	return err
}
