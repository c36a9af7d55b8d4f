package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"b1000/internal/config"
	"b1000/internal/logfile"
	"b1000/internal/progress"
	"b1000/internal/store"
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
func openOutput(g config.Global, stdout, stderr io.Writer) *output {
	o := &output{}
	if f, ok := stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.printer = progress.New(f, true)
		o.closers = append(o.closers, o.printer.Close)
	}
	var handler slog.Handler
	var err error
	if g.LogFile == "/dev/stdout" {
		w := stdout
		if o.printer != nil {
			w = o.printer.Writer()
		}
		handler, err = logfile.New(w, g.LogFormat, g.LogLevel)
	} else {
		var f *logfile.File
		if f, err = logfile.Open(g.LogFile, g.LogFormat, g.LogLevel); err == nil {
			handler = f
			o.closers = append(o.closers, func() { f.Close() })
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "b1000: log_file: %v; logging here instead\n", err)
		handler = slog.NewTextHandler(stderr, nil)
	}
	o.log = slog.New(handler)
	return o
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
		return func(p store.Progress) {
			if time.Since(last) >= talkEvery {
				last = time.Now()
				o.log.Info(fmt.Sprintf("copying to %s: %v", destination, shown(p)), logfile.ThreadKey, name)
			}
		}, func(error) {}
	}
}

func shown(p store.Progress) progress.Progress {
	return progress.Progress{Done: p.Done, Total: p.Total, Percent: p.Percent, Files: p.Files}
}
