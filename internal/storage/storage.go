// Package storage keeps the backups of other hosts. Each client is known by its
// certificate, has a directory of its own with the layout of a local store, and
// reaches nothing else: it begins a backup, fills it over rsync or as streams,
// and commits it; what is committed it can read but not change. How long
// backups are kept is decided here.
//
// The package speaks HTTP (internal/wire) and hands connections to rsync. How
// backups lie on the disk is internal/store's business.
package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"b1000/internal/config"
	"b1000/internal/mtls"
	"b1000/internal/rsync"
)

// Settings say what is kept where, and for whom.
type Settings struct {
	Path       string         // directory that holds a directory for each client
	ClientsDir string         // a file for each client; an empty one admits nobody
	TLS        *mtls.Identity // of this server
	FakeSuper  bool           // owners are kept in attributes; always so where this is not root
	MinFree    Share          // of the disk, that nothing is uploaded into
	Keep       config.Keep    // for clients whose file says nothing about it
	Dir        string         // private directory for rsync's configurations

	Transfers int           // served at once; 0 32
	Handshake time.Duration // for TLS, and again for the first byte; 0 20 seconds
	Idle      time.Duration // a connection on which nothing is asked; 0 2 minutes
	Unused    time.Duration // how long a transfer keeps its place without a connection; 0 a minute
	Patience  time.Duration // how long a client waits for a place before it is told to ask again; 0 15 seconds
	Timeout   time.Duration // a transfer without a byte for so long is cut; 0 10 minutes

	Now func() time.Time // nil: the clock
	Log *slog.Logger
}

// Server serves clients. Its methods may be called from several goroutines.
type Server struct {
	Settings
	clients  *clients
	rooms    *rooms
	doors    *doors
	recorder *recorder
	handler  *http.ServeMux
	verbs    []string // patterns of what may be asked
	wg       sync.WaitGroup

	ctx context.Context // of everything that outlives a request; ends with Serve
	end context.CancelCauseFunc

	repositories repositories

	mu        sync.Mutex
	backups   map[string]*backup   // being made, by token
	transfers map[string]*transfer // by token
	holdings  map[string]holding   // by client
	traffic   map[string]*traffic  // by client
	measures  map[string]measured  // by client; without its repository
	weights   map[string]measured  // by client; all that it takes
	refusals  []Refusal            // the last ones, oldest first

	since   time.Time
	refused atomic.Int64 // connections
}

// New checks the settings, and whether the rsync that is installed may be shown
// to clients.
func New(ctx context.Context, s Settings) (*Server, error) {
	version, err := rsync.Version(ctx)
	switch {
	case err != nil:
		return nil, err
	case !rsync.AtLeast(version, rsync.SafeDaemon):
		return nil, fmt.Errorf("rsync %s: is not safe to show to clients: holes by which they leave their directory were closed in %s; install that", version, rsync.SafeDaemon)
	}
	for _, p := range []string{s.Path, s.Dir} {
		if err := canBeServed(p); err != nil {
			return nil, err
		}
	}
	info, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("path: %s is not there; mount it, or make the directory", s.Path)
	case err != nil:
		return nil, fmt.Errorf("path: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("path: %s is not a directory", s.Path)
	}
	s.FakeSuper = s.FakeSuper || os.Geteuid() != 0
	s.Transfers = cmp.Or(s.Transfers, 32)
	s.Handshake = cmp.Or(s.Handshake, 20*time.Second)
	s.Idle = cmp.Or(s.Idle, 2*time.Minute)
	s.Patience = cmp.Or(s.Patience, roomLimit)
	s.Unused = cmp.Or(s.Unused, time.Minute)
	s.Timeout = cmp.Or(s.Timeout, 10*time.Minute)
	if s.Now == nil {
		s.Now = time.Now
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	v := &Server{
		Settings: s, rooms: newRooms(s.Transfers), doors: newDoors(), recorder: newRecorder(),
		backups: map[string]*backup{}, transfers: map[string]*transfer{}, holdings: map[string]holding{}, traffic: map[string]*traffic{}, measures: map[string]measured{}, weights: map[string]measured{},
	}
	v.since = v.Now()
	v.clients = newClients(s.ClientsDir, s.Log)
	v.handler = v.routes()
	v.ctx, v.end = context.WithCancelCause(context.Background())
	return v, nil
}

// canBeServed says why a path cannot stand in rsyncd.conf(5), where "%" names
// variables and a backslash at the end continues the line.
func canBeServed(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsAny(path, "%'\\") || strings.ContainsFunc(path, unicode.IsControl) || strings.TrimSpace(path) != path {
		return fmt.Errorf("%q: has to be an absolute path without %%, ', \\, control characters, and white space at an end: rsync's configuration cannot hold them", path)
	}
	return nil
}

// traffic counts the bytes of a client.
type traffic struct{ received, sent atomic.Int64 }

func (s *Server) trafficOf(client string) *traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.traffic[client]
	if n == nil {
		n = &traffic{}
		s.traffic[client] = n
	}
	return n
}

// root is the directory of a client's backups.
func (s *Server) root(c *client) string { return filepath.Join(s.Path, c.name) }
