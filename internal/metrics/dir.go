package metrics

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
)

// Dir is the directory that the textfile collector reads. It is not made when
// missing: it is node_exporter's. Two configurations may share it as long as no
// job is in both; b1000.prom is then that of the last one that ran.
type Dir struct {
	Path   string
	Config string // the configuration whose jobs these are
}

const (
	hostFile = "b1000.prom"
	prefix   = "b1000-"
	suffix   = ".prom"
	newEnd   = ".new" // of a file being written: the collector passes it over

	// nameLimit leaves room for what temporary names have more.
	nameLimit = 200
	// patience is how long another process may take to write its file.
	patience = 5 * time.Second
)

// WriteJob replaces the file of a job and instance.
func (d Dir) WriteJob(j Job) error {
	path := filepath.Join(d.Path, fileName(j.Name, j.Instance))
	err := d.exclusive(func() error {
		before, err := readFile(path)
		if err == nil { // what cannot be read is replaced
			j.takeOver(before)
		}
		return d.write(path, j.Name+":"+j.Instance, j.table())
	})
	if err != nil {
		return fmt.Errorf("metrics of job %q: %w", report.JobName(j.Name, j.Instance), err)
	}
	return nil
}

// WriteHost replaces the host's file with what h says while no other process
// writes it. An error of h does not keep the rest from being written.
func (d Dir) WriteHost(h func() (Host, error)) error {
	err := d.exclusive(func() error {
		now, err := h()
		return errors.Join(err, d.write(filepath.Join(d.Path, hostFile), ":", now.table()))
	})
	if err != nil {
		return fmt.Errorf("metrics of this host: %w", err)
	}
	return nil
}

// Sweep removes the files of this configuration's jobs and instances that
// configured does not know.
func (d Dir) Sweep(configured func(job, instance string) bool) error {
	err := d.exclusive(func() error {
		entries, err := os.ReadDir(d.Path)
		errs := []error{err}
		for _, e := range entries {
			job, instance, ok := d.owner(e.Name())
			if !ok || configured(job, instance) {
				continue
			}
			if err := os.Remove(filepath.Join(d.Path, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("metrics: remove those of jobs that are not configured any more: %w", err)
	}
	return nil
}

// markFormat is the first line of a file: the configuration, the job and the
// instance that it is of.
const markFormat = "# b1000 %q %s\n"

// fileName is the name of a job's file, of at most 255 bytes: no two jobs and
// instances have the same. Names of jobs and instances hold neither ':' nor '~'.
func fileName(job, instance string) string {
	name := job
	if instance != "" {
		name += ":" + instance
	}
	if len(name) > nameLimit {
		name = fmt.Sprintf("%s~%x", name[:nameLimit-40], sha256.Sum256([]byte(name)))[:nameLimit]
	}
	return prefix + name + suffix
}

// owner is the job and instance that a file is of; false where it is not this
// configuration's.
func (d Dir) owner(name string) (job, instance string, ok bool) {
	if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, suffix) {
		return "", "", false
	}
	text, err := os.ReadFile(filepath.Join(d.Path, name))
	if err != nil {
		return "", "", false
	}
	var config, about string
	if _, err := fmt.Sscanf(string(text), markFormat, &config, &about); err != nil || config != d.Config {
		return "", "", false
	}
	job, instance, _ = strings.Cut(about, ":")
	return job, instance, fileName(job, instance) == name
}

// write puts a table into the file at path, readable by everyone.
func (d Dir) write(path, about string, t *table) error {
	text, err := t.encode(fmt.Sprintf(markFormat, d.Config, about))
	if err != nil {
		return err
	}
	temp := filepath.Join(d.Path, "."+filepath.Base(path)+newEnd)
	// The directory may be another user's: what has this name is not written through.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// exclusive runs f while no other process of this program writes here.
func (d Dir) exclusive(f func() error) error {
	dir, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f()
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return fmt.Errorf("lock %s: %w", d.Path, err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is locked by another program", d.Path)
		}
	}
}
