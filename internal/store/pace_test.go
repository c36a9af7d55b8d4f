package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// slowSource delivers nothing for an hour, once.
type slowSource struct {
	r    io.Reader
	hour time.Duration
}

func (s *slowSource) Read(p []byte) (int, error) {
	time.Sleep(s.hour)
	s.hour = 0
	return s.r.Read(p)
}

func TestBWLimitOfStreams(t *testing.T) {
	for limit, want := range map[string]time.Duration{"": 0, "0": 0, "1m": 8 * time.Second, "4096": 2 * time.Second, "0.5M": 16 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			r, err := slowed(t.Context(), &slowSource{bytes.NewReader(make([]byte, 8<<20)), time.Hour}, limit)
			must(t, err)
			n, err := io.Copy(io.Discard, struct{ io.Reader }{r})
			took := time.Since(begin) - time.Hour
			if err != nil || n != 8<<20 || took < want-500*time.Millisecond || took > want+500*time.Millisecond {
				t.Errorf("%s: %d bytes in %v, %v; want %v", limit, n, took, err, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		r, err := slowed(ctx, bytes.NewReader(make([]byte, 8<<20)), "1")
		must(t, err)
		time.AfterFunc(time.Second, func() { cancel(stop) })
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); !errors.Is(err, stop) {
			t.Errorf("got %v, want %v", err, stop)
		}
	})
	if _, err := slowed(t.Context(), nil, "fast"); err == nil {
		t.Error("no error")
	}
}
