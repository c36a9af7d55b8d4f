package passive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A client never touches the report directory. It sees copies of the report
// files, taken when it connects, and may put beside each one the two names by
// which the host that it is tells its result. What it has put there is then made
// in the report directory by us: an empty file, of such a name, beside a report
// that is still there.

// reportName is the name of a report file, of characters that mean nothing to
// rsync's patterns.
var reportName = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*\.b1k$`)

const (
	maxReport  = 1 << 20 // bytes of a report file; the largest of ours has a few thousand
	maxReports = 4096    // report files that are served
)

// results are what a pulling host may say about a report.
var results = [...]string{".done", ".error"}

// stage copies the report files from one directory to another, but for those
// that one of the hosts has answered: they are not for it any more. One that
// cannot be copied does not keep the others back.
func stage(from, to string, hosts []string) (reports []string, err error) {
	source, err := os.OpenRoot(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // before the first run of the job
	}
	if err != nil {
		return nil, err
	}
	defer source.Close()
	entries, err := fs.ReadDir(source.FS(), ".")
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		if !reportName.MatchString(e.Name()) || !e.Type().IsRegular() || len(reports) == maxReports {
			continue
		}
		if answered(source, e.Name(), hosts) {
			continue
		}
		switch err := stageOne(source, e.Name(), filepath.Join(to, e.Name())); {
		case err == nil:
			reports = append(reports, e.Name())
		case !errors.Is(err, fs.ErrNotExist): // or the run has just ended
			errs = append(errs, err)
		}
	}
	return reports, errors.Join(errs...)
}

// answered reports whether one of the hosts has told the result of a report.
func answered(dir *os.Root, report string, hosts []string) bool {
	for _, mark := range marks(report, hosts) {
		if _, err := dir.Lstat(mark); err == nil {
			return true
		}
	}
	return false
}

func stageOne(source *os.Root, name, to string) error {
	in, err := source.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxReport {
		return fmt.Errorf("report %s: %d bytes are too many", name, info.Size())
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, maxReport))
	// Readable whatever the umask is; the time is the report's.
	return errors.Join(err, out.Chmod(0o644), out.Close(), os.Chtimes(to, time.Time{}, info.ModTime()))
}

// allowed are the names that a client who is one of the hosts may read or write.
func allowed(reports, hosts []string) (names []string) {
	for _, r := range reports {
		names = append(names, r)
		names = append(names, marks(r, hosts)...)
	}
	return names
}

// marks are the names by which the hosts tell the result of a report.
func marks(report string, hosts []string) (names []string) {
	for _, h := range hosts {
		for _, result := range results {
			names = append(names, report+"."+h+result)
		}
	}
	return names
}

// deliver makes in the report directory what a client has put beside the staged
// reports, and returns the names.
func deliver(from, to string, reports, hosts []string) (made []string, err error) {
	var errs []error
	for _, r := range reports {
		for _, mark := range marks(r, hosts) {
			info, err := os.Lstat(filepath.Join(from, mark))
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := makeMark(to, r, mark); err != nil {
				errs = append(errs, err)
				continue
			}
			made = append(made, mark)
		}
	}
	return made, errors.Join(errs...)
}

func makeMark(dir, report, mark string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Lstat(report); err != nil {
		return fmt.Errorf("%s: came too late: %w", mark, err)
	}
	f, err := root.OpenFile(mark, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil // it has been said already
	}
	if err != nil {
		return err
	}
	return f.Close()
}
