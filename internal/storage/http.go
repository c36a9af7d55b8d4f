package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"b1000/internal/store"
	"b1000/internal/wire"
)

// mostAsked bounds the body of a question: a manifest may hold many warnings.
const mostAsked = 16 << 20

// routes are all that a client may ask for. restic's protocol has a place of its
// own below /restic/.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(pattern, permission string, do func(*call) error) {
		s.verbs = append(s.verbs, pattern)
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, permission, do) })
	}
	handle("GET "+wire.List, "list", s.list)
	handle("GET "+wire.Show, "show", s.show)
	handle("GET "+wire.Probe, "backup", s.probe)
	handle("POST "+wire.Begin, "backup", s.begin)
	handle("POST "+wire.Backup+"{token}"+wire.Tree, "backup", s.tree)
	handle("PUT "+wire.Backup+"{token}"+wire.Stream, "backup", s.stream)
	handle("POST "+wire.Backup+"{token}"+wire.Commit, "backup", s.commit)
	handle("DELETE "+wire.Backup+"{token}", "backup", s.letGo)
	handle("POST "+wire.Restore, "restore", s.restore)
	handle("POST "+wire.Verify, "verify", s.verify)
	handle("POST "+wire.Delete, "delete", s.remove)
	handle("GET "+wire.Transfer+"{token}", "", s.connect)
	handle("DELETE "+wire.Transfer+"{token}", "", s.over)
	mux.HandleFunc(resticPrefix+"{client}/", s.restic)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, "", func(*call) error {
			return &refusal{status: http.StatusNotFound, text: "this server knows no " + r.Method + " " + r.URL.Path + "; it may be older than the client"}
		})
	})
	return mux
}

// call is one question of a client that is admitted.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	client *client
	peer   *peer
	store  store.Store // the client's backups
}

// refusal is an answer with a status of 400 or above.
type refusal struct {
	status int
	text   string
	after  int // seconds, after which it may be tried again; 0 for no such hint
}

func (r *refusal) Error() string { return r.text }

// answer serves one question. Who asks is found out again each time: a file that
// is removed from clients_dir ends what it has admitted.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, permission string, do func(*call) error) {
	p := r.Context().Value(peerKey{}).(*peer)
	who, err := s.clients.find(p.cert)
	if err != nil {
		s.refuse(r.RemoteAddr, err)
		w.Header().Set("Connection", "close")
		fail(w, &refusal{status: http.StatusForbidden, text: "this client is not admitted any more"})
		return
	}
	if permission != "" && !who.may(permission) {
		s.refuse(who.name, errors.New(permission+" is not allowed"))
		fail(w, &refusal{status: http.StatusForbidden, text: fmt.Sprintf("%s is not allowed to client %s; the option allow in its file says %s", permission, who.name, strings.Join(who.allow, " "))})
		return
	}
	c := &call{w: w, r: r, client: who, peer: p}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.Idle)) // of the body; a stream has its own limit
	if c.store, err = s.open(who); err == nil {
		if r.Method != http.MethodPut { // a stream has no end that is known before
			r.Body = http.MaxBytesReader(w, r.Body, mostAsked)
		}
		err = do(c)
	}
	_ = control.SetWriteDeadline(time.Now().Add(s.Idle)) // an error: it was hijacked, and has limits of its own
	if err != nil {
		var no *refusal
		switch {
		case !errors.As(err, &no):
			s.Log.Error(fmt.Sprintf("%s: %s %s: %v", who.name, r.Method, r.URL.Path, err))
		case no.status == http.StatusInsufficientStorage:
			s.Log.Warn(fmt.Sprintf("%s: refused: %v", who.name, err))
		}
		fail(w, err)
		if r.Method == http.MethodPut {
			s.linger(control)
		}
	}
}

// readAnswer is how long who is still sending has to read why it was refused.
const readAnswer = 500 * time.Millisecond

// linger keeps the connection of a stream that was refused before its end. What is
// sent to one that is closed takes the answer with it.
func (s *Server) linger(answer *http.ResponseController) {
	_ = answer.Flush()
	select {
	case <-time.After(readAnswer):
	case <-s.ctx.Done():
	}
}

// open is the store of a client's backups.
func (s *Server) open(c *client) (store.Store, error) {
	o := store.Settings{Name: c.name, Path: s.root(c), TempDir: s.Dir, Subvolumes: true}
	if s.FakeSuper {
		o.Extra, o.Munged = []string{"-M--fake-super"}, true // as module.config has it
	}
	return store.Open(o)
}

func fail(w http.ResponseWriter, err error) {
	status, fault := http.StatusInternalServerError, wire.Fault{Fault: err.Error()}
	var no *refusal
	var done *store.CommittedError
	switch {
	case errors.As(err, &done):
		e := entry(done.Entry)
		status, fault.Committed = http.StatusConflict, &e
	case errors.As(err, &no):
		status = no.status
		if no.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(no.after))
		}
	case errors.Is(err, context.Canceled):
		status = http.StatusServiceUnavailable
	}
	text, _ := json.Marshal(fault)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // so that it is whole before the connection ends
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// say answers with a value.
func (c *call) say(v any) error {
	c.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(c.w).Encode(v)
}

// hear reads the body of a question.
func (c *call) hear(v any) error {
	if err := json.NewDecoder(c.r.Body).Decode(v); err != nil {
		return &refusal{status: http.StatusBadRequest, text: "the request cannot be read: " + err.Error()}
	}
	return nil
}

// quietLog takes what net/http has to say about connections.
func quietLog(l *slog.Logger) *log.Logger {
	return log.New(lineWriter(func(line string) { l.Debug("http: " + line) }), "", 0)
}

type lineWriter func(string)

func (f lineWriter) Write(p []byte) (int, error) {
	f(strings.TrimSpace(string(p)))
	return len(p), nil
}
