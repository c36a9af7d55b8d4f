package storage

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"b1000/internal/mtls"
)

// acceptAgain is the time between two attempts to accept after one that failed.
const acceptAgain = 200 * time.Millisecond

// errEnding is the cause for what is cut when the server ends.
var errEnding = errors.New("the storage server is being stopped")

// Serve serves connections until ctx ends, which ends them as well, and is no
// error. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	served := newQueue(l.Addr())
	web := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: s.Handshake, IdleTimeout: s.Idle, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c.(*peer))
		},
		ErrorLog: quietLog(s.Log),
	}
	s.wg.Go(func() { _ = web.Serve(served) })
	s.wg.Go(s.tend)
	s.wg.Go(s.watch)
	s.wg.Go(s.weighAll)
	stop := context.AfterFunc(ctx, func() {
		s.end(errEnding)
		l.Close()
		web.Close()
		served.Close()
	})
	defer s.wg.Wait()
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				conn.Close()
			}
			s.closeAll()
			return nil
		case errors.Is(err, net.ErrClosed):
			s.end(err)
			return fmt.Errorf("listen: %w", err)
		case err != nil: // too many open files, for example
			s.Log.Warn("a connection could not be accepted: " + err.Error())
			time.Sleep(acceptAgain)
		default:
			s.wg.Go(func() { s.meet(conn, served) })
		}
	}
}

// peer is the connection of a client whose certificate has been admitted.
type peer struct {
	*mtls.Conn
	cert  *x509.Certificate
	first *bufio.Reader // holds what was read to find out what is spoken
	gone  func()        // counts it out
	count *traffic
}

func (p *peer) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.count.sent.Add(int64(n))
	return n, err
}

// Close ends the connection.
func (p *peer) Close() error {
	p.gone()
	return p.Conn.Close()
}

type peerKey struct{}

func (p *peer) Read(b []byte) (int, error) {
	if p.first.Buffered() > 0 {
		return p.first.Read(b)
	}
	n, err := p.Conn.Read(b)
	p.count.received.Add(int64(n))
	return n, err
}

// meet finds out who a client is and what it speaks: HTTP, or the protocol of an
// rsync daemon, whose client begins as well.
func (s *Server) meet(conn net.Conn, served *queue) {
	refused := func(err error) { s.refuse(conn.RemoteAddr().String(), notTLS(mtls.Explain(err))) }
	waiting, cancel := context.WithTimeout(s.ctx, s.Handshake)
	defer cancel()
	known, err := s.doors.knock(waiting, conn)
	if err != nil {
		refused(err)
		conn.Close()
		return
	}
	defer known()
	p, err := s.handshake(conn)
	if err != nil {
		refused(err)
		lastWord(conn) // TLS has told it why
		conn.Close()
		return
	}
	_ = p.SetReadDeadline(time.Now().Add(s.Handshake))
	begin, err := p.first.Peek(1)
	_ = p.SetReadDeadline(time.Time{})
	known()
	switch {
	case err != nil: // nothing was asked
		p.Close()
	case begin[0] == '@':
		s.plain(p)
	default:
		served.add(p)
	}
}

func (s *Server) handshake(conn net.Conn) (*peer, error) {
	limited, cancel := context.WithTimeoutCause(s.ctx, s.Handshake, fmt.Errorf("no TLS within %v", s.Handshake))
	defer cancel()
	secured := mtls.Accept(conn, s.TLS.Admitting(func(cert *x509.Certificate) error {
		_, err := s.clients.find(cert)
		return err
	}))
	if err := secured.HandshakeContext(limited); err != nil {
		if errors.Is(err, limited.Err()) { // and not because of what the client is
			err = context.Cause(limited)
		}
		return nil, err
	}
	cert := secured.ConnectionState().PeerCertificates[0]
	who, err := s.clients.find(cert)
	if err != nil {
		return nil, err
	}
	gone, err := s.doors.enter(who.name, 2*s.Transfers+mostFromAddress)
	if err != nil {
		return nil, err
	}
	return &peer{Conn: secured, cert: cert, first: bufio.NewReaderSize(secured, 512), gone: gone, count: s.trafficOf(who.name)}, nil
}

// notTLS is plainer where a client has not tried TLS at all.
func notTLS(err error) error {
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return errors.New("it does not speak TLS")
	case errors.Is(err, io.EOF):
		return errors.New("it has closed the connection before it has shown a certificate")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("no TLS in time")
	}
	return err
}

// queue hands connections to the HTTP server.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) add(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.addr }
