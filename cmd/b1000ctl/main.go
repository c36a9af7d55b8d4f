// Command b1000ctl looks after backups: what is configured, what there is, and
// how to get it back.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"b1000/internal/run"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		cancel(fmt.Errorf("%w by signal %v", run.ErrInterrupted, <-signals))
		signal.Stop(signals) // a second one ends what hangs
	}()
	os.Exit(env{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		answers: func() bool { return term.IsTerminal(0) }, watched: func() bool { return term.IsTerminal(1) },
		getenv: os.Getenv, now: time.Now,
	}.run(ctx))
}

// env is all that the program gets from outside.
type env struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	answers        func() bool // whether a person sits at stdin
	watched        func() bool // and looks at stdout
	getenv         func(string) string
	now            func() time.Time
}
