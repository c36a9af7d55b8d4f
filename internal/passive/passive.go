// Package passive lets another host fetch what a passive job has prepared: it
// serves the job's report files and its share by an rsync daemon for each
// connection, to the hosts that the job names and to nobody else. What the job
// itself does, and when, is not its business. It may import internal/mtls and
// internal/process.
package passive

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"b1000/internal/mtls"
)

// Settings say what is served to whom.
type Settings struct {
	Reports string         // directory of the report files
	Share   string         // directory served read-only; "" for none
	Hosts   []string       // who is admitted; none admit nobody
	TLS     *mtls.Identity // nil: plain TCP, and hosts are told by their addresses

	Dir         string        // private directory for what a connection needs; made when missing
	Idle        time.Duration // Serve ends after so long without a connection; 0 never
	Handshake   time.Duration // for TLS, and again until the client says what it wants; 0 20 seconds
	Timeout     time.Duration // a transfer without a byte for so long is cut; 0 10 minutes
	Connections int           // served at once; 0 8

	// Ending may be nil. When it is closed no more connections are taken, and Serve
	// ends with the last one: for a configuration that is not the one any more.
	Ending <-chan struct{}

	Lookup func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the resolver of this host
	Asked  func(ctx context.Context)                                    // a host has looked for a report; may be nil
	Status func(text string)                                            // what is being done, in a line; may be nil
	Log    *slog.Logger
}

// Server serves one job.
type Server struct {
	Settings
	unknown, slots chan struct{}
	wg             sync.WaitGroup
	brief          bool // the report directory was not there at the start

	mu     sync.Mutex
	served map[string]int // connections by client
}

// maxUnknown is how many clients may be found out about at once.
const maxUnknown = 64

// New checks the settings and makes a server of them.
func New(s Settings) (*Server, error) {
	if s.Reports == "" || s.Dir == "" || s.Log == nil {
		return nil, errors.New("a passive job is served with a report directory, a directory for connections and a log")
	}
	for _, path := range []string{s.Reports, s.Share, s.Dir} {
		if err := canBeServed(path); err != nil {
			return nil, err
		}
	}
	orDefault(&s.Handshake, 20*time.Second)
	orDefault(&s.Timeout, 10*time.Minute)
	if s.Connections == 0 {
		s.Connections = 8
	}
	if s.Lookup == nil {
		s.Lookup = lookup
	}
	if s.Status == nil {
		s.Status = func(string) {}
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	_, err := os.Stat(s.Reports)
	return &Server{
		Settings: s, brief: errors.Is(err, os.ErrNotExist), served: map[string]int{},
		unknown: make(chan struct{}, maxUnknown), slots: make(chan struct{}, s.Connections),
	}, nil
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// begin begins to find out who a client is, unless too many others are unknown
// still. The caller then takes from s.unknown.
func (s *Server) begin(conn net.Conn) bool {
	select {
	case s.unknown <- struct{}{}:
		return true
	default:
		s.Log.Warn(fmt.Sprintf("%v: refused: who %d others are is not known yet", conn.RemoteAddr(), maxUnknown))
		return false
	}
}

// plain serves a client that is known by its address.
func (s *Server) plain(ctx context.Context, conn net.Conn) {
	if !s.begin(conn) {
		return
	}
	hosts, err := s.hostsAt(ctx, conn.RemoteAddr())
	<-s.unknown
	if err != nil {
		s.Log.Warn(fmt.Sprintf("%v: refused: %v", conn.RemoteAddr(), err))
		return
	}
	client, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		s.Log.Error(fmt.Sprintf("%v: a %T cannot be handed to rsync", conn.RemoteAddr(), conn))
		return
	}
	s.serve(ctx, session{hosts: hosts, from: conn.RemoteAddr().String(), conn: conn, socket: client.File})
}

// secure serves a client that is known by its certificate.
func (s *Server) secure(ctx context.Context, conn net.Conn) {
	if !s.begin(conn) {
		return
	}
	secured := mtls.Accept(conn, s.TLS.Server(s.Hosts))
	limited, cancel := context.WithTimeoutCause(ctx, s.Handshake, fmt.Errorf("no TLS within %v", s.Handshake))
	err := secured.HandshakeContext(limited)
	<-s.unknown
	if err != nil && errors.Is(err, limited.Err()) { // and not because of what the client is
		err = context.Cause(limited)
	}
	cancel()
	if err != nil {
		s.Log.Warn(fmt.Sprintf("%v: refused: %v", conn.RemoteAddr(), notTLS(mtls.Explain(err))))
		return
	}
	cert := secured.ConnectionState().PeerCertificates[0]
	hosts := mtls.Named(cert, s.Hosts)
	s.serve(ctx, session{hosts: hosts, from: fmt.Sprintf("%v (%s)", conn.RemoteAddr(), mtls.Title(cert)), conn: secured, tunnel: true})
}

// notTLS is plainer where a client has not tried TLS at all.
func notTLS(err error) error {
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return errors.New("it does not speak TLS; its pull job needs tls_cert, tls_key and tls_ca")
	case errors.Is(err, io.EOF):
		return errors.New("it has closed the connection before it has shown a certificate")
	}
	return err
}
