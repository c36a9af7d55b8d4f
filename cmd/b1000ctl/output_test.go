package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"b1000/internal/run"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain name.txt": "plain name.txt", "größe → 終": "größe → 終", "a\nb\tc": `a\nb\tc`, "\x1b[31m": `\x1b[31m`,
		"\xff\xfe": `\xff\xfe`, "bidi\u202e": `bidi\u202e`, "\u009b": `\u009b`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := lines("a\x1b\nb\r\n"); got != "a\\x1b\nb\\r" {
		t.Errorf("lines: got %q", got)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table(&b, [][]string{{"ID", "NAME", ""}, {"1", "größe", "x"}, {"22", "a\x1bb", ""}})
	if got, want := b.String(), "ID  NAME\n1   größe   x\n22  a\\x1bb\n"; got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestMoment(t *testing.T) {
	b, err := json.Marshal([]moment{moment(time.Time{}), moment(time.Unix(1416670804, 5))})
	if want := `[null,"` + time.Unix(1416670804, 0).Format(time.RFC3339) + `"]`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "Yes\n": true, " y \n": true, "n\n": false, "\n": false, "": false, "yep\n": false, "y": true} {
		a := &app{env: env{stdin: strings.NewReader(in), stderr: io.Discard, answers: func() bool { return true }}}
		if err := a.confirm(context.Background(), "delete"); (err == nil) != want {
			t.Errorf("%q: got %v", in, err)
		}
	}
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(interrupted)
	silent, _ := io.Pipe()
	a := &app{env: env{stdin: silent, stderr: io.Discard, answers: func() bool { return true }}}
	if err := a.confirm(ctx, "delete"); !errors.Is(err, interrupted) {
		t.Errorf("a question that nobody answers was not ended: %v", err)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"3.2.6", "3.2.7", true}, {"3.2.7", "3.2.7", false}, {"3.10.0", "3.2.7", false}, {"3.2.7pre1", "3.2.7", false}, {"3.5", "3.2.7", false}, {"2.99.99", "3.2.7", true}, {"v3", "3.2.7", true}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("%s older than %s: got %v", c.a, c.b, got)
		}
	}
}

// TestHelp looks at every verb: what it is for, an example, no secrets of the
// library.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	e := env{stdout: &out, stderr: &out, stdin: strings.NewReader(""), getenv: func(string) string { return "" }, now: time.Now}
	for _, c := range (&app{env: e}).root().Commands() {
		if c.Example == "" || c.Short == "" || !strings.Contains(c.Long, "Exit status") {
			t.Errorf("%s: lacks an example, its purpose or its exit statuses", c.Name())
		}
		out.Reset()
		e.args = []string{c.Name(), "--help"}
		if code := e.run(context.Background()); code != run.ExitOK || !strings.Contains(out.String(), "b1000ctl "+c.Name()) {
			t.Errorf("%s --help: %d\n%s", c.Name(), code, out.String())
		}
	}
}
