package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"b1000/internal/canopsis"
)

// engine is b1000 and b1000ctl with the configuration of a node.
type engine struct {
	program
	node   *canopsis.Node
	status string // directory of what is remembered
	cfg    string
	locked *os.File // held by what is started, too
	env    []string // of what is started
}

func statusDir(prefix string) string { return filepath.Join(prefix, "var/lib/cpsbackup") }

// newEngine writes the configuration, so that b1000ctl can be used with it too.
func newEngine(p program, n *canopsis.Node) (*engine, error) {
	e := &engine{program: p, node: n, status: statusDir(n.Prefix)}
	if err := os.MkdirAll(e.status, 0o700); err != nil {
		return nil, err
	}
	e.cfg = filepath.Join(e.status, "b1000.cfg")
	return e, writeFile(e.cfg, []byte(n.Config(e.status, self())))
}

// writeFile replaces a file whole or not at all.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// ended is the error of a program that has said itself what was wrong.
type ended struct{ status int }

func (e *ended) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// self is this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return "cpsbackup"
	}
	return path
}

// sibling is a program that is installed beside this one, or somewhere in PATH.
func sibling(name string) string {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside
		}
	}
	return name
}

// call runs one of the others. It ends when this program is killed.
func (e *engine) call(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, sibling(name), append([]string{"-f", e.cfg}, args...)...)
	cmd.Stdout, cmd.Stderr = out, e.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Env = append(os.Environ(), e.env...)
	if e.locked != nil {
		cmd.ExtraFiles = []*os.File{e.locked}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread() // the signal is sent when the thread ends that has started the program
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return &ended{exit.ExitCode()}
	}
	return err
}

func (e *engine) b1000(ctx context.Context, args ...string) error {
	return e.call(ctx, e.stdout, "b1000", args...)
}

func (e *engine) b1000ctl(ctx context.Context, out io.Writer, args ...string) error {
	return e.call(ctx, out, "b1000ctl", args...)
}

// backup is one of the node's backups.
type backup struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Start   time.Time `json:"start"`
	Include []string  `json:"include"`
	Streams []struct {
		Name string `json:"name"`
	} `json:"streams"`

	number int
}

// backups asks for all backups of the node, in the order of their numbers.
func (e *engine) backups(ctx context.Context) (backups, error) {
	var out bytes.Buffer
	if err := e.b1000ctl(ctx, &out, "list", canopsis.Job, "--json"); err != nil {
		return nil, err
	}
	var answer struct{ Backups backups }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("b1000ctl list: %w", err)
	}
	return answer.Backups, e.number(answer.Backups)
}

// number gives each backup its number: the next free one when it is seen for the
// first time, and for ever. Where what is remembered is lost, counting begins
// anew with the oldest that there is.
func (e *engine) number(all backups) error {
	path := filepath.Join(e.status, "numbers.json")
	known := map[string]int{}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, err)
	}
	last, before := 0, len(known)
	for _, n := range known {
		last = max(last, n)
	}
	for i := range all {
		if known[all[i].ID] == 0 {
			last++
			known[all[i].ID] = last
		}
		all[i].number = known[all[i].ID]
	}
	if len(known) == before {
		return nil
	}
	data, err = json.Marshal(known)
	if err != nil {
		return err
	}
	return writeFile(path, data)
}

// delete removes a backup, but never the newest complete one.
func (e *engine) delete(ctx context.Context, all backups, b *backup) error {
	if !all.deletable(b) {
		return fmt.Errorf("backup %07d is the newest: it stays", b.number)
	}
	return e.b1000ctl(ctx, e.stdout, "delete", b.ID, "--yes")
}
