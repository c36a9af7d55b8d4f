package state

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"b1000/internal/report"
)

// Verified is how the last comparison of a stored backup with its digests ended.
type Verified struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Damaged int64     `json:"damaged"` // files
	Damage  string    `json:"damage,omitempty"`
}

// SaveVerified remembers it for a destination of a job and instance. Of what
// never ran on this host nothing is remembered.
func (d *Dir) SaveVerified(job, instance, destination string, v Verified) error {
	err := d.exclusive(func() error {
		path := d.lastPath(job, instance)
		last, err := readLast(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if last.Verified == nil {
			last.Verified = map[string]Verified{}
		}
		last.Verified[destination] = v
		return writeJSON(path, last)
	})
	if err != nil {
		return fmt.Errorf("job %q: last verification: %w", report.JobName(job, instance), err)
	}
	return nil
}
