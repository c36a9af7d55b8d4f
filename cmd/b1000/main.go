// Command b1000 runs backup jobs now, in the foreground.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"b1000/internal/run"
)

func main() {
	// A reader that goes away must not end a backup. Ignoring the signal would
	// reach the scripts as well, which count on it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := interruptible()
	code := program{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, service: takeService()}.run(ctx)
	stop()
	os.Exit(code)
}

// interruptible is a context that ends, with the cause, when somebody ends the
// program.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1)
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		if s, ok := <-signals; ok {
			cancel(fmt.Errorf("%w by signal %v", run.ErrInterrupted, s))
		}
	}()
	return ctx, func() { signal.Stop(signals); close(signals); cancel(nil) }
}

// program is one call of b1000.
type program struct {
	args           []string
	stdout, stderr io.Writer
	getenv         func(string) string
	service        service
}
