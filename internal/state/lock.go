package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
)

// Lock is held by the one run of a job and instance. It is bound to an open
// file: it ends with Release or with the process, however that ends, and is
// not passed on to programs that the process starts. Nothing breaks it.
type Lock struct{ file *os.File }

// Locked is the error of Lock when another run has the lock.
type Locked struct {
	Job      string
	Instance string
	Holder   string // running since 2014-08-20 15:40:04, pid 4711
}

func (e *Locked) Error() string {
	return fmt.Sprintf("job %q: %s", report.JobName(e.Job, e.Instance), e.Holder)
}

// lockTries bounds the waiting for those who only look, a few milliseconds each.
const lockTries = 500

// Lock takes the lock of a job and instance without waiting for another run;
// the error is then a *Locked. now is written into the lock, for people. The
// caller releases it.
func (d *Dir) Lock(job, instance string, now time.Time) (*Lock, error) {
	f, err := os.OpenFile(d.lockPath(job, instance), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("job %q: lock: %w", report.JobName(job, instance), err)
	}
	taken, err := take(f)
	switch {
	case err != nil:
		err = fmt.Errorf("job %q: lock: %w", report.JobName(job, instance), err)
	case !taken:
		err = &Locked{Job: job, Instance: instance, Holder: holder(f)}
	default:
		_ = sign(f, now) // a full disk takes the name of the holder, not the backup
		return &Lock{file: f}, nil
	}
	return nil, errors.Join(err, f.Close())
}

// take takes the lock of f, or reports that another run has it. Running holds
// a shared lock for a moment, and so does take itself: where a shared one can
// be had, no run has the lock, and it tries again.
func take(f *os.File) (bool, error) {
	for range lockTries {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return true, nil
		}
		if err != unix.EWOULDBLOCK {
			return false, err
		}
		free, err := lookAt(f)
		if err != nil || !free {
			return false, err
		}
		time.Sleep(rand.N(4 * time.Millisecond)) // two that begin at once must not go in step
	}
	return false, nil
}

// lookAt reports whether no run has the lock of f.
func lookAt(f *os.File) (bool, error) {
	err := flock(f, unix.LOCK_SH|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, flock(f, unix.LOCK_UN)
}

// sign writes who has the lock: one line, in place of the last holder's.
func sign(f *os.File, now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	line := fmt.Sprintf("pid=%d host=%s program=%s since=%s\n", os.Getpid(), host, filepath.Base(os.Args[0]), now.Format(time.RFC3339))
	_, err = f.WriteAt([]byte(line), 0)
	return err
}

// holder reads what sign wrote. A holder that is just about to sign, or had no
// room to, is "running".
func holder(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err != nil {
		return "running"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	values := map[string]string{}
	for _, field := range strings.Fields(line) {
		key, value, _ := strings.Cut(field, "=")
		values[key] = value
	}
	pid, err := strconv.Atoi(values["pid"])
	since, err2 := time.Parse(time.RFC3339, values["since"])
	if err != nil || err2 != nil {
		return "running"
	}
	return fmt.Sprintf("running since %s, pid %d", since.Local().Format(time.DateTime), pid)
}

// Release gives the lock back. A second call does nothing.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	// Unlocked by itself, as a child between fork and exec may have the file.
	if err := errors.Join(f.Truncate(0), flock(f, unix.LOCK_UN), f.Close()); err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// Running reports whether a run of the job and instance is on, and whose, as
// in Locked. It never makes a run fail that is about to begin.
func (d *Dir) Running(job, instance string) (string, bool, error) {
	f, err := os.OpenFile(d.lockPath(job, instance), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("job %q: lock: %w", report.JobName(job, instance), err)
	}
	defer f.Close()
	free, err := lookAt(f)
	if err != nil {
		return "", false, fmt.Errorf("job %q: lock: %w", report.JobName(job, instance), err)
	}
	if free {
		return "", false, nil
	}
	return holder(f), true, nil
}

func (d *Dir) lockPath(job, instance string) string {
	return filepath.Join(d.path, lockFolder, jobFile(job, instance))
}
