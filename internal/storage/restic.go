package storage

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/restic/rest-server/quota"
	"github.com/restic/rest-server/repo"
)

// resticPrefix is where restic's REST protocol is served: a client's repository
// is rest:https://server:4200/restic/CLIENT/.
const resticPrefix = "/restic/"

// repositoryDir is the directory of a client's repository below its root. No job
// can be called so.
const repositoryDir = ".restic"

// What the option restic of a client's file allows.
const (
	resticFull       = "full"
	resticAppendOnly = "append-only"
)

// repository serves one client's repository.
type repository struct {
	mode    string
	quota   int64
	usage   *quota.Manager // nil without a quota
	handler http.Handler
}

// repositories are those that were asked for.
type repositories struct {
	fsync sync.Once // the library's warning of a disk that cannot flush, once

	mu  sync.Mutex
	all map[string]*repository // by client
}

// of is the repository of a client, as its file says now. With a quota its size
// is counted first, which takes a while where it is large.
func (r *repositories) of(c *client, dir string) (*repository, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.all[c.name]; old != nil && old.mode == c.restic && old.quota == c.quota {
		return old, nil
	}
	now := &repository{mode: c.restic, quota: c.quota}
	if c.quota > 0 {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		var err error
		if now.usage, err = quota.New(dir, c.quota); err != nil {
			return nil, err
		}
	}
	h, err := repo.New(dir, repo.Options{AppendOnly: c.restic != resticFull, QuotaManager: now.usage, FsyncWarning: &r.fsync})
	if err != nil {
		return nil, err
	}
	now.handler = h
	if r.all == nil {
		r.all = map[string]*repository{}
	}
	r.all[c.name] = now
	return now, nil
}

// restic serves restic's protocol: to each client its own repository, in which
// nothing that it has stored can be changed or deleted, unless its file says so.
func (s *Server) restic(w http.ResponseWriter, r *http.Request) {
	p := r.Context().Value(peerKey{}).(*peer)
	who, err := s.clients.find(p.cert)
	if err != nil {
		s.Log.Warn(fmt.Sprintf("%s: refused: %v", r.RemoteAddr, err))
		w.Header().Set("Connection", "close")
		http.Error(w, "this client is not admitted any more", http.StatusForbidden)
		return
	}
	refuse := func(status int, why string) {
		s.Log.Warn(fmt.Sprintf("%s: restic: refused: %s %s: %s", who.name, r.Method, r.URL.Path, why))
		http.Error(w, why, status)
	}
	name := r.PathValue("client")
	switch {
	case name != who.name:
		refuse(http.StatusForbidden, fmt.Sprintf("the repository of client %s is %s%s/", who.name, resticPrefix, who.name))
		return
	case who.restic != resticFull && who.restic != resticAppendOnly:
		refuse(http.StatusForbidden, "the option restic in the client's file says no")
		return
	}
	if err := s.makeRoot(who); err != nil {
		s.Log.Error(fmt.Sprintf("%s: restic: %v", who.name, err))
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	rep, err := s.repositories.of(who, filepath.Join(s.root(who), repositoryDir))
	if err != nil {
		s.Log.Error(fmt.Sprintf("%s: restic: %v", who.name, err))
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	// Here and not by the library, which leaves a file behind for each refusal.
	if rep.usage != nil && r.Method == http.MethodPost && (r.ContentLength < 0 || r.ContentLength > rep.usage.SpaceRemaining()) {
		refuse(http.StatusInsufficientStorage, fmt.Sprintf("the quota of %d bytes is used up", rep.quota))
		return
	}
	patience := http.NewResponseController(w)
	r.Body = &patientBody{ReadCloser: r.Body, limit: s.Timeout, patience: patience}
	_ = patience.SetWriteDeadline(time.Time{}) // of the answer before
	seen := &statusWriter{ResponseWriter: w, limit: s.Timeout, patience: patience}
	rest := strings.TrimPrefix(r.URL.Path, resticPrefix+name)
	r.URL.Path = rest
	rep.handler.ServeHTTP(seen, r)
	_ = patience.SetWriteDeadline(time.Time{})
	s.told(who, r.Method, rest, seen.status)
}

// told logs what an operator wants to know of: new repositories and snapshots,
// and what was refused. Packs and locks are many.
func (s *Server) told(c *client, method, path string, status int) {
	say := func(format string, args ...any) { s.Log.Info(c.name + ": restic: " + fmt.Sprintf(format, args...)) }
	id, snapshot := strings.CutPrefix(path, "/snapshots/")
	id = id[:min(8, len(id))]
	switch {
	case status >= 500 || status == http.StatusForbidden:
		s.Log.Warn(fmt.Sprintf("%s: restic: %s %s: %d %s", c.name, method, path, status, http.StatusText(status)))
	case status >= 300:
	case method == http.MethodPost && path == "/config":
		say("has made its repository")
	case method == http.MethodPost && snapshot:
		say("has saved snapshot %s", id)
	case method == http.MethodDelete && snapshot:
		say("has deleted snapshot %s", id)
	}
}

// patientBody is a body of which the next bytes have to come in time.
type patientBody struct {
	io.ReadCloser
	limit    time.Duration
	patience *http.ResponseController
}

func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.patience.SetReadDeadline(time.Now().Add(b.limit))
	return b.ReadCloser.Read(p)
}

// statusWriter notes the status of an answer, each part of which has to be taken
// in time.
type statusWriter struct {
	http.ResponseWriter
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
	_ = w.patience.SetWriteDeadline(time.Now().Add(w.limit))
	return w.ResponseWriter.Write(p)
}
