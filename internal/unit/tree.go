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
	same string // path of a file with the same text; "" where none is known
}

// File adds a file.
func (t *Tree) File(path, text string) { t.entries = append(t.entries, Entry{Path: path, Text: text}) }

// Same adds a file with the text of another one, which is given by its path. Where
// the file system allows it they are one file with two names, which is made in
// half the time.
func (t *Tree) Same(path, text, other string) {
	t.entries = append(t.entries, Entry{Path: path, Text: text, same: other})
}

// Link adds a symbolic link.
func (t *Tree) Link(path, target string) {
	t.entries = append(t.entries, Entry{Path: path, Link: target})
}

// Add adds what is in another tree.
func (t *Tree) Add(other *Tree) { t.entries = append(t.entries, other.entries...) }

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
