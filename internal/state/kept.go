package state

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"b1000/internal/report"
)

// Kept is a run whose failed copies are to be tried again: what b1000 -c needs
// to go on where it ended.
type Kept struct {
	Run     report.Run        `json:"run"`
	Include []string          `json:"include"`
	Runtime map[string]string `json:"runtime,omitempty"` // run-time options by name
}

const keptSuffix = ".b1ks"

// SaveKept keeps a run, in place of an earlier state of it. The file is named
// <job>-<instance>-<start>.b1ks; as two runs may have one such name (job a-b,
// instance c; job a, instance b-c), what is inside tells which run it is, and
// the second one gets a number.
func (d *Dir) SaveKept(k Kept) error {
	err := d.exclusive(func() error {
		paths, err := d.keptFiles()
		if err != nil {
			return err
		}
		path := keptPathOf(paths, &k.Run)
		base := filepath.Join(d.path, escape(k.Run.Job)+"-"+escape(k.Run.Part())+"-"+stamp(k.Run.Start))
		for n := 1; path == ""; n++ {
			name := base + keptSuffix
			if n > 1 {
				name = fmt.Sprintf("%s.%d%s", base, n, keptSuffix)
			}
			if !slices.Contains(paths, name) {
				path = name
			}
		}
		return writeJSON(path, k)
	})
	if err != nil {
		return fmt.Errorf("job %q: keep run: %w", k.Run.Name(), err)
	}
	return nil
}

// keptPathOf returns which of the files holds the run, or "".
func keptPathOf(paths []string, r *report.Run) string {
	for _, path := range paths {
		if k, err := readKept(path); err == nil && sameRun(&k.Run, r) {
			return path
		}
	}
	return ""
}

func (d *Dir) keptFiles() ([]string, error) { return files(d.path, keptSuffix) }

func readKept(path string) (Kept, error) {
	var k Kept
	if err := readJSON(path, &k); err != nil {
		return Kept{}, err
	}
	return k, checkRun(path, &k.Run)
}

// Kept returns the kept runs of a job and instance, or of all where job is "",
// oldest first. Files that cannot be read are named in the error, which comes
// together with the others.
func (d *Dir) Kept(job, instance string) ([]Kept, error) {
	paths, err := d.keptFiles()
	errs := []error{err}
	var kept []Kept
	for _, path := range paths {
		k, err := readKept(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // dropped meanwhile
		case err != nil:
			errs = append(errs, fmt.Errorf("kept run: %w", err))
		case job == "" || k.Run.Job == job && k.Run.Part() == instance:
			kept = append(kept, k)
		}
	}
	slices.SortStableFunc(kept, func(a, b Kept) int {
		return cmp.Or(a.Run.Start.Compare(b.Run.Start), cmp.Compare(a.Run.Name(), b.Run.Name()))
	})
	return kept, errors.Join(errs...)
}

// DropKept removes a kept run. That there is none is no error.
func (d *Dir) DropKept(k Kept) error {
	err := d.exclusive(func() error {
		paths, err := d.keptFiles()
		if err != nil {
			return err
		}
		if path := keptPathOf(paths, &k.Run); path != "" {
			return remove(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("job %q: drop kept run: %w", k.Run.Name(), err)
	}
	return nil
}
