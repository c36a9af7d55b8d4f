package store

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
)

// sshHost runs the few commands that a store behind ssh needs beside rsync.
type sshHost struct {
	login string // [user@]host
	dir   string
}

// defaultShell never asks a question and notices a dead connection.
const defaultShell = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"

// shell is the remote shell: what rsync_options or RSYNC_RSH name, or ssh.
func (*sshHost) shell(extra []string) string {
	for i, o := range extra {
		if v, ok := strings.CutPrefix(o, "--rsh="); ok {
			return v
		}
		if o == "-e" && i+1 < len(extra) {
			return extra[i+1]
		}
	}
	if v := os.Getenv("RSYNC_RSH"); v != "" {
		return v
	}
	return defaultShell
}

// shellOption is rsync's option for the remote shell.
func (h *sshHost) shellOption(extra []string) []string {
	return []string{"--rsh=" + h.shell(extra)}
}

// run runs a script of ours on the host, with its arguments quoted.
func (h *sshHost) run(ctx context.Context, extra []string, script string, args ...string) error {
	err := h.command(ctx, extra, sshCommand{script: script, args: args})
	if err != nil {
		return fmt.Errorf("%w; the account needs a shell, or use an rsync daemon", err)
	}
	return nil
}

// hostSync is a shell function that writes what the host still has in memory of a
// file system to its disk. A plain sync(1), which tells of no fault, is taken
// only where there is no other: in old coreutils and small busyboxes.
const hostSync = `written() { case $(sync --help 2>&1) in *-f*|*-df*) sync -f -- "$1" ;; *) sync ;; esac; }; `

// flush writes what the host still has in memory to its disk.
func (h *sshHost) flush(ctx context.Context, extra []string, dir string) error {
	return h.run(ctx, extra, hostSync+`written "$1"`, path.Join(h.dir, dir))
}

// rename gives a tree its final name, which must be free, and makes that last.
// Where it cannot be made to last the tree goes back, and is no backup.
func (h *sshHost) rename(ctx context.Context, extra []string, from, to string) error {
	return h.run(ctx, extra, hostSync+`test ! -e "$2" && mv -- "$1" "$2" && { written "$2" || { mv -- "$2" "$1"; false; }; }`,
		path.Join(h.dir, from), path.Join(h.dir, to))
}

// quote makes one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
