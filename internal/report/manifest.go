package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ManifestVersion is the format version that this program writes. A reader
// accepts it and every lower one.
const ManifestVersion = 1

// State says whether a stored backup can be relied on.
type State string

// Only a complete backup counts for retention and serves as a base for links.
// A legacy one has no manifest but a name that the original program would have
// made; an incomplete one was never committed.
const (
	Complete   State = "complete"
	Incomplete State = "incomplete"
	Legacy     State = "legacy"
)

// Manifest stands beside a stored backup as ".<name>.json" and says what the
// backup is. State is Incomplete while a destination that cannot rename is
// being filled; a manifest that says Complete is written last.
type Manifest struct {
	Version        int       `json:"version"`
	ID             string    `json:"id"`
	State          State     `json:"state"`
	Job            string    `json:"job"`
	Instance       string    `json:"instance,omitempty"`
	Host           string    `json:"host"`
	MasterHost     string    `json:"master_host,omitempty"`
	MasterInstance string    `json:"master_instance,omitempty"`
	Type           string    `json:"type"` // full, sync
	Start          time.Time `json:"start"`
	End            time.Time `json:"end,omitzero"`
	Include        []string  `json:"include"`            // absolute, without patterns
	Relative       bool      `json:"relative,omitempty"` // stored under their whole paths, not their last elements
	Files          int64     `json:"files"`
	Bytes          int64     `json:"bytes"`
	BytesSent      int64     `json:"bytes_sent"`
	Streams        []Stream  `json:"streams,omitempty"`
	Warnings       []string  `json:"warnings,omitempty"`
	Program        string    `json:"program"`

	// Boot tells which boot of the machine that stores it an unfinished one was
	// begun in; it is empty once all that there is of it has reached the disk.
	Boot string `json:"boot,omitempty"`
	// Disk tells the directory of a complete one from each copy of it, where all of
	// it has been brought to the disk: inode and birth.
	Disk string `json:"disk,omitempty"`
}

// Stream is one stored stream of a backup.
type Stream struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// ParseManifest reads a manifest. It refuses one of a later format version and
// one that lacks what identifies a backup.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	switch {
	case m.Version < 1 || m.Version > ManifestVersion:
		return Manifest{}, fmt.Errorf("manifest: format version %d is not known here", m.Version)
	case m.ID == "" || m.Job == "" || m.Host == "" || m.Start.IsZero():
		return Manifest{}, errors.New("manifest: id, job, host or start is missing")
	case m.State != Complete && m.State != Incomplete:
		return Manifest{}, fmt.Errorf("manifest: unknown state %q", m.State)
	}
	return m, nil
}

// Encode returns the manifest as indented JSON that ends in a newline.
func (m Manifest) Encode() []byte {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil { // only plain types: a fault of this package
		panic(err)
	}
	return append(b, '\n')
}
