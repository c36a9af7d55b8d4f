package storage

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/wire"
)

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]{0,199}$`)
	dayPattern  = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}-(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day$`)
	basePattern = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]{0,199}-\d{4}-\d{2}-\d{2}-(Mon|Tue|Wed|Thu|Fri|Sat|Sun)-\d{2}:\d{2}:\d{2}$`)
	idPattern   = regexp.MustCompile(`^[0-9a-f]{1,64}$`)
)

// targetOf checks what a client wants to begin. Nothing in it may name a place
// that is not the new backup's own.
func targetOf(t wire.Target) (store.Target, error) {
	m := t.Manifest
	full := t.Day != ""
	wrong := func(what, value string) error {
		return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("%s %q is none that a backup could have", what, value)}
	}
	switch {
	case !namePattern.MatchString(t.Job) || m.Job != t.Job:
		return store.Target{}, wrong("job", t.Job)
	case full && !dayPattern.MatchString(t.Day):
		return store.Target{}, wrong("day", t.Day)
	case full && !basePattern.MatchString(t.Base), !full && (!namePattern.MatchString(t.Base) || dayPattern.MatchString(t.Base)):
		return store.Target{}, wrong("name", t.Base)
	case !idPattern.MatchString(m.ID):
		return store.Target{}, wrong("id", m.ID)
	case !printable(m.Host):
		return store.Target{}, wrong("host", m.Host)
	case !printable(m.Instance):
		return store.Target{}, wrong("instance", m.Instance)
	case full != (m.Type == "full"):
		return store.Target{}, wrong("type", m.Type)
	}
	m.State = report.Incomplete
	if _, err := report.ParseManifest(m.Encode()); err != nil {
		return store.Target{}, &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	return store.Target{Job: t.Job, Day: t.Day, Base: t.Base, HardLink: t.HardLink, Manifest: m}, nil
}

// printable reports whether a word may stand in a log.
func printable(word string) bool {
	const longest = 255
	return len(word) <= longest && utf8.ValidString(word) && !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsPrint(r) })
}

// inside reports whether a name stays below the directory that it is joined to.
func inside(name string) bool {
	return name != "" && !strings.HasPrefix(name, "/") && !slices.Contains(strings.Split(name, "/"), "..") && !strings.Contains(name, "\x00")
}
