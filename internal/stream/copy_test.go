package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// much is more than a fan holds at a time.
const much = 3 * pieces * pieceSize

// zeros is a source of so many bytes.
func zeros(size int64) Source {
	return Source{Name: "zeros", Write: func(_ context.Context, w io.Writer) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(zero{}, size), make([]byte, 64<<10))
		return err
	}}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// stored is a sink that stores nothing but the sum.
func stored(_ context.Context, r io.Reader) (Sum, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 100_000))
	return Sum{n, hex.EncodeToString(h.Sum(nil))}, err
}

// stuck is a sink that takes nothing until it is given up.
func stuck(ctx context.Context, _ io.Reader) (Sum, error) {
	<-ctx.Done()
	return Sum{}, context.Cause(ctx)
}

func TestCopyToAllInOneReading(t *testing.T) {
	t.Parallel()
	readings := 0
	source := Source{Write: func(ctx context.Context, w io.Writer) error {
		readings++
		return zeros(much+1).Write(ctx, w)
	}}
	var told []int64
	sum, errs, err := Copy(t.Context(), source, time.Minute, func(n int64) { told = append(told, n) }, []Sink{stored, stored, stored})
	if err != nil || errors.Join(errs...) != nil || len(errs) != 3 || readings != 1 {
		t.Fatalf("%v, %v, %d readings", err, errs, readings)
	}
	if want, _ := stored(t.Context(), io.LimitReader(zero{}, much+1)); sum != want {
		t.Errorf("got %v, want %v", sum, want)
	}
	if len(told) == 0 || told[len(told)-1] != much+1 {
		t.Errorf("told: %v", told)
	}
}

// One destination that fails, is slow or dead is no reason for the others to fail.
func TestASinkThatFailsLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	for name, test := range map[string]struct {
		sink Sink
		want error
	}{
		"fails at once": {func(context.Context, io.Reader) (Sum, error) { return Sum{}, full }, full},
		"fails half way": {func(_ context.Context, r io.Reader) (Sum, error) {
			_, _ = io.CopyN(io.Discard, r, much/2)
			return Sum{}, full
		}, full},
		"fails at the end": {func(ctx context.Context, r io.Reader) (Sum, error) { _, _ = stored(ctx, r); return Sum{}, full }, full},
		"takes nothing":    {stuck, ErrSlow},
		"stops taking": {func(ctx context.Context, r io.Reader) (Sum, error) {
			_, _ = io.CopyN(io.Discard, r, much/2)
			return stuck(ctx, r)
		}, ErrSlow},
		"lies about it": {func(ctx context.Context, r io.Reader) (Sum, error) { s, err := stored(ctx, r); s.Size--; return s, err }, ErrDiffers},
		"lost a byte": {func(ctx context.Context, r io.Reader) (Sum, error) {
			_, _ = io.CopyN(io.Discard, r, 1)
			return stored(ctx, r)
		}, ErrDiffers},
		"takes the last slowly": {func(ctx context.Context, r io.Reader) (Sum, error) {
			_, _ = io.CopyN(io.Discard, r, much-1)
			return stuck(ctx, r)
		}, ErrSlow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sum, errs, err := Copy(t.Context(), zeros(much), short, nil, []Sink{stored, test.sink, stored})
			if err != nil || sum.Size != much {
				t.Fatalf("%v, %v", sum, err)
			}
			if errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], test.want) {
				t.Errorf("got %v, want nil, %v, nil", errs, test.want)
			}
		})
	}
}

// A sink that is content with a part is not a good one.
func TestASinkThatStopsBeforeTheEnd(t *testing.T) {
	t.Parallel()
	_, errs, err := Copy(t.Context(), zeros(much), time.Minute, nil, []Sink{func(ctx context.Context, r io.Reader) (Sum, error) {
		return stored(ctx, io.LimitReader(r, 100))
	}})
	if err != nil || errs[0] == nil || !strings.Contains(errs[0].Error(), "before the end") {
		t.Errorf("got %v, %v", errs, err)
	}
}

// With nobody left the source is ended, and not to blame.
func TestNobodyIsLeft(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	fails := func(_ context.Context, r io.Reader) (Sum, error) { _, _ = r.Read(make([]byte, 1)); return Sum{}, full }
	ended := false
	source := Source{Write: func(ctx context.Context, w io.Writer) error {
		_, err := io.Copy(w, zero{})
		ended = err != nil
		return err
	}}
	_, errs, err := Copy(t.Context(), source, time.Minute, nil, []Sink{fails, fails})
	if err != nil || !errors.Is(errs[0], full) || !errors.Is(errs[1], full) || !ended {
		t.Errorf("got %v, %v, ended %v", errs, err, ended)
	}
}

// What is wrong with the source is wrong everywhere, and no sink sees an end.
func TestAFailedSourceFailsEverySink(t *testing.T) {
	t.Parallel()
	seen := make([]error, 2)
	sinks := []Sink{
		func(ctx context.Context, r io.Reader) (s Sum, err error) {
			s, seen[0] = stored(ctx, r)
			return s, seen[0]
		},
		func(ctx context.Context, r io.Reader) (s Sum, err error) { s, seen[1] = stored(ctx, r); return s, nil }, // content all the same
	}
	_, errs, err := Copy(t.Context(), shell("head -c 1000000 /dev/zero; exit 3"), time.Minute, nil, sinks)
	for _, e := range append(append(errs, seen...), err) {
		if e == nil || !strings.Contains(e.Error(), "exit status 3") {
			t.Errorf("got %v", e)
		}
	}
}

// A sink that does not come back at all is left after a minute.
func TestASinkThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		hangs := func(context.Context, io.Reader) (Sum, error) { <-hang; return Sum{}, nil }
		f := newFan(t.Context(), time.Minute, []Sink{stored, hangs})
		begin := time.Now()
		sum, err := f.feed(io.LimitReader(zero{}, much), nil)
		errs := f.finish(sum, err)
		if err != nil || errs[0] != nil || !errors.Is(errs[1], ErrSlow) || !errors.Is(errs[1], ErrLeft) {
			t.Errorf("got %v, %v", errs, err)
		}
		if took := time.Since(begin); took > time.Minute+abandon+5*time.Second {
			t.Errorf("it was waited for for %v", took)
		}
		f.cancel(nil)
	})
}

// A slow sink sets the pace; it is not given up while it takes something.
func TestTheSlowestSetsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, r io.Reader) (Sum, error) {
			var b bytes.Buffer
			for {
				n, err := io.CopyN(&b, r, pieceSize)
				if n == 0 || err != nil {
					return stored(ctx, io.MultiReader(&b, iotest.ErrReader(err)))
				}
				time.Sleep(50 * time.Second)
			}
		}
		f := newFan(t.Context(), time.Minute, []Sink{stored, slow})
		sum, err := f.feed(io.LimitReader(zero{}, much), nil)
		errs := f.finish(sum, err)
		if err != nil || errs[0] != nil || errs[1] != nil {
			t.Errorf("got %v, %v", errs, err)
		}
		f.cancel(nil)
	})
}

func TestTheEndOfTheContextEndsACopy(t *testing.T) {
	t.Parallel()
	stop := errors.New("SIGTERM came")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, errs, err := Copy(ctx, Source{Args: Shell("cat /dev/zero")}, 0, func(n int64) {
		if n > much {
			cancel(stop)
		}
	}, []Sink{stored, stored})
	for _, e := range append(errs, err) {
		if !errors.Is(e, stop) {
			t.Errorf("got %v, want %v", e, stop)
		}
	}
}

// SPEC 6: memory does not grow with the stream, nor with the destinations. It
// runs alone: what others allocate would count.
func TestMemoryOfACopy(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, errs, err := Copy(t.Context(), zeros(512<<20), time.Minute, nil, []Sink{stored, stored, stored, stored})
	runtime.ReadMemStats(&after)
	if err != nil || errors.Join(errs...) != nil {
		t.Fatal(err, errs)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2*pieces*pieceSize {
		t.Errorf("%d bytes for 512 MiB, want less than %d", used, 2*pieces*pieceSize)
	}
}
