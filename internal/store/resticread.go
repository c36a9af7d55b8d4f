package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"b1000/internal/restic"
	"b1000/internal/rsync"
)

// In a repository a tree has the paths that it had on its host. Here it is
// called what it is called in every other store: each source by its last
// element, or with Relative by its whole path.

// source is the first one that a name within the backup belongs to, and the
// path that the name has in the repository.
func (k *kept) sourceOf(name string) (source, abs string, ok bool) {
	for _, s := range k.Sources {
		in := k.nameIn(s)
		switch {
		case in == ".":
			return s, "/" + name, true
		case name == in || below(name, in):
			return s, s + strings.TrimPrefix(name, in), true
		case k.Relative && below(in, name): // a directory above it
			return s, "/" + name, true
		}
	}
	return "", "", false
}

func (k *kept) nameIn(source string) string { return Tree{Relative: k.Relative}.nameIn(source) }

// namesOf are the names of a path in the repository: none where it is above the
// sources, several where one source is below another.
func (k *kept) namesOf(abs string) (names []string) {
	for _, s := range k.Sources {
		in, name := k.nameIn(s), ""
		switch {
		case in == "." || k.Relative && (abs == s || below(abs, s) || below(s, abs)):
			name = abs[1:]
		case abs == s || below(abs, s):
			name = in + strings.TrimPrefix(abs, s)
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// node is a line of restic ls.
type node struct {
	Type    string      `json:"message_type"`
	Path    string      `json:"path"`
	Kind    string      `json:"type"`
	Size    int64       `json:"size"`
	Mode    fs.FileMode `json:"mode"`
	ModTime time.Time   `json:"mtime"`
}

// Show lists what a backup holds. restic does not tell what links point to.
func (s *resticStore) Show(ctx context.Context, e Entry, name string, each func(rsync.Entry)) error {
	clean := ""
	if name != "" {
		var err error
		if clean, err = cleanName(name); err != nil {
			return err
		}
	}
	wanted := func(n string) bool { return clean == "" || n == clean || below(n, clean) }
	found := false
	err := s.list(ctx, e, clean, func(r rsync.Entry) {
		if wanted(r.Name) {
			found = true
			each(r)
		}
	})
	if err == nil && !found && name != "" {
		err = fmt.Errorf("%s holds no %q", e.ID, name)
	}
	return err
}

// list calls each for every entry of a backup, or at least those below a name.
func (s *resticStore) list(ctx context.Context, e Entry, name string, each func(rsync.Entry)) error {
	if e.restic == nil {
		return fmt.Errorf("%s is not in this repository", e.ID)
	}
	k := &e.restic.kept
	if err := s.ready(ctx); err != nil {
		return err
	}
	told := map[string]bool{}
	if k.Tree != "" {
		args := []string{"ls", "--recursive", k.Tree}
		if name != "" {
			_, abs, ok := k.sourceOf(name)
			if !ok {
				args = nil
			}
			args = append(args, path.Dir(abs))
		}
		if len(args) > 1 {
			if err := s.nodes(ctx, args, func(n node) {
				for _, name := range k.namesOf(n.Path) {
					told[name] = true
					each(n.entry(name))
				}
			}); err != nil {
				return err
			}
		}
	}
	for _, st := range k.Streams {
		for dir := path.Dir(st.Name); dir != "." && !told[dir]; dir = path.Dir(dir) {
			told[dir] = true
			each(rsync.Entry{Mode: ls(fs.ModeDir | 0o755), Time: st.ModTime.Local().Truncate(time.Second), Name: dir})
		}
		each(rsync.Entry{Mode: ls(st.Mode), Size: st.Size, Time: st.ModTime.Local().Truncate(time.Second), Name: st.Name})
	}
	return nil
}

// nodes hands out what restic ls prints.
func (s *resticStore) nodes(ctx context.Context, args []string, each func(node)) error {
	out := &lineWriter{each: func(line []byte) error {
		var n node
		if err := json.Unmarshal(line, &n); err != nil {
			return fmt.Errorf("restic ls: answers what cannot be read: %w", err)
		}
		if n.Type == "node" && strings.HasPrefix(n.Path, "/") {
			each(n)
		}
		return nil
	}}
	_, err := s.repo.Run(ctx, restic.Call{Args: args, Output: out, Unlock: true})
	return errors.Join(out.err, err)
}

func (n *node) entry(name string) rsync.Entry {
	return rsync.Entry{Mode: ls(n.Mode), Size: n.Size, Time: n.ModTime.Local().Truncate(time.Second), Name: name}
}

// ls is a mode as ls(1) prints it.
func ls(m fs.FileMode) string {
	b := []byte("----------")
	for _, t := range []struct {
		bit  fs.FileMode
		char byte
	}{{fs.ModeDir, 'd'}, {fs.ModeSymlink, 'l'}, {fs.ModeNamedPipe, 'p'}, {fs.ModeSocket, 's'}, {fs.ModeDevice, 'b'}, {fs.ModeCharDevice, 'c'}} {
		if m&t.bit != 0 {
			b[0] = t.char
		}
	}
	for i, c := range "rwxrwxrwx" {
		if m&(1<<(8-i)) != 0 {
			b[i+1] = byte(c)
		}
	}
	for _, s := range []struct {
		bit        fs.FileMode
		at         int
		with, bare byte
	}{{fs.ModeSetuid, 3, 's', 'S'}, {fs.ModeSetgid, 6, 's', 'S'}, {fs.ModeSticky, 9, 't', 'T'}} {
		if m&s.bit == 0 {
			continue
		}
		if b[s.at] == 'x' {
			b[s.at] = s.with
		} else {
			b[s.at] = s.bare
		}
	}
	return string(b)
}

// lineWriter hands on lines of any length. An error of each ends the writer.
type lineWriter struct {
	each func([]byte) error
	part []byte
	err  error
}

func (w *lineWriter) Write(p []byte) (int, error) {
	rest := p
	for w.err == nil {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			w.part = append(w.part, rest...)
			return len(p), nil
		}
		w.err = w.each(append(w.part, rest[:i]...))
		w.part, rest = w.part[:0], rest[i+1:]
	}
	return 0, w.err
}

// Top are the names at the root of a backup, known without asking, but for
// those of a source that is the root directory.
func (s *resticStore) Top(ctx context.Context, e Entry) (names []string, err error) {
	if e.restic == nil {
		return nil, fmt.Errorf("%s is not in this repository", e.ID)
	}
	add := func(name string) {
		first, _, _ := strings.Cut(name, "/")
		if !slices.Contains(names, first) {
			names = append(names, first)
		}
	}
	k := &e.restic.kept
	for _, source := range k.Sources {
		if source != "/" {
			add(k.nameIn(source))
			continue
		}
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
		if err := s.nodes(ctx, []string{"ls", k.Tree, "/"}, func(n node) { add(n.Path[1:]) }); err != nil {
			return nil, err
		}
	}
	for _, st := range k.Streams {
		add(st.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds nothing", e.ID)
	}
	return names, nil
}
