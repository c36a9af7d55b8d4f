package snapshot

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// chain is a worker that keeps the directories down to its last batch open,
// as the next one is likely to be near.
type chain struct {
	*worker
	inc  *include
	dirs []*dir
	ends []int  // where each one's path ends in at
	at   []byte // path of the last one
}

// take deals with the names of a batch.
func (c *chain) take(b *batch) {
	if c.stopped() {
		return
	}
	d, err := c.open(b)
	if err != nil {
		c.lost(b, err)
		return
	}
	before := c.n.Files
	for rest := b.names; len(rest) > 0; {
		n := bytes.IndexByte(rest, 0) + 1
		if c.entry(d, rest[:n]) { // a directory by now, whose contents nobody has listed
			c.n.Files++
			c.toRest(d, rest[:n])
		}
		rest = rest[n:]
	}
	if c.out != nil {
		c.sendPart(d)
	}
	c.tell(c.n.Files - before)
}

// lost says what becomes of a batch whose directory could not be opened. The
// names go to rsync, which knows how to complain, or they have vanished.
func (c *chain) lost(b *batch, err error) {
	for name := range split(b.names) {
		p := path.Join(string(b.dir), string(plain(name)))
		if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
			c.vanished(path.Join(b.inc.above, p))
			continue
		}
		c.n.Files++
		c.n.Rest++
		c.rest.put(b.inc, nil, []byte(p))
	}
}

// open returns the open directory of a batch. An error that ends the run has
// been noted.
func (c *chain) open(b *batch) (*dir, error) {
	if c.inc != b.inc {
		c.cut(0)
		if err := c.openFirst(b.inc); err != nil {
			return nil, err
		}
	}
	keep := 1
	for keep < len(c.dirs) && within(string(b.dir), string(c.at[:c.ends[keep]])) {
		keep++
	}
	c.cut(keep)
	below := b.dir[c.ends[keep-1]:]
	for name := range bytes.SplitSeq(bytes.TrimPrefix(below, []byte{'/'}), []byte{'/'}) {
		if len(name) == 0 {
			continue
		}
		up := c.dirs[len(c.dirs)-1]
		d, err := c.child(up, append(name[:len(name):len(name)], 0))
		if err != nil {
			return nil, err
		}
		if len(c.dirs) > maxOpen { // a short chain will do
			up.close()
			c.dirs, c.ends = c.dirs[:len(c.dirs)-1], c.ends[:len(c.ends)-1]
		}
		c.push(d)
	}
	return c.dirs[len(c.dirs)-1], nil
}

// openFirst opens where an include is.
func (c *chain) openFirst(inc *include) error {
	where, _ := path.Split(inc.Name)
	d := &dir{inc: inc, name: strings.TrimSuffix(where, "/"), place: true}
	src := path.Dir(inc.Path)
	if inc.Name == "." {
		src = inc.Path
	}
	if err := c.openPlace(d, src, openPath); err != nil {
		c.fail(fmt.Errorf("source %s: %w", inc.Path, err))
		return err
	}
	c.inc = inc
	c.push(d)
	return nil
}

func (c *chain) push(d *dir) {
	c.at = d.path(c.at[:0])
	c.dirs, c.ends = append(c.dirs, d), append(c.ends, len(c.at))
}

// cut closes all but the first n directories.
func (c *chain) cut(n int) {
	for _, d := range c.dirs[n:] {
		d.close()
	}
	c.dirs, c.ends = c.dirs[:n], c.ends[:n]
	if n == 0 {
		c.inc = nil
	}
}
