package storage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"b1000/internal/rsync"
	"b1000/internal/store"
	"b1000/internal/wire"
)

// makeRoot makes the directory of a client's backups.
func (s *Server) makeRoot(c *client) error {
	err := os.Mkdir(s.root(c), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// entries are a client's backups; none where it has never made one.
func (s *Server) entries(ctx context.Context, c *client, job string) ([]store.Entry, error) {
	if _, err := os.Stat(s.root(c)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	st, err := s.open(c)
	if err != nil {
		return nil, err
	}
	return st.List(ctx, job)
}

func entry(e store.Entry) wire.Entry {
	return wire.Entry{
		ID: e.ID, State: e.State, Job: e.Job, Day: e.Day, Base: e.Base, Dir: e.Dir, Start: e.Start,
		Manifest: e.Manifest, Location: e.Dir, Note: e.Note,
	}
}

func (s *Server) list(c *call) error {
	job := c.r.URL.Query().Get("job")
	if job != "" && !namePattern.MatchString(job) {
		return c.say(wire.Entries{})
	}
	list, err := s.entries(c.r.Context(), c.client, job)
	answer := wire.Entries{Entries: make([]wire.Entry, len(list))}
	for i, e := range list {
		answer.Entries[i] = entry(e)
	}
	if err != nil {
		answer.Fault = err.Error()
	}
	return c.say(answer)
}

// find is the stored backup that a call is about: one that the client's own
// directory lists.
func (s *Server) find(c *call) (store.Entry, error) {
	q := c.r.URL.Query()
	dir := q.Get("dir")
	list, err := s.entries(c.r.Context(), c.client, firstOf(dir))
	for _, e := range list {
		if e.Dir == dir && (!q.Has("id") || q.Get("id") == e.ID) {
			return e, nil
		}
	}
	if err != nil {
		return store.Entry{}, err
	}
	return store.Entry{}, &refusal{status: http.StatusNotFound, text: fmt.Sprintf("there is no backup %q of client %s", dir, c.client.name)}
}

// firstOf is the job in a backup's directory; "" where it cannot be one, which
// looks through all.
func firstOf(dir string) string {
	for path.Dir(dir) != "." && path.Dir(dir) != "/" {
		dir = path.Dir(dir)
	}
	if !namePattern.MatchString(dir) {
		return ""
	}
	return dir
}

func (s *Server) show(c *call) error {
	e, err := s.find(c)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	w := bufio.NewWriterSize(c.w, 64<<10)
	out := json.NewEncoder(w)
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	if q.Has("top") {
		var names []string
		names, err = c.store.Top(c.r.Context(), e)
		for _, n := range names {
			_ = out.Encode(wire.Line{Name: []byte(n)}) // the last write tells whether they arrive
		}
	} else {
		err = c.store.Show(c.r.Context(), e, q.Get("path"), func(l rsync.Entry) {
			_ = out.Encode(wire.Line{Mode: l.Mode, Size: l.Size, Time: l.Time, Name: []byte(l.Name), Link: []byte(l.Link)})
		})
	}
	last := wire.Line{Last: true}
	if err != nil {
		last = wire.Line{Fault: err.Error()}
	}
	_ = out.Encode(last)
	_ = w.Flush() // one that does not arrive is a client that has gone
	return nil
}

func (s *Server) remove(c *call) error {
	e, err := s.find(c)
	if err != nil {
		return err
	}
	s.recorder.drop(filepath.Join(s.root(c.client), e.Dir))
	if err := c.store.Delete(c.r.Context(), e); err != nil {
		return err
	}
	s.stale(c.client.name)
	s.Log.Info(fmt.Sprintf("%s: has deleted backup %s of job %s", c.client.name, e.ID, e.Job))
	return c.say(struct{}{})
}

// probe tells whether a backup could be begun.
func (s *Server) probe(c *call) error {
	if err := s.makeRoot(c.client); err != nil {
		return err
	}
	if err := c.store.Probe(c.r.Context()); err != nil {
		return err
	}
	return c.say(struct{}{})
}
