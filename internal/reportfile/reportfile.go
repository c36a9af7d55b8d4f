// Package reportfile reads and writes the report files of passive jobs
// (<job>-<instance>-<start>.b1k), by which a client and the host that pulls
// from it agree. The format is the original program's, so that either end may
// still be the original. A file that comes from another host is untrusted:
// Parse accepts the known grammar only. The package decides nothing about a
// run; it may import internal/report only.
package reportfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"b1000/internal/report"
)

// Suffix is what the name of every report file ends in.
const Suffix = ".b1k"

const (
	nameTime = "2006-01-02-15-04-05"
	fileTime = "2006-01-02 15:04:05"
)

// Name is the name of the run's report file, ext--2014-08-20-15-40-04.b1k: the
// instance is empty where there is none. The time is the wall clock that
// r.Start carries, in the zone it carries, so that a run that was parsed or
// kept has the same name wherever it is read.
func Name(r *report.Run) string {
	return r.Job + "-" + r.Instance + "-" + r.Start.Format(nameTime) + Suffix
}

// Write writes the run's report file into dir, in place of an earlier state of
// it, and returns its path. It appears whole or not at all, and is readable by
// everybody, because an rsync daemon hands it to the pulling host. A run that
// Parse would not accept is refused and nothing is written: a line break in a
// value could otherwise pass for other keys.
func Write(dir string, r *report.Run) (string, error) {
	text, err := render(r)
	if err != nil {
		return "", fmt.Errorf("report file: %w", err)
	}
	if _, err := Parse(strings.NewReader(text)); err != nil {
		return "", fmt.Errorf("not written: %w", err)
	}
	path := filepath.Join(dir, Name(r))
	if err := replace(path, text); err != nil {
		return "", fmt.Errorf("report file: %w", err)
	}
	return path, nil
}

// Remove removes the run's report file from dir. That there is none is no error.
func Remove(dir string, r *report.Run) error {
	name := Name(r)
	if filepath.Base(name) != name {
		return fmt.Errorf("report file: %q is not a file name", name)
	}
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("report file: %w", err)
	}
	return nil
}

// render returns the text of the run's report file, keys in the original's order.
func render(r *report.Run) (string, error) {
	var b strings.Builder
	var errs []error
	put := func(key, value string) {
		if err := plain(value); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", key, err))
		}
		b.WriteString(strings.TrimRight(key+" = "+value, " ") + "\n")
	}
	section := func(kind, name string) {
		if err := plain(name); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", kind, err))
		}
		b.WriteString("[" + kind + ":" + name + "]\n")
	}
	section("jobstatus", r.Job)
	put("host", r.Host)
	put("name", r.Job)
	put("instance", r.Instance)
	put("master_host", r.MasterHost)
	put("master_instance", r.MasterInstance)
	put("direction", r.Direction)
	put("start_time", r.Start.Format(fileTime))
	put("step", string(r.Step))
	put("status", string(r.Status))
	put("data_age", fmt.Sprint(r.DataAge))
	for _, c := range r.Copies {
		b.WriteString("\n")
		section("dest", c.Destination)
		put("type", c.Type)
		put("path", c.Path)
		put("status", string(c.Status))
	}
	return b.String(), errors.Join(errs...)
}

// plain says why a value would not come back from a file as it went in, or nil:
// readers strip outer white space, and the original's takes " ;" for a comment.
func plain(s string) error {
	switch {
	case !utf8.ValidString(s):
		return fmt.Errorf("%q is not UTF-8", short(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%q holds a control character", short(s))
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%q begins or ends with white space", short(s))
	case strings.Contains(" "+s, " ;"):
		return fmt.Errorf("%q holds what begins a comment", short(s))
	}
	return nil
}

// short cuts a value that may be hostile to a length fit for an error.
func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// replace writes the file at path by way of another name. That name is
// unforeseeable, because other hosts may write to the directory.
func replace(path, text string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".report-*.tmp")
	if err != nil {
		return err
	}
	_, werr := f.WriteString(text)
	err = errors.Join(werr, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
