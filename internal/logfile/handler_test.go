package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func newHandler(t *testing.T, w io.Writer, format, level string) *handler {
	t.Helper()
	h, err := New(w, format, level)
	if err != nil {
		t.Fatal(err)
	}
	return h.(*handler)
}

func TestNewRefuses(t *testing.T) {
	cases := []struct{ format, level, want string }{
		{"%(asctime)s %(nope)s", "INFO", `log format: %(nope)s: there is no attribute "nope"; there are asctime, created, `},
		{"%(asctime)d", "INFO", "log format: %(asctime)d: asctime is text; write %(asctime)s"},
		{"%(levelname)f", "INFO", "log format: %(levelname)f: levelname is text"},
		{"%s", "INFO", `log format: "%s" is not a conversion such as %(message)s`},
		{"%(message)", "INFO", `log format: "%(message)" is not a conversion`},
		{"[%(message)x] %(name)s", "INFO", `log format: "%(message)x" is not a conversion`},
		{"%(message)1000s", "INFO", `log format: "%(message)1000s" is not a conversion`},
		{"100 %", "INFO", `log format: "%" is not a conversion`},
		{"%(message)s", "LOUD", `log level "LOUD" is not one of DEBUG, INFO, WARNING, ERROR, FATAL`},
	}
	for _, c := range cases {
		_, err := New(io.Discard, c.format, c.level)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q %q:\ngot  %v\nwant %s", c.format, c.level, err, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	cases := []struct{ level, want string }{
		{"DEBUG", "DEBUG INFO WARNING ERROR CRITICAL "},
		{"info", "INFO WARNING ERROR CRITICAL "},
		{"WARNING", "WARNING ERROR CRITICAL "},
		{"ERROR", "ERROR CRITICAL "},
		{"FATAL", "CRITICAL "},
		{"CRITICAL", "CRITICAL "},
	}
	for _, c := range cases {
		var out bytes.Buffer
		log := slog.New(newHandler(t, &out, "%(levelname)s", c.level))
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, LevelFatal} {
			log.Log(context.Background(), l, "x")
		}
		if got := strings.ReplaceAll(out.String(), "\n", " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.level, got, c.want)
		}
	}
}

// A script's output cannot forge a line, whatever it prints.
func TestMessages(t *testing.T) {
	const prefix = "INFO [etc] "
	cases := []struct {
		name, message string
		want          []string
	}{
		{"each line has the prefix", "one\ntwo\r\n\nfour\n\n", []string{"one", "two", "", "four"}},
		{"an empty message is a line", "", []string{""}},
		{"control characters", "a\x1b[2Kb\rc\x00d\x7f\te", []string{`a\x1b[2Kb\x0dc\x00d\x7f` + "\te"}},
		{"what other programs take for a newline", "a\u0085b\u2028c\u2029d\ve\ff", []string{`a\x85b\u2028c\u2029d\x0be\x0cf`}},
		{"direction marks", "a\u202eb\U000e0001c", []string{`a\u202eb\U000e0001c`}},
		{"not UTF-8", "gr\xfc\xdfe", []string{`gr\xfc\xdfe`}},
		{"letters stay", "Größe 大きさ\u00a01 �", []string{"Größe 大きさ\u00a01 �"}},
		{"percent signs stay", "100 % of %(levelname)s", []string{"100 % of %(levelname)s"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			slog.New(newHandler(t, &out, "%(levelname)s [%(threadName)s] %(message)s", "INFO")).Info(c.message, ThreadKey, "etc")
			want := prefix + strings.Join(c.want, "\n"+prefix) + "\n"
			if out.String() != want {
				t.Errorf("got  %q\nwant %q", out.String(), want)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	cases := []struct {
		name, level string
		log         func(*slog.Logger)
		want        string
	}{
		{"own ones follow the first line", "INFO",
			func(l *slog.Logger) { l.Info("copy failed\nhint: wait", "error", errors.New("no room"), "exit", 11) },
			"[MainThread] copy failed error=\"no room\" exit=11\n[MainThread] hint: wait\n"},
		{"bound ones are left out", "INFO",
			func(l *slog.Logger) { l.With("run", "a1", ThreadKey, "etc").Info("x", "n", 1) }, "[etc] x n=1\n"},
		{"bound ones with DEBUG", "DEBUG",
			func(l *slog.Logger) { l.With("run", "a1").With("dest", "hd").Info("x", "n", 1) },
			"[MainThread] x run=a1 dest=hd n=1\n"},
		{"groups", "DEBUG",
			func(l *slog.Logger) {
				l.WithGroup("g").With("a", 1).WithGroup("").Info("x", slog.Group("h", "b", 2, ThreadKey, "no"), slog.Group("", "c", 3))
			},
			"[MainThread] x g.a=1 g.h.b=2 g.h.thread=no g.c=3\n"},
		{"the record's thread wins", "INFO",
			func(l *slog.Logger) { l.With(ThreadKey, "etc").Info("x", ThreadKey, "hd"); l.Info("y") },
			"[hd] x\n[MainThread] y\n"},
		{"nothing hides in a value", "INFO",
			func(l *slog.Logger) {
				l.Info("x", "a", "1\n2", "b", "", "c d", `q"`, "e", "\x1b", ThreadKey, "a\nb\x1b")
			},
			"[a\\nb\\x1b] x a=\"1\\n2\" b=\"\" c d=\"q\\\"\" e=\"\\x1b\"\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			c.log(slog.New(newHandler(t, &out, "[%(threadName)s] %(message)s", c.level)))
			if out.String() != c.want {
				t.Errorf("got  %q\nwant %q", out.String(), c.want)
			}
		})
	}
}

func TestUnknownSource(t *testing.T) {
	var out bytes.Buffer
	h := newHandler(t, &out, "%(filename)s %(module)s %(lineno)d %(funcName)s %(asctime)s", "INFO")
	if err := h.Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelInfo, "x", 0)); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\(unknown file\) \(unknown file\) 0 \(unknown function\) 2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
}

// writes counts what a file would see as write(2).
type writes struct{ all []string }

func (w *writes) Write(b []byte) (int, error) {
	w.all = append(w.all, string(b))
	return len(b), nil
}

func TestOneWritePerLine(t *testing.T) {
	var out writes
	log := slog.New(newHandler(t, &out, "%(threadName)s %(message)s", "INFO"))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				log.With(ThreadKey, "a").Info("one\ntwo")
			}
		})
	}
	group.Wait()
	if len(out.all) != 8*50*2 {
		t.Fatalf("%d writes, want %d", len(out.all), 8*50*2)
	}
	for i, got := range out.all {
		if want := []string{"a one\n", "a two\n"}[i%2]; got != want {
			t.Fatalf("write %d: got %q, want %q", i, got, want)
		}
	}
}

func TestWriteErrorIsReturned(t *testing.T) {
	reason := errors.New("disk full")
	h := newHandler(t, failing{reason}, "%(message)s", "INFO")
	if err := h.Handle(context.Background(), slog.NewRecord(time.Now(), slog.LevelInfo, "x", 0)); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
