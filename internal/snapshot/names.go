package snapshot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"sync"
)

const (
	longestName = 64 << 10 // in Options.Names
	batchSize   = 16 << 10 // bytes of names that a worker takes at once
)

// batch is names of one directory, on their way to a worker.
type batch struct {
	inc   *include
	dir   []byte // inside the snapshot
	file  bool   // the one name is the include
	names []byte // each with its NUL
}

// filter works through Options.Names: directories go to rsync at once, the
// other names in batches to the workers. Batches are used again and again.
func (r *run) filter() {
	var all sync.WaitGroup
	todo := make(chan *batch)
	spare := make(chan *batch, 2*r.opt.Workers)
	for range cap(spare) {
		spare <- &batch{}
	}
	workers := make([]*chain, r.opt.Workers)
	for i := range workers {
		c := &chain{worker: r.newWorker()}
		c.shared = true
		workers[i] = c
		all.Go(func() {
			defer c.cut(0)
			for b := range todo {
				c.take(b)
				spare <- b
			}
		})
	}
	s := sorter{run: r, todo: todo, spare: spare, batch: <-spare}
	if err := s.readAll(); err != nil {
		r.fail(fmt.Errorf("names: %w", err))
	}
	close(todo)
	all.Wait()
	r.result.add(&s.n)
	for _, c := range workers {
		r.result.add(&c.n)
		c.bare.flush()
	}
}

// sorter reads the names and makes batches of them.
type sorter struct {
	*run
	n           Result
	todo, spare chan *batch
	batch       *batch
	skip        bool // the batch's directory is left out
}

func (s *sorter) readAll() error {
	in := bufio.NewReaderSize(s.opt.Names, longestName)
	for !s.stopped() {
		line, err := in.ReadSlice(0)
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err == io.EOF {
			return errors.New("they end in the middle of one")
		}
		if err != nil {
			return err
		}
		if err := s.add(plain(line)); err != nil {
			return err
		}
	}
	s.send()
	return nil
}

// add takes one name, without its NUL.
func (s *sorter) add(n []byte) error {
	if p, ok := bytes.CutSuffix(n, []byte{'/'}); ok {
		return s.addDir(string(p))
	}
	i := bytes.LastIndexByte(n, '/')
	last := n[i+1:]
	if len(last) == 0 || string(last) == "." || string(last) == ".." {
		return fmt.Errorf("%q is not a clean relative path", n)
	}
	b := s.batch
	if b.inc == nil || b.file || len(b.names) > batchSize || !bytes.Equal(b.dir, n[:max(i, 0)]) {
		if err := s.begin(string(n), max(i, 0)); err != nil {
			return err
		}
		b = s.batch
	}
	if !s.skip && (s.opt.Skip == nil || !s.opt.Skip(path.Join(b.inc.above, string(n)))) {
		b.names = append(append(b.names, last...), 0)
	}
	return nil
}

// addDir hands a directory to rsync.
func (s *sorter) addDir(p string) error {
	s.n.Dirs++
	if p == "." { // the target itself
		return nil
	}
	inc, err := s.includeOf(p, true)
	if err != nil || inc == nil || s.skipped(inc, p) {
		return err
	}
	s.n.RestDirs++
	s.rest.put(inc, nil, []byte(p))
	return nil
}

// begin makes a new batch for the directory of n, which is n[:i].
func (s *sorter) begin(n string, i int) error {
	s.send()
	inc, err := s.includeOf(n, false)
	if err != nil {
		return err
	}
	b := s.batch
	b.inc, b.dir, b.file = inc, append(b.dir[:0], n[:i]...), n == inc.Name
	s.skip = s.skipped(inc, n[:i])
	return nil
}

// send gives the batch to a worker and takes an empty one.
func (s *sorter) send() {
	if len(s.batch.names) == 0 {
		return
	}
	s.todo <- s.batch
	s.batch = <-s.spare
	s.batch.names, s.batch.inc = s.batch.names[:0], nil
}

// includeOf finds the include that a path is of or below. A directory above an
// include has none: rsync implies it.
func (s *sorter) includeOf(p string, isDir bool) (*include, error) {
	if !filepath.IsLocal(p) || path.Clean(p) != p {
		return nil, fmt.Errorf("%q is not a clean relative path", p)
	}
	above := false
	for _, x := range s.includes {
		if within(p, x.Name) {
			return x, nil
		}
		above = above || isDir && within(x.Name, p)
	}
	if !above {
		return nil, fmt.Errorf("%q belongs to no source", p)
	}
	return nil, nil
}

// skipped asks Options.Skip about a directory and those above it.
func (s *sorter) skipped(inc *include, p string) bool {
	if s.opt.Skip == nil {
		return false
	}
	for n := p; n != "." && within(n, inc.Name); n = path.Dir(n) {
		if s.opt.Skip(path.Join(inc.above, n)) {
			return true
		}
	}
	return false
}
