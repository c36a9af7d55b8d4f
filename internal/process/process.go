// Package process runs one command: in a process group of its own, ended
// politely when its context is, with limits, its output taken line by line and
// the end of its standard error kept for the message. It knows neither rsync
// nor shells, and imports no package of this module.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Command is what to run.
type Command struct {
	Args   []string          // argv; Args[0] is looked up in PATH
	Dir    string            // working directory; "" the caller's
	Env    []string          // the whole environment
	Stdin  io.Reader         // nil: nothing to read
	Stdout func(line string) // nil: thrown away; called from one goroutine
	Output io.Writer         // instead of Stdout: gets standard output as it is
	Stderr func(line string) // nil: thrown away, but for the end that errors carry
	Pipe   *os.File          // instead of either: is standard output itself; the caller closes it

	// Files are inherited as descriptors 3, 4 …, so that a lock on one of them
	// lasts as long as the command and its children.
	Files []*os.File

	Timeout time.Duration // the longest that it may run; 0 no limit
	Stall   time.Duration // the longest without a sign of life (see Run); 0 no limit
	Grace   time.Duration // from SIGTERM to SIGKILL; 0 ten seconds

	// Sign is for a command that is busy without getting on, as one that tries to
	// reach a dead server again and again: it is given the bytes read and written
	// so far and returns what has to change to be taken for a sign of life. nil
	// stands for the usual ones (see Run).
	Sign func(bytes uint64) uint64

	// Ask is sent to the command every AskEvery, for programs that tell how far
	// they are when asked. One that does not catch it is not sent it. Read, if
	// not nil, is then told how many bytes the command has read so far.
	Ask      syscall.Signal
	AskEvery time.Duration
	Read     func(bytes uint64)

	Name string // for messages; "" the base name of Args[0]
}

// Causes for which Run ends a command by itself; errors.Is tells them.
var (
	ErrTimeout = errors.New("took longer than it may")
	ErrStalled = errors.New("showed no sign of life")
)

// ExitError is a command that did not end with status 0.
type ExitError struct {
	Name   string
	Code   int            // exit status, -1 after a signal
	Signal syscall.Signal // 0 unless a signal ended it
	Stderr string         // the last 4 KiB of its standard error, trimmed
	Cause  error          // why Run ended it; nil when it ended by itself
}

func (e *ExitError) Error() string {
	var b strings.Builder
	b.WriteString(e.Name)
	switch {
	case e.Cause != nil:
		fmt.Fprintf(&b, ": %v", e.Cause)
	case e.Signal != 0:
		fmt.Fprintf(&b, ": ended by signal %d (%v)", int(e.Signal), e.Signal)
	default:
		fmt.Fprintf(&b, ": exit status %d", e.Code)
	}
	if e.Stderr != "" {
		fmt.Fprintf(&b, ": %s", e.Stderr)
	}
	return b.String()
}

func (e *ExitError) Unwrap() error { return e.Cause }

// Run starts the command and waits for its end and for the end of its output.
//
// When ctx ends, or a limit is passed, the whole process group gets SIGTERM and
// after Grace SIGKILL. A grandchild that keeps the output open for longer than
// Grace after the command itself has ended is not waited for. When this
// program is killed, the kernel kills the command.
//
// A sign of life, for Stall, is output, processor time or bytes read or written
// by any process of the group.
//
// It returns nil for exit status 0; an *ExitError for a command that ran, with
// the cause (of ctx, or ErrTimeout, ErrStalled) where Run ended it; any other
// error for one that could not be started.
func Run(ctx context.Context, c Command) error {
	done := make(chan error, 1)
	go func() {
		// Pdeathsig is sent when the thread that started the child ends:
		// hold on to it until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- run(ctx, c)
	}()
	return <-done
}

func run(parent context.Context, c Command) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	if c.Timeout > 0 {
		t := time.AfterFunc(c.Timeout, func() { cancel(fmt.Errorf("%w (%v)", ErrTimeout, c.Timeout)) })
		defer t.Stop()
	}
	cmd, out, errs := c.build(ctx)
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: not started: %w", c.name(), context.Cause(ctx))
		}
		return fmt.Errorf("%s: cannot be started: %w", c.name(), err)
	}
	if c.Stall > 0 {
		sign := func() uint64 { return out.seen.Load() + errs.seen.Load() + activity(cmd.Process.Pid) }
		if c.Sign != nil {
			sign = func() uint64 { return c.Sign(transferred(cmd.Process.Pid)) }
		}
		stop := watch(c.Stall, sign, cancel)
		defer stop()
	}
	if c.Ask != 0 {
		stop := ask(cmd.Process.Pid, c)
		defer stop()
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		endGroup(cmd.Process.Pid, c.grace())
	}
	out.flush()
	errs.flush()
	return c.result(ctx, cmd, err, errs.tail())
}

func (c Command) build(ctx context.Context) (*exec.Cmd, *lines, *lines) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.ExtraFiles = c.Dir, c.Env, c.Stdin, c.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, errs := newLines(c.Stdout), newLines(c.Stderr)
	cmd.Stdout, cmd.Stderr = out, errs
	if c.Output != nil {
		cmd.Stdout = &counted{to: c.Output, seen: &out.seen}
	}
	if c.Pipe != nil {
		cmd.Stdout = c.Pipe
	}
	// The command itself is killed by Wait after WaitDelay, the rest of its
	// group by endGroup.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = c.grace()
	return cmd, out, errs
}

func (c Command) grace() time.Duration {
	if c.Grace == 0 {
		return 10 * time.Second
	}
	return c.Grace
}

// endGroup waits until nothing is left of a group that got SIGTERM, and kills
// what is still there after grace.
func endGroup(pgid int, grace time.Duration) {
	for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if syscall.Kill(-pgid, 0) == syscall.ESRCH {
			return
		}
	}
	_ = syscall.Kill(-pgid, syscall.SIGKILL)
}

func (c Command) name() string {
	if c.Name != "" {
		return c.Name
	}
	return filepath.Base(c.Args[0])
}

// result turns the end of the command into Run's error. A command that ended
// well although it was told to stop is not trusted to be complete.
func (c Command) result(ctx context.Context, cmd *exec.Cmd, err error, tail string) error {
	state := cmd.ProcessState
	if state == nil {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	e := &ExitError{Name: c.name(), Code: state.ExitCode(), Stderr: tail}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	if ctx.Err() != nil {
		e.Cause = context.Cause(ctx)
		return e
	}
	if state.Success() && (err == nil || errors.Is(err, exec.ErrWaitDelay)) {
		return nil
	}
	if state.Success() {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	return e
}
