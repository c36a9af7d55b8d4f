package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-shellwords"

	"b1000/internal/process"
	"b1000/internal/report"
)

// takeStream is run on the host: it writes a new file, from its input. Whether
// that was all of the stream it cannot know.
const takeStream = `set -e; mkdir -p -- "$1"; umask 077; mkdir -p -- "$2"; rm -f -- "$2/$3"; cat >"$2/$3"`

// sumStream tells size and SHA-256 of what was written.
const sumStream = `set -e; cd -- "$1"; wc -c <"./$2"; sha256sum <"./$2"`

// placeStream gives the file its owner, mode, time and name. Directories are made
// where missing; none of them is a symbolic link. One that was there keeps its
// times.
const placeStream = `set -e; cd -- "$1"; part=$2 base=$3; chmod "$4" "$part"; test "$(id -u)" != 0 || chown "$5" "$part"
touch -d "@$6.$7" "$part" 2>/dev/null || touch -d "@$6" "$part"; shift 7; at=.
for d; do at=$at/$d
  if test -L "$at" || { test -e "$at" && test ! -d "$at"; }; then echo "a stream cannot be stored below $at, which is no directory" >&2; exit 1; fi
  test -d "$at" || mkdir -m 755 "$at"
done
if test -d "$at/$base"; then echo "$at/$base is a directory" >&2; exit 1; fi
touch -r "$at" "$part.time"; mv -f "$part" "$at/$base"; touch -r "$part.time" "$at"; rm -f "$part.time"`

// pipe sends a stream to a host behind ssh.
func (in *incoming) pipe(ctx context.Context, r io.Reader) (report.Stream, error) {
	host := in.store.ssh
	tree, part := path.Join(host.dir, in.tree), path.Join(host.dir, in.part)
	r, err := slowed(ctx, r, in.options().BWLimit)
	if err != nil {
		return report.Stream{}, err
	}
	from := &failing{r: r}
	err = host.command(ctx, in.store.Extra, sshCommand{script: takeStream, args: []string{tree, part, in.base}, stdin: from})
	bytes, end := from.state()
	if end != nil && end != io.EOF { // the command saw an end, and was content
		return report.Stream{}, end
	}
	if err == nil && end == nil {
		err = errors.New("the host stopped reading before the end")
	}
	if err != nil {
		return report.Stream{}, err
	}
	sum, err := in.sum(ctx, part, bytes)
	if err != nil {
		return report.Stream{}, err
	}
	args := append([]string{
		tree, "./" + strings.TrimPrefix(path.Join(in.part, in.base), in.tree+"/"), in.base, fmt.Sprintf("%o", in.Mode.Perm()), fmt.Sprintf("%d:%d", in.UID, in.GID),
		strconv.FormatInt(in.ModTime.Unix(), 10), fmt.Sprintf("%09d", in.ModTime.Nanosecond()),
	}, in.dirs...)
	return sum, host.run(ctx, in.store.Extra, placeStream, args...)
}

// sum asks the host what it has stored.
func (in *incoming) sum(ctx context.Context, part string, bytes int64) (report.Stream, error) {
	limit := forgetLimit + time.Duration(bytes/slowest)*time.Second
	var lines []string
	err := in.store.ssh.command(ctx, in.store.Extra, sshCommand{
		script: sumStream, args: []string{part, in.base}, limit: limit, line: func(l string) { lines = append(lines, l) },
	})
	if err != nil {
		return report.Stream{}, err
	}
	if len(lines) < 2 {
		return report.Stream{}, fmt.Errorf("the host told %q for size and SHA-256", lines)
	}
	size, err := strconv.ParseInt(strings.TrimSpace(lines[0]), 10, 64)
	digest, _, _ := strings.Cut(lines[1], " ")
	return report.Stream{Name: in.Name, Size: size, SHA256: digest}, err
}

// failing remembers what a reader said last, and how much it gave.
type failing struct {
	r     io.Reader
	mu    sync.Mutex // a command that is over may leave a reader behind
	bytes int64
	err   error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes += int64(n)
	f.err = err
	return n, err
}

func (f *failing) state() (bytes int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes, f.err
}

// sshCommand is a script of ours that is run on a host, with its arguments quoted.
type sshCommand struct {
	script string
	args   []string
	stdin  io.Reader
	line   func(string) // gets each line of its output
	limit  time.Duration
}

// command runs a script on the host.
func (h *sshHost) command(ctx context.Context, extra []string, c sshCommand) error {
	argv, err := shellwords.Parse(h.shell(extra))
	if err != nil || len(argv) == 0 {
		return fmt.Errorf("remote shell %q: %w", h.shell(extra), err)
	}
	command := "sh -c " + quote(c.script) + " b1000"
	for _, a := range c.args {
		command += " " + quote(a)
	}
	return process.Run(ctx, process.Command{
		Args: append(argv, h.login, command), Env: os.Environ(), Name: "ssh " + h.login,
		Stdin: c.stdin, Stdout: c.line, Timeout: c.limit,
	})
}
