// Package logfile is a slog.Handler that writes lines in the notation of
// Python's logging module, which the configuration's log_format is written in,
// and the log file behind it. It is not the journal and knows no job; it may
// import no package of this module.
//
// What a script prints ends up in the log, so nothing in a message can start a
// line of its own, move the cursor, or pass for another line's prefix.
package logfile

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LevelFatal is the level that Python calls CRITICAL or FATAL.
const LevelFatal = slog.LevelError + 4

// ThreadKey is the attribute whose value stands for %(threadName)s: the job and
// instance, or the destination, that a line is about.
const ThreadKey = "thread"

// stamp is a moment in the three forms that a format can ask for.
type stamp struct {
	text           string
	seconds, milli float64
}

// output is what a handler shares with those derived from it.
type output struct {
	mu      sync.Mutex
	w       io.Writer
	parts   []part
	level   slog.Level
	started time.Time
}

type handler struct {
	*output
	thread string
	group  string // "a.b." within groups
	bound  string // attributes given by With, as " key=value"
}

// New returns a handler that writes to w each record of at least the level, in
// one Write per line. The level is one of DEBUG, INFO, WARNING, ERROR and FATAL
// (or CRITICAL, its other name), in any case. The format is that of Python's
// logging (docs.python.org/3/library/logging.html#logrecord-attributes) with the
// flags - 0 + and blank, width, precision, and the conversions s, d and f; an
// empty one is %(message)s. An error names the conversion or level at fault.
//
// A message of several lines becomes several lines, each with everything around
// it; control characters and bytes that are not UTF-8 are written as \x1b.
// Attributes of a record follow the message as key=value; those bound by
// With do so at the level DEBUG only. [ThreadKey] is shown as the thread instead.
func New(w io.Writer, format, level string) (slog.Handler, error) {
	parts, err := parse(format)
	if err != nil {
		return nil, fmt.Errorf("log format: %w", err)
	}
	threshold, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	return &handler{
		output: &output{w: w, parts: parts, level: threshold, started: time.Now()},
		thread: "MainThread",
	}, nil
}

// ParseLevel is the level of a name as log_level has it (see [New]).
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "DEBUG":
		return slog.LevelDebug, nil
	case "INFO":
		return slog.LevelInfo, nil
	case "WARNING":
		return slog.LevelWarn, nil
	case "ERROR":
		return slog.LevelError, nil
	case "FATAL", "CRITICAL":
		return LevelFatal, nil
	}
	return 0, fmt.Errorf("log level %q is not one of DEBUG, INFO, WARNING, ERROR, FATAL", s)
}

// levelName gives Python's name and number of a level.
func levelName(l slog.Level) (string, int64) {
	switch {
	case l >= LevelFatal:
		return "CRITICAL", 50
	case l >= slog.LevelError:
		return "ERROR", 40
	case l >= slog.LevelWarn:
		return "WARNING", 30
	case l >= slog.LevelInfo:
		return "INFO", 20
	}
	return "DEBUG", 10
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	for _, a := range attrs {
		next.bound += next.attr(next.group, a)
	}
	return &next
}

func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	if name != "" {
		next.group += name + "."
	}
	return &next
}

// attr gives an attribute as " key=value", or takes it as the thread's name.
func (h *handler) attr(group string, a slog.Attr) string {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
		return ""
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		var b strings.Builder
		for _, member := range v.Group() {
			b.WriteString(h.attr(group, member))
		}
		return b.String()
	case group == "" && a.Key == ThreadKey:
		h.thread = oneLine(v.String())
		return ""
	}
	return " " + oneLine(group+a.Key) + "=" + quoted(v.String())
}

// quoted is s, in quotes where its end or its lines would not be clear without.
func quoted(s string) string {
	if s == "" || s != escape(s) || strings.ContainsAny(s, " \t\n\"=") {
		return strconv.Quote(s)
	}
	return s
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	own := *h // a record's own thread is for this record only
	tail := ""
	r.Attrs(func(a slog.Attr) bool {
		tail += own.attr(own.group, a)
		return true
	})
	if h.level <= slog.LevelDebug {
		tail = h.bound + tail
	}
	l := own.line(r)

	h.mu.Lock()
	defer h.mu.Unlock()
	for _, message := range strings.Split(strings.TrimRight(r.Message, "\r\n"), "\n") {
		l.message = escape(strings.TrimSuffix(message, "\r")) + tail
		tail = ""
		if _, err := io.WriteString(h.w, render(h.parts, l)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// line gathers everything but the message.
func (h *handler) line(r slog.Record) *line {
	when := r.Time
	if when.IsZero() {
		when = time.Now()
	}
	when = when.Local()
	l := &line{
		when: stamp{
			text:    when.Format("2006-01-02 15:04:05,000"),
			seconds: float64(when.UnixNano()) / 1e9,
			milli:   float64(when.Nanosecond() / 1e6),
		},
		thread: h.thread, name: "b1000", processName: "MainProcess", process: int64(os.Getpid()),
		relative: float64(when.Sub(h.started)) / 1e6,
		path:     "(unknown file)", function: "(unknown function)",
	}
	l.levelName, l.levelNumber = levelName(r.Level)
	if r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		l.path, l.lineNumber = frame.File, int64(frame.Line)
		_, l.function, _ = strings.Cut(filepath.Base(frame.Function), ".")
	}
	l.file = filepath.Base(l.path)
	l.module = strings.TrimSuffix(l.file, filepath.Ext(l.file))
	return l
}
