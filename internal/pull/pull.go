// Package pull is the report directory of a client, as the host that pulls from
// it sees it over rsync: which report waits for an answer, and the answer. The
// formats are those of internal/reportfile. All that comes from the client is
// untrusted: names are matched as a whole, sizes, numbers and times are bounded,
// only regular files are taken, into a fresh private directory.
//
// It decides nothing about a run; it may import report, reportfile and rsync.
package pull

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/reportfile"
	"b1000/internal/rsync"
)

// Limits of what a client can make us do.
const (
	maxEntries = 1000        // names in its report directory that could be ours
	maxFiles   = 8           // reports that are read at one look
	lookLimit  = time.Minute // of one look, and of one answer
)

// scheme is how a passive destination names the host that pulls.
const scheme = "pull://"

// Source is the report directory of a client.
type Source struct {
	Location string   // rsync's name of the directory
	Job      string   // the client's job
	AnyJob   bool     // where it has no report of that job, one of another will do
	Instance string   // "" for none
	Names    []string // what the client may call this host
	Connect  string   // how the daemon is reached (rsync.Options.Connect)
	TempDir  string   // for short-lived files; "" the system's
}

// Offer is a report of a client that names this host and has no answer of it.
type Offer struct {
	Report report.Run
	File   string       // its name in the client's directory
	Name   string       // what the client calls this host
	Copy   *report.Copy // the report's section about this host
}

// ErrNothing is wrapped by Look's error where the client could be asked and has
// no report that waits for an answer of this host.
var ErrNothing = errors.New("no report that waits for this host")

// Look finds the offer that started last by the client's own clock, which is
// compared with nothing else. Reports that this host has answered, and those
// that do not name it, are passed over.
func (s *Source) Look(ctx context.Context) (Offer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("no answer within %v", lookLimit))
	defer cancel()
	listed, err := s.list(ctx)
	if err != nil {
		return Offer{}, fmt.Errorf("report_source: %w", err)
	}
	offer, err := s.newest(ctx, s.unanswered(listed, s.Job))
	if err == nil && offer == nil && s.AnyJob {
		offer, err = s.ofAnyJob(ctx, s.unanswered(listed, ""))
	}
	switch {
	case err != nil:
		return Offer{}, fmt.Errorf("report_source: %w", err)
	case offer == nil:
		return Offer{}, fmt.Errorf("report_source: %s holds %w (%s)", s.Location, ErrNothing, strings.Join(s.Names, ", "))
	}
	return *offer, nil
}

// list names what the directory holds of the kind that is looked for.
func (s *Source) list(ctx context.Context) (names []string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := s.options()
	o.Sources = []string{s.file("")}
	// The memory that a list of the client's making can take is bounded.
	o.Extra = []string{"--max-alloc=16M", "--include=/*-" + s.Instance + "-*" + reportfile.Suffix + "*", "--exclude=*"}
	err = rsync.List(ctx, o, func(e rsync.Entry) {
		if !strings.HasPrefix(e.Mode, "-") || len(names) > maxEntries {
			return
		}
		if names = append(names, e.Name); len(names) > maxEntries {
			cancel(fmt.Errorf("holds more than %d files", maxEntries))
		}
	})
	return names, err
}

// unanswered are the names of reports of a job, newest first.
func (s *Source) unanswered(listed []string, job string) (files []string) {
	for _, name := range listed {
		answered := slices.ContainsFunc(s.Names, func(host string) bool {
			return slices.Contains(listed, reportfile.AnswerName(name, host, true)) ||
				slices.Contains(listed, reportfile.AnswerName(name, host, false))
		})
		if reportfile.IsName(name, job, s.Instance) && !answered {
			files = append(files, name)
		}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(stamp(b), stamp(a)) })
	return files[:min(len(files), maxFiles)]
}

// stamp is the end of a report file's name, which tells the start.
func stamp(name string) string {
	const form = "2006-01-02-15-04-05" + reportfile.Suffix
	return name[len(name)-len(form):]
}

// newest is the first of the files that names this host; nil where none does.
func (s *Source) newest(ctx context.Context, files []string) (*Offer, error) {
	offers, err := s.offers(ctx, files)
	if err != nil || len(offers) == 0 {
		return nil, err
	}
	return &offers[0], nil
}

// ofAnyJob is the newest offer of the one job that offers something.
func (s *Source) ofAnyJob(ctx context.Context, files []string) (*Offer, error) {
	offers, err := s.offers(ctx, files)
	if err != nil || len(offers) == 0 {
		return nil, err
	}
	for _, o := range offers {
		if o.Report.Job != offers[0].Report.Job {
			return nil, fmt.Errorf("reports of jobs %s and %s wait for this host; say report_job", offers[0].Report.Job, o.Report.Job)
		}
	}
	return &offers[0], nil
}

// offers are those among the files that name this host, in their order.
func (s *Source) offers(ctx context.Context, files []string) (list []Offer, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp(s.TempDir, "b1000-reports-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := s.fetch(ctx, files, dir); err != nil {
		return nil, err
	}
	for _, name := range files {
		run, err := read(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := s.check(name, &run); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if o, ok := s.offer(name, run); ok {
			list = append(list, o)
		}
	}
	return list, nil
}

// check refuses a report that is not of what its name says.
func (s *Source) check(name string, r *report.Run) error {
	switch {
	case reportfile.Name(r) != name:
		return fmt.Errorf("report file: tells of another run, %s", reportfile.Name(r))
	case r.Instance != s.Instance:
		return fmt.Errorf("report file: tells of instance %q", r.Instance)
	case r.Direction != "passive":
		return fmt.Errorf("report file: is of a %s job, not of a passive one", r.Direction)
	case r.Start.Year() < 1971 || r.Start.Year() > 9000: // what no database could hold
		return fmt.Errorf("report file: start_time is in the year %d", r.Start.Year())
	}
	return nil
}

// offer finds the section about this host.
func (s *Source) offer(name string, r report.Run) (Offer, bool) {
	for _, host := range s.Names {
		for i := range r.Copies {
			if c := &r.Copies[i]; c.Type == "passive" && c.Path == scheme+host {
				return Offer{Report: r, File: name, Name: host, Copy: c}, true
			}
		}
	}
	return Offer{}, false
}

// small is a command that runs another, which then cannot write a file larger than a report may be,
// whatever the other side sends: ulimit counts in half KiB, or KiB.
func small() []string { return []string{"/bin/sh", "-c", `ulimit -f 256 && exec "$@"`, "sh"} }

// fetch fetches files by name.
func (s *Source) fetch(ctx context.Context, files []string, dir string) error {
	o := s.options()
	for _, name := range files {
		o.Sources = append(o.Sources, s.file(name))
	}
	o.Dest, o.Nice = dir+"/", small()
	o.Extra = []string{
		"--no-recursive", "--no-links", "--no-devices", "--no-specials", "--no-perms", "--no-owner", "--no-group",
		"--chmod=F600", fmt.Sprintf("--max-size=%d", reportfile.MaxSize),
	}
	_, err := rsync.Run(ctx, o, rsync.Hooks{})
	return err
}

// read reads a fetched file; one that was not fetched is no regular file there,
// or too large.
func read(path string) (report.Run, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return report.Run{}, fmt.Errorf("report file: is not there, no regular file, or larger than %d bytes", reportfile.MaxSize)
	}
	if err != nil {
		return report.Run{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return report.Run{}, errors.New("report file: is no regular file")
	}
	return reportfile.Parse(f)
}

// Answer tells the client that this host has what it offers, or could not get
// it: an empty file beside the report.
func (s *Source) Answer(ctx context.Context, o Offer, good bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("no answer within %v", lookLimit))
	defer cancel()
	dir, err := os.MkdirTemp(s.TempDir, "b1000-answer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, reportfile.AnswerName(o.File, o.Name, good))
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	opts := s.options()
	opts.Sources, opts.Dest = []string{file}, s.file("")
	opts.Extra = []string{"--no-owner", "--no-group", "--no-perms"}
	if _, err := rsync.Run(ctx, opts, rsync.Hooks{}); err != nil {
		return fmt.Errorf("report_source: answer: %w", err)
	}
	return nil
}

// file is rsync's name of a file of the directory, "" of the directory itself.
func (s *Source) file(name string) string { return strings.TrimRight(s.Location, "/") + "/" + name }

// options are what every rsync to the client has in common.
func (s *Source) options() rsync.Options {
	return rsync.Options{Daemon: strings.HasPrefix(s.Location, "rsync://"), Connect: s.Connect}
}
