// Package state is what a host remembers between runs, in the directory
// status_dir: who is running (locks), runs whose copies are to be retried
// (*.b1ks), the last run and last good copies of each job and instance, and
// reports that could not be delivered. It decides nothing about a run; it may
// import internal/report only.
//
// Every file is written under another name, synced and renamed. What cannot be
// read (cut short, or not ours) stops nothing: it is left where it is and
// named in the error that comes with the rest.
package state

import (
	"encoding/json"
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

// DefaultPath is the directory where status_dir is not set.
const DefaultPath = "/var/lib/b1000/status"

// MaxQueued is how many undelivered reports are kept for each report name.
const MaxQueued = 10_000

// Folders of the directory, and the name of a file being written.
const (
	lockFolder   = "locks"
	lastFolder   = "last"
	reportFolder = "reports"
	newFile      = ".new"
)

// Dir is an open status directory. Several processes and goroutines may use it.
type Dir struct {
	path      string
	maxQueued int
}

// Open opens the directory, and makes it (mode 0700, its parents 0750) when
// missing. A symbolic link is refused, as is a directory that others than its
// owner may write to, or that is another user's than ours and root's.
func Open(dir string) (*Dir, error) {
	d := &Dir{path: filepath.Clean(dir), maxQueued: MaxQueued}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o750); err != nil {
		return nil, fmt.Errorf("status directory: %w", err)
	}
	for _, folder := range []string{"", lockFolder, lastFolder, reportFolder} {
		if err := makePrivate(filepath.Join(d.path, folder)); err != nil {
			return nil, fmt.Errorf("status directory: %w", err)
		}
	}
	return d, nil
}

func makePrivate(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return fmt.Errorf("%s is a symbolic link", path)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is not a directory", path)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s may be written to by others than its owner; chmod go-w it", path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d", path, st.Uid)
	}
	return nil
}

// exclusive runs f while no other process or goroutine changes files here. It
// is held for the writing of a file, never for a run.
func (d *Dir) exclusive(f func() error) error {
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := flock(dir, unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", d.path, err)
	}
	return f()
}

// flock is flock(2), again when a signal interrupts it.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return err
		}
	}
}

// writeJSON puts v into the file at path, whole or not at all. It is called
// within exclusive: the new file has a fixed name, so that crashes leave one
// at most.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	temp := filepath.Join(filepath.Dir(path), newFile)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// readJSON reads a file that writeJSON wrote. The error is fs.ErrNotExist when
// there is none, and names the file.
func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

// checkRun refuses what is JSON but tells of no run.
func checkRun(path string, r *report.Run) error {
	if r.Job == "" || r.Start.IsZero() {
		return fmt.Errorf("%s is damaged: it names no run", path)
	}
	return nil
}

// remove removes a file for good; that there is none is no error.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(filepath.Dir(path)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// files returns the paths in folder of what ends in suffix, by name.
func files(folder, suffix string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(folder, e.Name()))
		}
	}
	return paths, err
}

// sameRun reports whether two states are of one run.
func sameRun(a, b *report.Run) bool {
	return a.Job == b.Job && a.Part() == b.Part() && a.Host == b.Host && a.Start.Equal(b.Start)
}

// jobFile is the name for a job and instance; no two have the same, as escape
// leaves no colon.
func jobFile(job, instance string) string { return escape(job) + ":" + escape(instance) }

// escape makes a name safe in file names: everything but ASCII letters,
// digits, '-', '_' and '.' within becomes %XX.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// stamp is a time as the original writes it into file names.
func stamp(t time.Time) string { return t.Format("2006-01-02-15-04-05") }
