package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// resticPrefix is where restic's REST protocol is served: a client's repository
// is rest:https://server:4200/restic/CLIENT/.
const resticPrefix = "/restic/"

// restic serves restic's protocol: to each client its own repository, in which
// nothing that it has stored can be changed or deleted, unless its file says so.
// The reason of a refusal is in the log of the server: restic shows the number of
// the status only.
func (s *Server) restic(w http.ResponseWriter, r *http.Request) {
	p := r.Context().Value(peerKey{}).(*peer)
	who, err := s.clients.find(p.cert)
	if err != nil {
		s.refuse(r.RemoteAddr, err)
		w.Header().Set("Connection", "close")
		http.Error(w, "this client is not admitted any more", http.StatusForbidden)
		return
	}
	q := &question{Server: s, w: w, r: r, who: who, peer: p}
	q.path = strings.TrimPrefix(r.URL.Path, resticPrefix+r.PathValue("client"))
	q.kind, _, _ = strings.Cut(strings.Trim(q.path, "/"), "/")
	if err := q.serve(); err != nil {
		status := http.StatusInternalServerError
		var no *refusal
		if errors.As(err, &no) {
			status = no.status
			s.refuse(who.name, fmt.Errorf("restic: %s %s: %w", r.Method, q.path, err))
		} else {
			s.Log.Warn(fmt.Sprintf("%s: restic: %s %s: %v", who.name, r.Method, q.path, err))
		}
		http.Error(w, err.Error(), status)
	}
}

// question is one request of restic.
type question struct {
	*Server
	w          http.ResponseWriter
	r          *http.Request
	who        *client
	peer       *peer
	path, kind string // in the repository, without its first part and that alone
}

// stores reports whether something is to be stored that counts. A lock does not:
// without one restic could not even make room.
func (q *question) stores() bool { return q.r.Method == http.MethodPost && q.kind != "locks" }

func (q *question) serve() error {
	if err := q.allowed(); err != nil {
		return err
	}
	if err := q.makeRoot(q.who); err != nil {
		return err
	}
	rep, err := q.repositories.of(q.who, filepath.Join(q.root(q.who), repositoryDir))
	if err != nil {
		return err
	}
	t := &transfer{restic: true, done: func() {}}
	if err := q.place(q.r.Context(), q.who, t); err != nil {
		return err
	}
	defer func() { q.finish(t, nil); q.forget(t) }()
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	if q.r.Method == http.MethodPost {
		done, err := q.fits(rep)
		if err != nil {
			return err
		}
		defer done()
	}
	// A client that is cut is not waited for.
	defer context.AfterFunc(t.ctx, func() { _ = q.peer.SetDeadline(time.Unix(1, 0)) })()
	patience := http.NewResponseController(q.w)
	q.r.Body = &patientBody{ReadCloser: q.r.Body, ctx: t.ctx, limit: q.Timeout, patience: patience}
	if q.kind == "config" && q.r.Method == http.MethodPost {
		if err := q.whole(); err != nil {
			return err
		}
	}
	_ = patience.SetWriteDeadline(time.Time{}) // of the answer before
	seen := &statusWriter{ResponseWriter: q.w, ctx: t.ctx, limit: q.Timeout, patience: patience}
	q.r.URL.Path = q.path
	rep.handler.ServeHTTP(seen, q.r)
	if t.ctx.Err() == nil {
		_ = patience.SetWriteDeadline(time.Time{})
	}
	q.told(seen.status)
	return nil
}

// allowed says why the client may not ask for this.
func (q *question) allowed() error {
	no := func(format string, args ...any) error {
		return &refusal{status: http.StatusForbidden, text: fmt.Sprintf(format, args...)}
	}
	switch name := q.r.PathValue("client"); {
	case name != q.who.name:
		return no("the repository of client %s is %s%s/", q.who.name, resticPrefix, q.who.name)
	case q.who.restic != resticFull && q.who.restic != resticAppendOnly:
		return no("the option restic in the client's file says no")
	case !q.who.may("restore"):
		return no("restic reads what is stored; the option allow in the client's file has no restore")
	case q.stores() && !q.who.may("backup"):
		return no("the option allow in the client's file has no backup")
	case q.r.Method == http.MethodDelete && q.kind != "locks" && q.who.restic != resticFull:
		return no("the option restic in the client's file says %s: nothing is deleted", q.who.restic)
	}
	return nil
}

// Limits for what is not a part of a backup.
const (
	mostLock   = 1 << 20
	mostConfig = 1 << 20
)

// fits keeps room for what comes in, and says why there is none.
func (q *question) fits(rep *repository) (done func(), err error) {
	n := q.r.ContentLength
	switch {
	case q.path == "/": // makes directories
		n = 0
	case n < 0:
		return nil, &refusal{status: http.StatusLengthRequired, text: "how long it is has to be known before"}
	case q.kind == "locks" && n > mostLock, q.kind == "config" && n > mostConfig:
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("%d bytes are too many", n)}
	}
	if !q.stores() {
		return func() {}, nil
	}
	if err := q.tight(); err != nil {
		return nil, err
	}
	if rep.quota == 0 {
		return func() {}, nil
	}
	elsewhere, err := q.trees(q.r.Context(), q.who)
	if err != nil {
		return nil, err
	}
	return rep.promise(q.who, n, elsewhere)
}

// whole reads the body before anything is made of it: the library would leave
// half a file, and never let it be written again.
func (q *question) whole() error {
	body, err := io.ReadAll(q.r.Body)
	if err != nil || int64(len(body)) != q.r.ContentLength {
		return &refusal{status: http.StatusBadRequest, text: "it was cut"}
	}
	q.r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// told logs what an operator wants to know of: new repositories and snapshots,
// and what was refused. Packs and locks are many.
func (q *question) told(status int) {
	say := func(format string, args ...any) {
		q.stale(q.who.name)
		q.Log.Info(q.who.name + ": restic: " + fmt.Sprintf(format, args...))
	}
	id := strings.TrimPrefix(q.path, "/snapshots/")
	id = id[:min(8, len(id))]
	switch method := q.r.Method; {
	case status >= 500 || status == http.StatusForbidden:
		q.Log.Warn(fmt.Sprintf("%s: restic: %s %s: %d %s", q.who.name, method, q.path, status, http.StatusText(status)))
	case status >= 300:
	case method == http.MethodPost && q.kind == "config":
		say("has made its repository")
	case method == http.MethodPost && q.kind == "snapshots":
		say("has saved snapshot %s", id)
	case method == http.MethodDelete && q.kind == "snapshots":
		say("has deleted snapshot %s", id)
	}
}

// patientBody is a body of which the next bytes have to come in time.
type patientBody struct {
	io.ReadCloser
	ctx      context.Context // of the transfer, which may be cut
	limit    time.Duration
	patience *http.ResponseController
}

func (b *patientBody) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	_ = b.patience.SetReadDeadline(time.Now().Add(b.limit))
	if b.ctx.Err() != nil { // meanwhile
		return 0, context.Cause(b.ctx)
	}
	return b.ReadCloser.Read(p)
}

// statusWriter notes the status of an answer, each part of which has to be taken
// in time.
type statusWriter struct {
	http.ResponseWriter
	ctx      context.Context
	status   int
	limit    time.Duration
	patience *http.ResponseController
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	_ = w.patience.SetWriteDeadline(time.Now().Add(w.limit))
	return w.ResponseWriter.Write(p)
}
