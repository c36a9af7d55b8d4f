package storage

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"b1000/internal/config"
	"b1000/internal/mtls"
)

// client is one file of clients_dir that is in order.
type client struct {
	name, peer string
	allow      []string
	keep       config.Keep
	quota      int64         // bytes; 0 for no limit
	restic     string        // append-only, full or no
	maxAge     time.Duration // of the last backup; 0 where it is told from those before
}

func (c *client) may(what string) bool { return slices.Contains(c.allow, what) }

// clients are those that are admitted: what clients_dir holds now.
type clients struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex
	stamp string
	list  []*client
	bad   []string // what is wrong with files that admit nobody
}

func newClients(dir string, log *slog.Logger) *clients { return &clients{dir: dir, log: log} }

// find is the client that a certificate belongs to. The error says for the log
// why there is none.
func (c *clients) find(cert *x509.Certificate) (*client, error) {
	var found []*client
	for _, k := range c.current() {
		if mtls.Named(cert, []string{k.peer}) != nil {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("certificate of %s: no file in %s admits it by ssl_peer_cn", mtls.Title(cert), c.dir)
	}
	return nil, fmt.Errorf("certificate of %s: is that of %s and of %s in %s; it may be that of one only", mtls.Title(cert), found[0].name, found[1].name, c.dir)
}

// named is the client of that name; nil where it is not admitted.
func (c *clients) named(name string) *client {
	for _, k := range c.current() {
		if k.name == name {
			return k
		}
	}
	return nil
}

// current reads the directory again if something in it has changed.
func (c *clients) current() []*client {
	c.mu.Lock()
	defer c.mu.Unlock()
	names, stamp, err := c.look()
	if stamp == c.stamp {
		return c.list
	}
	c.stamp, c.list, c.bad = stamp, nil, nil
	if err != nil {
		c.log.Error("nobody is admitted: clients_dir: " + err.Error())
		return nil
	}
	of := map[string]string{}
	for _, name := range names {
		k := c.load(name)
		if k == nil {
			continue
		}
		c.list = append(c.list, k)
		if other, twice := of[k.peer]; twice {
			c.refuse(fmt.Sprintf("ssl_peer_cn %s stands in %s and in %s in %s; it may stand in one only", k.peer, other, name, c.dir))
		}
		of[k.peer] = name
	}
	if len(c.list) == 0 {
		c.log.Warn("nobody is admitted: " + c.dir + " holds no file of a client")
	}
	return c.list
}

// refuse notes what is wrong with a file.
func (c *clients) refuse(text string) {
	c.bad = append(c.bad, text)
	c.log.Warn("not admitted: " + text)
}

// unusable says what is wrong with files that admit nobody.
func (c *clients) unusable() []string {
	c.current()
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.bad...)
}

// look finds what is there, and a stamp that differs when it has changed.
func (c *clients) look() (names []string, stamp string, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, "error " + err.Error(), err
	}
	var b strings.Builder
	b.WriteString("files")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(c.dir, e.Name())) // a link may be to a file
		if err != nil || info.IsDir() {
			continue
		}
		names = append(names, e.Name())
		fmt.Fprintf(&b, "\n%s %d %s %v", e.Name(), info.Size(), info.ModTime().Format(time.RFC3339Nano), info.Mode())
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprint(&b, " ", st.Ino, st.Ctim)
		}
	}
	return names, b.String(), nil
}

// asides are how names end that editors, packages and people give to what they put
// aside.
var asides = []string{"~", ".bak", ".old", ".orig", ".save", ".saved", ".tmp", ".new", ".off", ".disabled", ".rpmsave", ".rpmnew", ".rpmorig",
	".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-bak", ".ucf-old", ".ucf-dist"}

// load reads one file. One that is not in order admits nobody.
func (c *clients) load(name string) *client {
	for _, end := range asides {
		if strings.HasSuffix(name, end) {
			c.refuse(fmt.Sprintf("%s: ends in %s, as what was put aside; give it another name if a client is to be called so", filepath.Join(c.dir, name), end))
			return nil
		}
	}
	s, problems, err := config.LoadClient(filepath.Join(c.dir, name))
	if err != nil {
		c.refuse(err.Error())
		return nil
	}
	for _, p := range problems {
		c.refuse(p.String())
	}
	if len(problems) > 0 {
		return nil
	}
	return &client{name: s.Name, peer: s.Text("ssl_peer_cn"), allow: s.Words("allow"), keep: s.Keep(), quota: s.Size("quota"), restic: s.Text("restic"), maxAge: s.Duration("max_age")}
}
