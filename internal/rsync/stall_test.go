package rsync

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"b1000/internal/process"
)

// Every call ends an rsync that hangs, by itself and with its context.
func TestAnRsyncThatHangsIsEnded(t *testing.T) {
	fake(t, "exec sleep 1000")
	stopped := errors.New("stopped")
	for name, call := range map[string]func(context.Context, Options) error{
		"Run": func(ctx context.Context, o Options) error {
			_, err := Run(ctx, o, Hooks{})
			return err
		},
		"List":  func(ctx context.Context, o Options) error { return List(ctx, o, func(Entry) {}) },
		"Names": func(ctx context.Context, o Options) error { return Names(ctx, o, io.Discard) },
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Sources: []string{"/a"}, Dest: "/b", Stall: 200 * time.Millisecond}
			if err := call(context.Background(), o); !errors.Is(err, process.ErrStalled) {
				t.Errorf("stalled: got %v", err)
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(100*time.Millisecond, func() { cancel(stopped) })
			if err := call(ctx, Options{Sources: []string{"/a"}, Dest: "/b"}); !errors.Is(err, stopped) {
				t.Errorf("cancelled: got %v", err)
			}
		})
	}
}

func TestStallHasADefault(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: defaultStall, time.Second: time.Second, -1: 0} {
		if got := (Options{Stall: given}).stall(); got != want {
			t.Errorf("%v: got %v, want %v", given, got, want)
		}
	}
}
