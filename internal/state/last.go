package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"b1000/internal/report"
)

// Last is what is known of a job and instance from its last runs.
type Last struct {
	Run report.Run `json:"run"` // as it was saved last
	// GoodEnd is the end of the last run that was good: over with status OK,
	// or done with WARNING, and every copy committed. Zero for none.
	GoodEnd time.Time `json:"good_end,omitzero"`
	// Good is the last committed copy at each destination, also of runs that
	// failed elsewhere. Destinations that the job no longer has stay in it.
	Good map[string]Good `json:"good"`
	// Verified is the last verification at each destination.
	Verified map[string]Verified `json:"verified,omitempty"`
}

// Good is a committed copy.
type Good struct {
	ID       string    `json:"id"`
	Start    time.Time `json:"start"` // of the run
	End      time.Time `json:"end,omitzero"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	Location string    `json:"location,omitempty"`
}

const (
	lastSuffix    = ".json"
	damagedSuffix = ".damaged"
)

// SaveLast remembers the run as the last of its job and instance. Good copies
// of earlier runs stay where this one has none. What is saved last counts: a
// clock that was wrong once does not hide later runs. Where the file of the
// earlier runs is damaged, it is moved aside, the run is saved without them,
// and the error says so.
func (d *Dir) SaveLast(r *report.Run) error {
	err := d.exclusive(func() error {
		path := d.lastPath(r.Job, r.Part())
		last, err := readLast(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		case err != nil:
			err = errors.Join(fmt.Errorf("%w; moved aside to %s", err, filepath.Base(path)+damagedSuffix), os.Rename(path, path+damagedSuffix))
			last = Last{}
		}
		last.merge(r)
		return errors.Join(err, writeJSON(path, last))
	})
	if err != nil {
		return fmt.Errorf("job %q: last run: %w", r.Name(), err)
	}
	return nil
}

func (l *Last) merge(r *report.Run) {
	l.Run = *r
	if l.Good == nil {
		l.Good = map[string]Good{}
	}
	complete := true
	for _, c := range r.Copies {
		if !c.Good() {
			complete = false
			continue
		}
		l.Good[c.Destination] = Good{ID: r.ID, Start: r.Start, End: c.End, Files: c.Files, Bytes: c.Bytes, Location: c.Location}
	}
	if r.Over() && complete && (r.Status == report.OK || r.Status == report.Warning && r.Step == report.StepDone) {
		l.GoodEnd = r.End
	}
}

func readLast(path string) (Last, error) {
	var l Last
	if err := readJSON(path, &l); err != nil {
		return Last{}, err
	}
	return l, checkRun(path, &l.Run)
}

// Last returns what is known of a job and instance; false when it never ran.
func (d *Dir) Last(job, instance string) (Last, bool, error) {
	l, err := readLast(d.lastPath(job, instance))
	if errors.Is(err, fs.ErrNotExist) {
		return Last{}, false, nil
	}
	if err != nil {
		return Last{}, false, fmt.Errorf("last run: %w", err)
	}
	return l, true, nil
}

// Lasts returns what is known of every job and instance, by name. Files that
// cannot be read are named in the error, which comes together with the others.
func (d *Dir) Lasts() ([]Last, error) {
	paths, err := files(filepath.Join(d.path, lastFolder), lastSuffix)
	errs := []error{err}
	var lasts []Last
	for _, path := range paths {
		l, err := readLast(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // dropped meanwhile
		case err != nil:
			errs = append(errs, fmt.Errorf("last run: %w", err))
		default:
			lasts = append(lasts, l)
		}
	}
	return lasts, errors.Join(errs...)
}

// DropLast forgets a job and instance. That there is nothing is no error.
func (d *Dir) DropLast(job, instance string) error {
	path := d.lastPath(job, instance)
	err := d.exclusive(func() error { return errors.Join(remove(path), remove(path+damagedSuffix)) })
	if err != nil {
		return fmt.Errorf("job %q: drop last run: %w", report.JobName(job, instance), err)
	}
	return nil
}

func (d *Dir) lastPath(job, instance string) string {
	return filepath.Join(d.path, lastFolder, jobFile(job, instance)+lastSuffix)
}
