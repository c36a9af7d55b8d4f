package reportfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A host that pulls answers by an empty file beside the report: its name, the
// host, and how it went.
const (
	doneEnd  = ".done"
	errorEnd = ".error"
)

// AnswerName is the name of the file by which a host tells that it has what the
// report file offers, or could not get it.
func AnswerName(file, host string, good bool) string {
	if good {
		return file + "." + host + doneEnd
	}
	return file + "." + host + errorEnd
}

// lookEvery is how often a directory is looked at that cannot be watched, and
// restEvery one that can.
const (
	lookEvery = time.Second
	restEvery = 30 * time.Second
)

// Await waits until one of the hosts answers a report file in one of the
// directories, removes the answer and returns it. Answers of other hosts stay.
// Where there are both answers of a host it is not good. The error is the cause
// of ctx, or says why an answer cannot be removed: one that stays would pass for
// the next run's.
func Await(ctx context.Context, dirs []string, file, host string) (good bool, err error) {
	tick, events, stop := watch(dirs)
	defer stop()
	for {
		good, found, err := take(dirs, file, host)
		if found || err != nil {
			return good, err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-tick:
		case <-events:
		}
	}
}

// watch tells of changes in directories, as far as the kernel does, and from
// time to time.
func watch(dirs []string) (tick <-chan time.Time, events <-chan fsnotify.Event, stop func()) {
	w, err := fsnotify.NewWatcher()
	for _, dir := range dirs {
		if err == nil {
			err = w.Add(dir)
		}
	}
	every := restEvery
	if err != nil { // too many watches on this host, or a filesystem without them
		every = lookEvery
	}
	t := time.NewTicker(every)
	stop = t.Stop
	if w != nil {
		events = w.Events
		stop = func() { t.Stop(); w.Close() }
	}
	return t.C, events, stop
}

// take removes the answers of a host.
func take(dirs []string, file, host string) (good, found bool, err error) {
	good = true
	for _, dir := range dirs {
		for _, ok := range []bool{true, false} {
			err := os.Remove(filepath.Join(dir, AnswerName(file, host, ok)))
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return false, true, fmt.Errorf("report directory: answer of %s: %w", host, err)
			default:
				found, good = true, good && ok
			}
		}
	}
	return good && found, found, nil
}

// Clear removes the report files of a job and instance from a directory, and all
// answers to them: they are of runs that are over. The caller holds the lock of
// the job.
func Clear(dir, job, instance string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("report directory: %w", err)
	}
	ours := pattern(job, instance, `(\..*)?`)
	var errs []error
	for _, e := range entries {
		if !ours.MatchString(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("report directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// IsName reports whether a report file of a job and instance has that name; job
// may be "" for any.
func IsName(name, job, instance string) bool { return pattern(job, instance, "").MatchString(name) }

// pattern matches the names of report files. The time keeps job a-b apart from
// job a with the instance b.
func pattern(job, instance, end string) *regexp.Regexp {
	first := regexp.QuoteMeta(job)
	if job == "" {
		first = `[A-Za-z0-9][-_.A-Za-z0-9]*`
	}
	return regexp.MustCompile(`^` + first + `-` + regexp.QuoteMeta(instance) + `-\d{4}(-\d\d){5}` + regexp.QuoteMeta(Suffix) + end + `$`)
}
