package passive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

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

// idle reports whether nobody is served.
func (s *Server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.served) == 0
}
