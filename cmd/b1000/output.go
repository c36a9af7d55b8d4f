package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"b1000/internal/config"
	"b1000/internal/logfile"
	"b1000/internal/progress"
	"b1000/internal/store"
	"b1000/internal/systemd"
)

// output is where a call of b1000 tells what it does: the log, and on a terminal
// bars below it.
type output struct {
	log     *slog.Logger
	printer progress.Printer // nil where nobody looks on
	closers []func()
}

// openOutput opens the log. One that cannot be opened does not keep backups
// from being made: it goes to standard error instead.
func (p program) openOutput(g config.Global) *output {
	o := &output{}
	if f, ok := p.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.printer = progress.New(f, true)
		o.closers = append(o.closers, o.printer.Close)
	}
	handler, err := o.handler(g, p)
	if err != nil {
		fmt.Fprintf(p.stderr, "b1000: log_file: %v; logging here instead\n", err)
		handler = slog.NewTextHandler(p.stderr, nil)
	}
	o.log = slog.New(handler)
	return o
}

// handler is the log that log_file names. Where that is a stream which leads to
// the journal, it is the journal itself, with fields. Where it is a file of its
// own and the service manager has started the program, the file gets all and
// the journal the course of each run, warnings and errors.
func (o *output) handler(g config.Global, p program) (slog.Handler, error) {
	streams := map[string]io.Writer{"/dev/stdout": p.stdout, "/dev/stderr": p.stderr}
	stream := streams[g.LogFile]
	if p.journal(stream) {
		if j := o.openJournal(g, p); j != nil {
			return j, nil
		}
	}
	if g.LogFile == "/dev/stdout" {
		w := p.stdout
		if o.printer != nil {
			w = o.printer.Writer()
		}
		return logfile.New(w, g.LogFormat, g.LogLevel)
	}
	f, err := logfile.Open(g.LogFile, g.LogFormat, g.LogLevel)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, func() { f.Close() })
	if stream == nil && (p.journal(p.stdout) || p.journal(p.stderr)) {
		if j := o.openJournal(g, p); j != nil {
			return slog.NewMultiHandler(f, j.Brief()), nil
		}
	}
	return f, nil
}

// journal reports whether what is written to w ends up in the journal.
func (p program) journal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && systemd.IsJournal(f, p.getenv)
}

// openJournal is nil where there is no journal to write to, or a level that the
// other log will complain of.
func (o *output) openJournal(g config.Global, p program) *systemd.Journal {
	level, err := logfile.ParseLevel(g.LogLevel)
	if err != nil {
		return nil
	}
	j, err := systemd.NewJournal(systemd.JournalSocket, level)
	if err != nil {
		fmt.Fprintf(p.stderr, "b1000: %v\n", err)
		return nil
	}
	o.closers = append(o.closers, func() { j.Close() })
	return j
}

func (o *output) close() {
	for _, f := range o.closers {
		f()
	}
}

// talkEvery is how often the log tells of a copy that is going on.
const talkEvery = time.Minute

// progress shows copies: as bars on a terminal, else in the log now and then.
func (o *output) progress() func(name, destination string) (func(store.Progress), func(error)) {
	if o.printer != nil {
		return func(name, destination string) (func(store.Progress), func(error)) {
			task := o.printer.Start(name, destination)
			return func(p store.Progress) { task.Update(shown(p)) }, task.Done
		}
	}
	return func(name, destination string) (func(store.Progress), func(error)) {
		last := time.Now()
		job, instance, _ := strings.Cut(name, ":")
		log := o.log.With(logfile.ThreadKey, name, "job", job, "instance", instance, "step", "COPYING", "destination", destination)
		return func(p store.Progress) {
			if time.Since(last) >= talkEvery {
				last = time.Now()
				log.Info(fmt.Sprintf("copying to %s: %v", destination, shown(p)))
			}
		}, func(error) {}
	}
}

func shown(p store.Progress) progress.Progress {
	return progress.Progress{Done: p.Done, Total: p.Total, Percent: p.Percent, Files: p.Files}
}
