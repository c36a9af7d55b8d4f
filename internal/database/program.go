package database

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/process"
)

// Limits that nobody has to set.
const (
	askLimit  = time.Minute     // for a question that is answered from catalogs
	dumpGrace = 5 * time.Second // from SIGTERM to SIGKILL: mongodump heeds the former not at all
)

// call is a program of a database with its secrets.
type call struct {
	args  []string // the program's name first
	env   []string // besides our own
	names []string // other names of the program, tried in order
	// secret is given to the program as a file that has no name and is on no
	// disk, so that it is neither among the arguments nor in the environment.
	secret string
	in     io.Reader
	dump   io.Reader // instead of in: what has to be whole (see process.Feed)
	out    io.Writer
}

// secretPath is the first inherited file (see process.Command.Files).
const secretPath = "/dev/fd/3"

// run runs a program of a database. The error has the program's own words.
func (c call) run(ctx context.Context) error {
	program, err := find(append([]string{c.args[0]}, c.names...))
	if err != nil {
		return err
	}
	cmd := process.Command{
		Args: append([]string{program}, c.args[1:]...), Env: append(os.Environ(), c.env...), Grace: dumpGrace,
		Stdin: c.in,
	}
	out := &remembering{to: c.out}
	if c.out != nil {
		cmd.Output = out
	}
	if c.secret != "" {
		f, err := secretFile(c.secret)
		if err != nil {
			return err
		}
		defer f.Close()
		cmd.Files = []*os.File{f}
	}
	if c.dump != nil {
		err = process.Feed{From: c.dump}.Run(ctx, cmd)
	} else {
		err = process.Run(ctx, cmd)
	}
	if out.err != nil && ctx.Err() == nil { // the program only noticed that nobody listens
		return out.err
	}
	return err
}

// feed runs a program that reads a dump.
func (c call) feed(ctx context.Context, r io.Reader) error {
	c.dump = r
	return c.run(ctx)
}

// ask runs a program that answers a question.
func (c call) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, fmt.Errorf("no answer within %v", askLimit))
	defer cancel()
	var out bytes.Buffer
	c.out = &out
	err := c.run(ctx)
	return out.String(), err
}

// remembering hands on what is written and keeps the error.
type remembering struct {
	to  io.Writer
	err error
}

func (r *remembering) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

// find returns the first of the programs that is there.
func find(names []string) (string, error) {
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", names[0], errMissing)
}

// dumpers are the programs that dump, in the order in which they are looked for.
var dumpers = map[string][]string{
	"mysql": {"mysqldump", "mariadb-dump"}, "mariadb": {"mariadb-dump", "mysqldump"}, "postgresql": {"pg_dump"}, "mongodb": {"mongodump"},
}

// Missing tells which program dumps of a type need and is not there; nil for
// none.
func Missing(kind string) error {
	if names := dumpers[kind]; len(names) > 0 {
		_, err := find(names)
		return err
	}
	return nil
}

var errMissing = errors.New("is not installed, or not in PATH")

// secretFile is a file in memory that holds a text, readable by its owner only:
// some programs refuse one that others may read or write.
func secretFile(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("b1000", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "secret")
	err = f.Chmod(0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
