package storage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/wire"
)

// stream stores what a client sends as one file of its backup.
func (s *Server) stream(c *call) error {
	b, err := s.backup(c)
	if err != nil {
		return err
	}
	st, err := streamOf(c.r)
	if err != nil {
		return err
	}
	if err := errors.Join(s.tight(), s.overQuota(c.r.Context(), c.client)); err != nil {
		return err
	}
	if err := b.enter(); err != nil {
		return err
	}
	t := &transfer{backup: b, done: func() { b.leave(s.Now()) }}
	if err := s.place(c.r.Context(), c.client, t); err != nil {
		return err
	}
	defer func() { s.finish(t, nil); s.forget(t) }()
	if b.isOver() { // who ended the others did not know of this one
		return &refusal{status: http.StatusGone, text: "this backup is not being made any more"}
	}
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	// A transfer that is cut does not wait for what its client might send.
	defer context.AfterFunc(t.ctx, func() { _ = c.peer.SetReadDeadline(time.Unix(1, 0)) })()
	body := &stated{call: c, ctx: t.ctx, sum: sha256.New(), limit: s.Timeout, patience: http.NewResponseController(c.w)}
	stored, err := b.place.Stream(t.ctx, st, body)
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	if err != nil {
		s.cutIfFull(t, err)
		return err
	}
	if stored.SHA256 != body.good { // what is stored is not what was sent
		return fmt.Errorf("stream %s: what is stored has the digest %s; what came has %s", st.Name, stored.SHA256, body.good)
	}
	b.mu.Lock()
	b.streams = slices.DeleteFunc(b.streams, func(old report.Stream) bool { return old.Name == stored.Name })
	b.streams = append(b.streams, stored)
	b.mu.Unlock()
	s.Log.Info(fmt.Sprintf("%s: has stored stream %s of backup %s: %d bytes", b.client, st.Name, b.target.Manifest.ID, stored.Size))
	return c.say(stored)
}

// streamOf checks what a stream is to be stored as.
func streamOf(r *http.Request) (store.Stream, error) {
	q := r.URL.Query()
	name := q.Get("name")
	mode, err := strconv.ParseUint(q.Get("mode"), 8, 32)
	if err != nil || fs.FileMode(mode)&^fs.ModePerm != 0 {
		return store.Stream{}, &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("%q are no permissions of a file", q.Get("mode"))}
	}
	at, err := time.Parse(time.RFC3339Nano, q.Get("mtime"))
	if err != nil {
		return store.Stream{}, &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("%q is not a time", q.Get("mtime"))}
	}
	if !inside(name) || strings.HasSuffix(name, "/") {
		return store.Stream{}, &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("%q is not the name of something in a backup", name)}
	}
	uid, err := strconv.ParseUint(cmp.Or(q.Get("uid"), "0"), 10, 31)
	gid, err2 := strconv.ParseUint(cmp.Or(q.Get("gid"), "0"), 10, 31)
	if err != nil || err2 != nil {
		return store.Stream{}, &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("%q and %q are no owner", q.Get("uid"), q.Get("gid"))}
	}
	return store.Stream{Name: name, Mode: fs.FileMode(mode), UID: int(uid), GID: int(gid), ModTime: at}, nil
}

// stated reads a body that ends well only where its trailer says so, with the
// digest of what was sent.
type stated struct {
	call     *call
	ctx      context.Context // of the transfer, which may be cut
	sum      hash.Hash
	good     string
	limit    time.Duration // without a byte
	patience *http.ResponseController
}

var errCut = errors.New("the stream was cut before its end")

func (s *stated) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	_ = s.patience.SetReadDeadline(time.Now().Add(s.limit))
	if s.ctx.Err() != nil { // meanwhile
		return 0, context.Cause(s.ctx)
	}
	n, err := s.call.r.Body.Read(p)
	s.sum.Write(p[:n])
	if err != io.EOF {
		return n, err
	}
	s.good = hex.EncodeToString(s.sum.Sum(nil))
	switch s.call.r.Trailer.Get(wire.Good) {
	case s.good:
		return n, io.EOF
	case "":
		return n, errCut
	}
	return n, errors.New("the stream is not what the client has sent: the digests differ")
}
