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
	handshakes, slots chan struct{}
	wg                sync.WaitGroup
	brief             bool // the report directory was not there at the start

	mu     sync.Mutex
	served map[string]int // connections by client
}

// waitingHandshakes is how many clients that have not shown a certificate yet
// are listened to at once.
const waitingHandshakes = 64

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
		handshakes: make(chan struct{}, waitingHandshakes), slots: make(chan struct{}, s.Connections),
	}, nil
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Times between two attempts to accept after one that failed, and without a
// connection where the server ends as soon as it can.
const (
	acceptAgain = 200 * time.Millisecond
	soon        = time.Second
)

// Serve serves connections until ctx ends, which ends them as well, until Ending
// is closed, or until it has been idle for long enough; none of these is an
// error. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.wg.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	served := make(chan struct{})
	defer close(served)
	go func() {
		select {
		case <-s.Ending:
			l.Close()
		case <-served:
		}
	}()
	s.say()
	for {
		s.limit(l)
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil, isClosed(s.Ending):
			if conn != nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if s.idle() {
				return nil
			}
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen: %w", err)
		case err != nil: // too many open files, for example
			s.Log.Warn("a connection could not be accepted: " + err.Error())
			time.Sleep(acceptAgain)
		default:
			s.accepted(ctx, conn, l)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// limit sets the time after which it is looked whether the server is idle.
func (s *Server) limit(l net.Listener) {
	if s.brief {
		lookIn(l, min(s.Idle, soon))
	} else {
		lookIn(l, s.Idle)
	}
}

// lookIn ends the waiting for a connection after a time; 0 does not.
func lookIn(l net.Listener, after time.Duration) {
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok && after != 0 {
		_ = d.SetDeadline(time.Now().Add(after))
	}
}

// accepted serves a connection in the background, if its address may be served.
//
// A server that began without a report directory does not wait for another one:
// where its view of the disk was fixed at its start (ProtectSystem=strict with
// ReadWritePaths=) it can never write there, and its successor can.
func (s *Server) accepted(ctx context.Context, conn net.Conn, l net.Listener) {
	s.wg.Go(func() {
		if s.brief && s.Idle > 0 {
			defer lookIn(l, -time.Second)
		}
		defer conn.Close()
		if s.TLS == nil {
			s.plain(ctx, conn)
		} else {
			s.secure(ctx, conn)
		}
	})
}

// plain serves a client that is known by its address.
func (s *Server) plain(ctx context.Context, conn net.Conn) {
	hosts, err := s.hostsAt(ctx, conn.RemoteAddr())
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
	select {
	case s.handshakes <- struct{}{}:
	default:
		s.Log.Warn(fmt.Sprintf("%v: refused: %d others have not shown a certificate yet", conn.RemoteAddr(), waitingHandshakes))
		return
	}
	secured := tls.Server(conn, s.TLS.Server(s.Hosts))
	limited, cancel := context.WithTimeoutCause(ctx, s.Handshake, fmt.Errorf("no TLS within %v", s.Handshake))
	err := secured.HandshakeContext(limited)
	<-s.handshakes
	if err != nil && limited.Err() != nil {
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

// idle reports whether nobody is served.
func (s *Server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.served) == 0
}
