package state

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"b1000/internal/report"
)

// Queued is a report that could not be delivered.
type Queued struct {
	Report string     // name of the [report:…] section
	Run    report.Run // the state to deliver
	path   string
	sum    [sha256.Size]byte // of the file as read, to see whether it has been replaced since
}

// queuedFile is what is inside a queued report's file. The file's name is its
// number in the queue and a digest of what identifies the run.
type queuedFile struct {
	Report string     `json:"report"`
	Run    report.Run `json:"run"`
}

const queueSuffix = ".json"

// QueueReport keeps a run's state for the report of that name. It takes the
// place in the queue of an earlier state of the run. At most MaxQueued are
// kept for a report; none is dropped for a new one, which is then an error.
func (d *Dir) QueueReport(reportName string, r *report.Run) error {
	err := d.exclusive(func() error {
		folder := d.queueFolder(reportName)
		if err := makePrivate(folder); err != nil {
			return err
		}
		paths, err := files(folder, queueSuffix)
		if err != nil {
			return err
		}
		end := "-" + runDigest(r) + queueSuffix
		number := uint64(1)
		for _, path := range paths {
			if strings.HasSuffix(path, end) {
				return writeJSON(path, queuedFile{reportName, *r})
			}
			first, _, _ := strings.Cut(filepath.Base(path), "-")
			if n, err := strconv.ParseUint(first, 10, 63); err == nil {
				number = max(number, n+1)
			}
		}
		if len(paths) >= d.maxQueued {
			return fmt.Errorf("%d are waiting already, %s is not kept; deliver them (b1000ctl report) or empty %s",
				len(paths), r.Name(), folder)
		}
		return writeJSON(filepath.Join(folder, fmt.Sprintf("%020d%s", number, end)), queuedFile{reportName, *r})
	})
	if err != nil {
		return fmt.Errorf("report %q: queue: %w", reportName, err)
	}
	return nil
}

// runDigest is what identifies a run, as a part of a file name.
func runDigest(r *report.Run) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d", r.Host, r.Job, r.Instance, r.Start.UnixNano()))
	return fmt.Sprintf("%x", sum[:8])
}

// QueuedReports returns what waits for the report of that name, or for all
// where that is "", report by report, in the order in which it is to be
// delivered. Files that cannot be read are named in the error, which comes
// together with the others.
func (d *Dir) QueuedReports(reportName string) ([]Queued, error) {
	folders := []string{d.queueFolder(reportName)}
	var errs []error
	if reportName == "" {
		var err error
		folders, err = files(filepath.Join(d.path, reportFolder), "")
		errs = append(errs, err)
	}
	var queued []Queued
	for _, folder := range folders {
		paths, err := files(folder, queueSuffix)
		errs = append(errs, err)
		for _, path := range paths {
			q, err := readQueued(path)
			switch {
			case errors.Is(err, fs.ErrNotExist): // delivered meanwhile
			case err != nil:
				errs = append(errs, fmt.Errorf("queued report: %w", err))
			default:
				queued = append(queued, q)
			}
		}
	}
	return queued, errors.Join(errs...)
}

func readQueued(path string) (Queued, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Queued{}, err
	}
	var f queuedFile
	if err := json.Unmarshal(text, &f); err != nil {
		return Queued{}, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return Queued{Report: f.Report, Run: f.Run, path: path, sum: sha256.Sum256(text)}, checkRun(path, &f.Run)
}

// DropQueued removes a report that was delivered. Where a later state of the
// run has taken its place meanwhile, that one stays, and it is no error.
func (d *Dir) DropQueued(q Queued) error {
	err := d.exclusive(func() error {
		text, err := os.ReadFile(q.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if sha256.Sum256(text) != q.sum {
			return nil
		}
		return remove(q.path)
	})
	if err != nil {
		return fmt.Errorf("report %q: drop queued: %w", q.Report, err)
	}
	return nil
}

func (d *Dir) queueFolder(reportName string) string {
	return filepath.Join(d.path, reportFolder, escape(reportName))
}
