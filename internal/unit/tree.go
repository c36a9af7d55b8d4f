package unit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tree is a set of files and links below one directory. The zero value is empty.
type Tree struct{ entries []Entry }

// Entry is one file or link of a Tree.
type Entry struct {
	Path string `json:"path"`           // relative, clean
	Text string `json:"text,omitempty"` // of a file
	Link string `json:"link,omitempty"` // what a link points to; "" for a file
}

// File adds a file.
func (t *Tree) File(path, text string) { t.entries = append(t.entries, Entry{Path: path, Text: text}) }

// Link adds a symbolic link.
func (t *Tree) Link(path, target string) {
	t.entries = append(t.entries, Entry{Path: path, Link: target})
}

// Entries are all of them, sorted by path.
func (t *Tree) Entries() []Entry {
	slices.SortFunc(t.entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return t.entries
}

// WriteTo prints the tree for people: each path, then the text below it.
func (t *Tree) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, e := range t.Entries() {
		if e.Link != "" {
			fmt.Fprintf(&b, "%s -> %s\n\n", e.Path, e.Link)
			continue
		}
		fmt.Fprintf(&b, "%s\n", e.Path)
		for line := range strings.Lines(e.Text) {
			if line != "\n" {
				b.WriteString("    ")
			}
			b.WriteString(line)
		}
		b.WriteByte('\n')
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Make writes the tree below dir, which has to be there, and nothing if that is
// not possible as a whole. A file that is there already is an error and stays as
// it is.
func (t *Tree) Make(dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var made []string
	defer func() {
		if err == nil {
			return
		}
		for _, path := range slices.Backward(made) {
			err = errors.Join(err, root.Remove(path))
		}
	}()
	parent := ""
	for _, e := range t.Entries() {
		if d := filepath.Dir(e.Path); d != "." && d != parent {
			parent = d
			if err := root.Mkdir(d, 0o755); err == nil {
				made = append(made, d)
			} else if !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		if err := makeEntry(root, e); err != nil {
			return err
		}
		made = append(made, e.Path)
	}
	return nil
}

func makeEntry(root *os.Root, e Entry) error {
	if e.Link != "" {
		return root.Symlink(e.Link, e.Path)
	}
	f, err := root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(e.Text)
	err = errors.Join(err, f.Close())
	if err != nil {
		err = errors.Join(err, root.Remove(e.Path))
	}
	return err
}

// Differences compares the tree with what is below dir: the paths that are
// missing there, and those that say something else. What else is there is not
// looked at.
func (t *Tree) Differences(dir string) (missing, changed []string) {
	for _, e := range t.Entries() {
		path := filepath.Join(dir, e.Path)
		var have string
		var err error
		want := e.Text
		if e.Link != "" {
			want = e.Link
			have, err = os.Readlink(path)
		} else {
			var data []byte
			data, err = os.ReadFile(path)
			have = string(data)
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			missing = append(missing, e.Path)
		case err != nil || have != want:
			changed = append(changed, e.Path)
		}
	}
	return missing, changed
}
