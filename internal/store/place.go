package store

import (
	"os"
	"time"
)

// Place is a backup of a local store that is filled by others than Tree: by a
// server, for a client of its own. What is local is one.
type Place interface {
	Backup
	// Dir is the directory to write into. Afresh changes it.
	Dir() string
	// Used reports whether something may be in there already.
	Used() bool
	// Bases are directories to link from, best first, and when their copying
	// began. A tree that holds links of theirs may not be written into again, but
	// for what is new: Afresh first.
	Bases() (dirs []string, since []time.Time)
	// Afresh puts aside what is there, as one more base, and begins anew.
	Afresh() error
	// Lock is held as long as anything has the file.
	Lock() *os.File
}

func (b *localBackup) Dir() string {
	b.once.Lock()
	defer b.once.Unlock()
	b.ready = true // who fills it by himself knows what is in there
	return b.tree
}

func (b *localBackup) Used() bool     { return b.tried }
func (b *localBackup) Lock() *os.File { return b.lock }

func (b *localBackup) Bases() ([]string, []time.Time) {
	if !b.target.full() {
		return nil, nil
	}
	return b.bases()
}

func (b *localBackup) Afresh() error {
	if !b.target.full() {
		return nil // it has one place for ever
	}
	b.once.Lock()
	defer b.once.Unlock()
	b.ready = true
	if !b.tried {
		b.tried = true
		return nil
	}
	return b.putAside()
}

// Reader keeps a backup of a local store from being deleted while it is read.
type Reader interface {
	Reading(e Entry) (done func(), err error)
}

// Reading is what Reader asks for.
func (s *local) Reading(e Entry) (done func(), err error) { return s.reading(e) }
