package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"b1000/internal/process"
	"b1000/internal/wire"
)

// module is what one connection of rsync reaches.
type module struct {
	name     string // "" for wire.Module
	path     string
	dir      string // private, for the daemon's own files
	writable bool
	fake     bool     // owners are kept in attributes
	only     []string // patterns of what may be seen; of a named one
	timeout  time.Duration
}

// namesName is the file of the patterns of what may be seen.
const namesName = "names"

func (m module) log() string { return filepath.Join(m.dir, "log") }

// config is the rsyncd.conf(5) of one connection. As root the daemon sees nothing
// but the module (chroot); otherwise it follows no link for the
// client.
func (m module) config() string {
	root := os.Geteuid() == 0
	var b strings.Builder
	set := func(key, value string) { fmt.Fprintf(&b, "%s = %s\n", key, value) }
	refuse := "write-devices copy-devices"
	set("use chroot", yesNo(root))
	if root {
		set("uid", "0")
		set("gid", "0")
	} else {
		refuse += " copy-links copy-unsafe-links copy-dirlinks keep-dirlinks"
	}
	set("fake super", yesNo(m.fake))
	if !m.writable {
		refuse += " remove-source-files"
	}
	// Where it is not shut in, the daemon would take the first slash from a link
	// that is absolute. Munged it is stored as it is, and comes back so; a link
	// that only attributes tell of leads nowhere on this host anyway.
	set("munge symlinks", yesNo(m.fake))
	set("refuse options", refuse)
	set("numeric ids", "yes")
	set("reverse lookup", "no")
	set("log file", m.log())
	set("max verbosity", "1")
	set("timeout", fmt.Sprint(int64(max(m.timeout.Seconds(), 1))))
	name := m.name
	if name == "" {
		name = wire.Module
	}
	fmt.Fprintf(&b, "[%s]\n", name)
	set("path", m.path)
	set("read only", yesNo(!m.writable))
	set("write only", yesNo(m.writable)) // what is there is read by who may restore, when it is a backup
	if m.name != "" {
		set("include from", filepath.Join(m.dir, namesName))
		set("exclude", "*")
	}
	return b.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// lastWords are the errors in rsync's log; nil where it holds none.
func lastWords(log string) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return nil
	}
	const most = 5
	var words []string
	for line := range strings.Lines(string(text)) {
		_, message, ok := strings.Cut(line, "] ") // date, time and [pid]
		if message = strings.TrimSpace(message); ok && len(words) < most && strings.HasPrefix(message, "rsync") && strings.Contains(message, ":") {
			words = append(words, message)
		}
	}
	if len(words) == 0 {
		return nil
	}
	return errors.New(strings.Join(words, "; "))
}

// rsync serves one connection until its client is done.
func (s *Server) rsync(ctx context.Context, p *peer, t *transfer) error {
	dir, err := os.MkdirTemp(s.Dir, "rsync-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := t.module
	m.path, m.dir, m.timeout, m.fake = t.dir, dir, s.Timeout, s.FakeSuper
	config := filepath.Join(dir, "rsyncd.conf")
	for name, text := range map[string]string{config: m.config(), filepath.Join(dir, namesName): strings.Join(m.only, "\n") + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	socket, wait, err := tunnel(p, s.Timeout)
	if err != nil {
		return err
	}
	if t.backup != nil {
		defer s.flushing(t)()
	}
	var held []*os.File
	if t.lock != nil {
		held = append(held, t.lock)
	}
	err = process.Run(ctx, process.Command{
		Args: []string{"rsync", "--daemon", "--config=" + config},
		Dir:  "/", Env: []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}, Stdin: socket, Files: held,
	})
	socket.Close()
	wait()
	if err != nil {
		return errors.Join(err, lastWords(m.log()))
	}
	return nil
}
