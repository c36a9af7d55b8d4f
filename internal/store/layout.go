package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"b1000/internal/report"
)

// The layout below a destination's path is the original's:
//
//	job/2014-08-20-Wednesday/host-2014-08-20-Wed-15:40:04/   a full backup
//	job/host/                                                a sync one
//
// Beside each stands its manifest ".<base>.json". What is being written is
// ".partial-<base>", what is being deleted ".deleting-<base>".
const (
	PartialPrefix  = partialPrefix
	DeletingPrefix = deletingPrefix

	partialPrefix  = ".partial-"
	deletingPrefix = ".deleting-"
	lostPrefix     = ".lost-"
	asideMark      = "~" // .partial-<base>~2 is an earlier attempt, kept until the next has taken what it holds
)

func manifestName(base string) string { return "." + base + ".json" }

// halfManifest is what a manifest is called while it is written.
func halfManifest(base string) string { return ".b1000-manifest-" + base }

func manifestBase(name string) (string, bool) {
	if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".json") || len(name) <= len("..json") {
		return "", false
	}
	return name[1 : len(name)-len(".json")], true
}

var (
	dayName  = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}-(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day$`)
	fullName = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*-(\d{4}-\d{2}-\d{2})-(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)-(\d{2}:\d{2}:\d{2})$`)
	jobName  = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*$`)
)

// legacyStart recognises a name that the original gave to a full backup.
func legacyStart(base string) (time.Time, bool) {
	m := fullName.FindStringSubmatch(base)
	if m == nil {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation("2006-01-02 15:04:05", m[1]+" "+m[2], time.Local)
	return t, err == nil
}

// scan lists what a directory with the layout holds. host is this host's name,
// for its legacy sync backups; location makes a path for people. Jobs or days
// that cannot be read are errors, joined; the rest is returned all the same.
func scan(root, job, host string, location func(dir string) string) ([]Entry, error) {
	s := scanner{root: root, host: host, location: location}
	jobs := []string{job}
	if job == "" {
		jobs = s.dirs("")
	}
	for _, j := range jobs {
		if !jobName.MatchString(j) {
			continue
		}
		s.folder(j, "")
		for _, day := range s.dirs(j) {
			if dayName.MatchString(day) {
				s.folder(j, day)
			}
		}
	}
	slices.SortStableFunc(s.found, func(a, b Entry) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.Dir, b.Dir)
	})
	return s.found, errors.Join(s.errs...)
}

type scanner struct {
	root, host string
	location   func(string) string
	found      []Entry
	errs       []error
}

func (s *scanner) read(dir string) []fs.DirEntry {
	list, err := os.ReadDir(filepath.Join(s.root, dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.errs = append(s.errs, err)
	}
	return list
}

func (s *scanner) dirs(dir string) (names []string) {
	for _, d := range s.read(dir) {
		if d.IsDir() {
			names = append(names, d.Name())
		}
	}
	return names
}

// folder takes the backups of one job's directory, or of one of its days.
func (s *scanner) folder(job, day string) {
	trees := map[string]bool{}
	var manifests []string
	for _, d := range s.read(path.Join(job, day)) {
		if base, ok := manifestBase(d.Name()); ok && d.Type().IsRegular() {
			manifests = append(manifests, base)
		} else if d.IsDir() {
			trees[d.Name()] = true
		}
	}
	for _, base := range manifests {
		s.withManifest(job, day, base, trees)
	}
	for name := range trees {
		s.bare(job, day, name)
	}
}

// noTree is the note of a backup of which there is a manifest only.
const noTree = "its directory is missing"

// withManifest adds the backup that a manifest speaks of, and takes its tree
// out of trees. Complete is only what has both.
func (s *scanner) withManifest(job, day, base string, trees map[string]bool) {
	dir := path.Join(job, day, base)
	e := Entry{Job: job, Day: day, Base: base, Dir: dir, State: report.Incomplete}
	b, err := os.ReadFile(filepath.Join(s.root, job, day, manifestName(base)))
	if err == nil {
		var m report.Manifest
		if m, err = report.ParseManifest(b); err == nil {
			e.Manifest, e.ID, e.Start = &m, m.ID, m.Start
			e.owner = ownerOf(filepath.Join(s.root, job, day, manifestName(base)))
		}
	}
	switch {
	case err != nil && !trees[base]:
		return // some other file
	case err != nil:
		e.Note = err.Error()
	case trees[base] && e.Manifest.State == report.Complete:
		e.State = report.Complete
	case trees[base]:
		e.Note = "not finished"
	case trees[partialPrefix+base]:
		e.Dir, e.Note = path.Join(job, day, partialPrefix+base), "not finished"
		delete(trees, partialPrefix+base)
	default:
		e.Note = noTree
	}
	if e.State == report.Incomplete { // its attempts are a part of it
		maps.DeleteFunc(trees, func(name string, _ bool) bool { return asideOf(name, partialPrefix+base) > 0 })
	}
	delete(trees, base)
	s.add(e)
}

// asideOf is the number of an attempt that was put aside for a tree, by the names
// of both; 0 for what is none.
func asideOf(name, tree string) int {
	number, ok := strings.CutPrefix(name, tree+asideMark)
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 {
		return 0
	}
	return n
}

// ownerOf is the user that a file belongs to; ours where that cannot be told.
func ownerOf(file string) uint32 {
	if info, err := os.Lstat(file); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return st.Uid
		}
	}
	return uint32(os.Geteuid())
}

// bare adds a tree without a manifest, if its name is one of ours.
func (s *scanner) bare(job, day, name string) {
	e := Entry{Job: job, Day: day, Base: name, Dir: path.Join(job, day, name)}
	start, legacy := legacyStart(name)
	rest, partial := strings.CutPrefix(name, partialPrefix)
	left, deleting := strings.CutPrefix(name, deletingPrefix)
	switch {
	case partial:
		e.State, e.Base, e.Note = report.Incomplete, rest, "not finished"
		name, _, _ := strings.Cut(rest, asideMark)
		e.Start, _ = legacyStart(name)
	case deleting:
		e.State, e.Base, e.Note = report.Incomplete, left, "half deleted"
		e.Start, _ = legacyStart(left)
	case day != "" && legacy:
		e.State, e.Start = report.Legacy, start
	case day == "" && s.host != "" && (name == s.host || strings.HasPrefix(name, s.host+"-")):
		e.State = report.Legacy
		if info, err := os.Stat(filepath.Join(s.root, e.Dir)); err == nil {
			e.Start = info.ModTime()
		}
	default:
		return
	}
	s.add(e)
}

func (s *scanner) add(e Entry) {
	if e.ID == "" {
		sum := sha256.Sum256([]byte(e.Dir))
		e.ID = hex.EncodeToString(sum[:])[:10]
	}
	e.Location = s.location(e.Dir)
	s.found = append(s.found, e)
}

// lastComplete is the newest complete full backup with the key of m; nil where
// there is none. A start in the future (the clock was wrong) does not hide
// later ones: what counts is the end as well.
func lastComplete(list []Entry, m *report.Manifest) *Entry {
	var best *Entry
	for i := range list {
		e := &list[i]
		if e.State != report.Complete || e.Day == "" || KeyOf(e.Manifest) != KeyOf(m) || e.ID == m.ID {
			continue
		}
		if best == nil || !e.Manifest.End.Before(best.Manifest.End) {
			best = e
		}
	}
	return best
}

// committed is the error for a backup that is to be made and is there already.
func committed(list []Entry, m *report.Manifest) error {
	for _, e := range list {
		if e.State == report.Complete && e.ID == m.ID && KeyOf(e.Manifest) == KeyOf(m) {
			return &CommittedError{e}
		}
	}
	return nil
}

// foreign refuses to write over a sync backup of another series: host a-b, and
// host a with instance b, have one place.
func foreign(list []Entry, t Target) error {
	for _, e := range list {
		if !t.full() && e.Day == "" && e.Base == t.Base && e.Manifest != nil && KeyOf(e.Manifest) != KeyOf(&t.Manifest) {
			return fmt.Errorf("%s is the backup of host %s, instance %q: two hosts or instances must not share a place; rename one, or give it a job of its own",
				e.Location, e.Manifest.Host, e.Manifest.Instance)
		}
	}
	return nil
}

// attempt reports whether what is listed is an unfinished attempt at t, which may be
// gone on with.
func attempt(e Entry, t Target) bool {
	return e.State == report.Incomplete && e.ID == t.Manifest.ID && e.Manifest != nil && KeyOf(e.Manifest) == KeyOf(&t.Manifest)
}

// attemptHere is attempt where a tree gets its last name when it is committed.
func attemptHere(e Entry, t Target) bool {
	return attempt(e, t) && (path.Base(e.Dir) != e.Base || e.Note == noTree)
}

// noAttempt is for who goes on with none.
func noAttempt(Entry, Target) bool { return false }

// freeBase is the name for a new backup: base, or where another backup has that
// name already (the hour that daylight saving repeats) base.2, base.3 … What is
// mine is no other. A sync backup has one place for ever.
func freeBase(list []Entry, t Target, mine func(Entry, Target) bool) (string, error) {
	if !t.full() {
		return t.Base, nil
	}
	taken := map[string]bool{}
	for _, e := range list {
		if e.Day == t.Day && e.Job == t.Job {
			taken[e.Base] = taken[e.Base] || !mine(e, t)
		}
	}
	for n := 1; n < 100; n++ {
		base := t.Base
		if n > 1 {
			base = fmt.Sprintf("%s.%d", t.Base, n)
		}
		if !taken[base] {
			return base, nil
		}
	}
	return "", fmt.Errorf("there are a hundred backups named %s already", t.Base)
}
