package store

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// growth is how far a tree has come that is a subvolume.
type growth struct {
	subvolume bool
	grown     bool      // there is an upload at its top
	linked    bool      // all that is unchanged has been found in it
	failed    bool      // it could not grow
	top       string    // the name of the upload
	since     time.Time // when what is in it was copied
}

// note is what a file beside a tree that has grown says of it: no client can get at
// that.
type note struct {
	Top   string    // the name of the upload at its top
	Since time.Time `json:",omitzero"` // since when the rest is what it should be, if it is
}

func noteName(base string) string { return ".grown-" + base }

// readNote reads the note of the tree of base. One that cannot be read says nothing,
// but that there is one.
func readNote(folder, base string) (n note, ok bool) {
	text, err := os.ReadFile(filepath.Join(folder, noteName(base)))
	if errors.Is(err, fs.ErrNotExist) {
		return note{}, false
	}
	if err != nil || json.Unmarshal(text, &n) != nil || !strings.HasPrefix(n.Top, uploadPrefix) || strings.Contains(n.Top, "/") {
		return note{}, true
	}
	return n, true
}

// note writes the note, with a name for the upload if there is none yet. It reaches
// the disk before what it speaks of can.
func (b *localBackup) note(since time.Time) error {
	if b.top == "" {
		b.top = uploadPrefix + rand.Text()
	}
	text, err := json.Marshal(note{b.top, since})
	if err != nil {
		return err
	}
	file := filepath.Join(b.folder, noteName(b.target.Base))
	f, err := os.OpenFile(file+"~", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+"~", file)
}

// unnote removes it.
func (b *localBackup) unnote() error {
	b.top = ""
	err := os.Remove(filepath.Join(b.folder, noteName(b.target.Base)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// upload is the directory at the top of the tree.
func (b *localBackup) upload() string { return filepath.Join(b.tree, b.top) }
