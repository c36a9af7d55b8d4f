package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"b1000/internal/process"
)

// short is a stall_timeout for sources that never deliver.
const short = 300 * time.Millisecond

// read opens a source and reads it to its end, good or not.
func read(t *testing.T, s Source, stall time.Duration) ([]byte, error) {
	t.Helper()
	r, err := Open(t.Context(), s, stall)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func shell(command string) Source { return Source{Name: "dump", Args: Shell(command)} }

func TestWhatASourceDelivers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		source Source
		want   string
	}{
		"a command":           {shell("printf hello"), "hello"},
		"its input":           {Source{Args: []string{"cat"}, Stdin: strings.NewReader("in")}, "in"},
		"its environment":     {Source{Args: Shell("echo $X"), Env: []string{"X=1"}}, "1\n"},
		"much of it":          {shell("head -c 3000000 /dev/zero"), strings.Repeat("\x00", 3000000)},
		"a flood of errors":   {shell("head -c 1000000 /dev/zero >&2; printf x"), "x"},
		"nothing, as allowed": {Source{Args: []string{"true"}, AllowEmpty: true}, ""},
		"a function":          {Source{Write: func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "f"); return err }}, "f"},
	} {
		got, err := read(t, test.source, time.Minute)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %d bytes, %v; want %d", name, len(got), err, len(test.want))
		}
	}
}

// INCIDENTS borgmatic 1032: a dump that died is never at its end.
func TestASourceThatFails(t *testing.T) {
	t.Parallel()
	why := errors.New("the table is broken")
	for name, test := range map[string]struct {
		source Source
		want   string // in the message
		is     error
	}{
		"exits half way":             {shell("head -c 1000000 /dev/zero; echo no table >&2; exit 3"), "exit status 3: no table", nil},
		"is killed half way":         {shell("head -c 1000000 /dev/zero; kill -9 $$"), "ended by signal 9", nil},
		"fails behind a pipe":        {shell("(printf x; exit 4) | cat"), "exit status 4", nil},
		"is not there":               {Source{Args: []string{"/nowhere/mysqldump"}}, "no such file", nil},
		"is empty":                   {shell("true"), "allow_empty", ErrEmpty},
		"takes too long":             {Source{Args: Shell("while :; do echo x; sleep 0.01; done"), Timeout: short}, "longer than it may", process.ErrTimeout},
		"writes nothing":             {shell("sleep 1000"), "no byte came", ErrStalled},
		"stops writing":              {shell("printf x; sleep 1000"), "no byte came", ErrStalled},
		"does not hear SIGTERM":      {shell("trap '' TERM; printf x; while :; do sleep 1; done"), "no byte came", ErrStalled},
		"leaves who holds its pipe":  {shell("setsid sleep 5 2>/dev/null & printf x"), "holds its output open", ErrStalled},
		"is a function with a fault": {Source{Write: func(_ context.Context, w io.Writer) error { _, _ = io.WriteString(w, "f"); return why }}, "broken", why},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(t, test.source, 2*short)
			if err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, want %q (%v)", err, test.want, test.is)
			}
		})
	}
}

func TestTheErrorOfACommandHoldsTheEndOfWhatItSaid(t *testing.T) {
	t.Parallel()
	_, err := read(t, shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; printf y; exit 1"), time.Minute)
	var exit *process.ExitError
	if !errors.As(err, &exit) || len(exit.Stderr) > 4<<10 || !strings.HasSuffix(exit.Stderr, "the end") {
		t.Errorf("got %.100v", err)
	}
}

func TestTheEndOfTheContextEndsACommand(t *testing.T) {
	t.Parallel()
	stop := errors.New("SIGTERM came")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := Open(ctx, shell("printf x; sleep 1000"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel(stop)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, stop) {
		t.Errorf("again: got %v, want %v", err, stop)
	}
}

func TestCloseEndsACommand(t *testing.T) {
	t.Parallel()
	pid := t.TempDir() + "/pid"
	r, err := Open(t.Context(), shell("echo $$ >"+pid+"; while :; do echo x; done"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(text))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it lives: %v", err)
	}
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	s := shell("seq 1 300000")
	s.Compress = true
	r, err := Open(t.Context(), s, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 300000 {
		fmt.Fprintln(&want, i+1)
	}
	if string(got) != want.String() {
		t.Errorf("%d bytes came back of %d", len(got), want.Len())
	}
}

func TestWhatIsCompressedFailsAsItsSource(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"head -c 1000000 /dev/zero; exit 3": "exit status 3", "true": "allow_empty", "printf x; sleep 1000": "no byte came",
	} {
		s := shell(command)
		s.Compress = true
		if got, err := read(t, s, 2*short); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d bytes, %v; want %q", command, len(got), err, want)
		}
	}
}
