package host

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"b1000/internal/config"
	"b1000/internal/report"
)

// Name is what people call a backup: its id or the beginning of that, or the
// last one of a job at some moment.
type Name struct {
	ID            string
	Job, Instance string
	At            time.Time // the last moment that counts; zero for latest
}

// MinPrefix is the least part of an id that names a backup.
const MinPrefix = 4

var idPattern = regexp.MustCompile(`^[0-9a-f]{1,64}$`)

// ErrName is wrapped by ParseName's errors.
var ErrName = errors.New("is no name of a backup")

// ParseName reads an id, JOB[/INSTANCE]@latest or JOB[/INSTANCE]@TIME. A time
// that names a day, a minute or a second means its end, in the local zone where
// it has none of its own.
func ParseName(s string) (Name, error) {
	job, when, at := strings.Cut(s, "@")
	if !at {
		switch {
		case !idPattern.MatchString(s):
			return Name{}, fmt.Errorf("%q %w; write an id as list shows it, or job@latest, or job@2026-11-22", s, ErrName)
		case len(s) < MinPrefix:
			return Name{}, fmt.Errorf("%q %w; write at least %d digits of the id", s, ErrName, MinPrefix)
		}
		return Name{ID: s}, nil
	}
	n := Name{Job: job}
	if i := strings.IndexAny(job, "/:"); i >= 0 {
		n.Job, n.Instance = job[:i], strings.ReplaceAll(job[i+1:], "/", ":")
		client, rest, both := strings.Cut(n.Instance, ":")
		if !config.ValidName(client) || both && !config.ValidName(rest) {
			return Name{}, fmt.Errorf("%q %w: %q is not an instance", s, ErrName, n.Instance)
		}
	}
	if !config.ValidName(n.Job) {
		return Name{}, fmt.Errorf("%q %w: %q is not a job", s, ErrName, n.Job)
	}
	if when == "latest" {
		return n, nil
	}
	t, err := ParseTime(when)
	if err != nil {
		return Name{}, fmt.Errorf("%q %w: %w", s, ErrName, err)
	}
	n.At = t
	return n, nil
}

// ParseTime reads a moment and returns the last second that it covers.
func ParseTime(s string) (time.Time, error) {
	for _, form := range []struct {
		layout string
		last   func(time.Time) time.Time
	}{
		{time.RFC3339, func(t time.Time) time.Time { return t }},
		{"2006-01-02 15:04:05", func(t time.Time) time.Time { return t }},
		{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t }},
		{"2006-01-02 15:04", endOfMinute},
		{"2006-01-02T15:04", endOfMinute},
		{time.DateOnly, func(t time.Time) time.Time { return t.AddDate(0, 0, 1).Add(-time.Second) }},
	} {
		if t, err := time.ParseInLocation(form.layout, s, time.Local); err == nil {
			return form.last(t), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write 2026-11-22, \"2026-11-22 15:40\" or 2026-11-22T15:40:04+01:00", s)
}

func endOfMinute(t time.Time) time.Time { return t.Add(time.Minute - time.Second) }

// Find returns the one backup that a name means. host, where it is not "", is
// the host that it must be of; else it is this one's before another's. Of a job
// only complete backups count.
func (h *Host) Find(all []Backup, n Name, host string) (Backup, error) {
	if n.ID != "" {
		return byID(all, n.ID, host)
	}
	what := fmt.Sprintf("job %q", report.JobName(n.Job, n.Instance))
	var found []Backup
	for _, b := range all {
		if b.State == report.Complete && b.Job == n.Job && b.Is(n.Instance) {
			found = append(found, b)
		}
	}
	found, err := h.ofHost(found, host, what)
	if err != nil {
		return Backup{}, err
	}
	if names := distinct(found, func(b Backup) string { return b.Instance }); n.Instance == "" && len(names) > 1 {
		return Backup{}, fmt.Errorf("%s: has backups of several instances: %s; write %s/INSTANCE@…", what, strings.Join(names, ", "), n.Job)
	}
	for _, b := range slices.Backward(found) {
		if n.At.IsZero() || !b.Start.Truncate(time.Second).After(n.At) {
			return b, nil
		}
	}
	if len(found) > 0 {
		return Backup{}, fmt.Errorf("%s: no complete backup at or before %s; the first is of %s", what, n.At.Format(time.DateTime), found[0].Start.Local().Format(time.DateTime))
	}
	return Backup{}, fmt.Errorf("%s: no complete backup was found; b1000ctl list --all shows what there is", what)
}

// ofHost narrows backups down to those of one host.
func (h *Host) ofHost(all []Backup, host, what string) ([]Backup, error) {
	hosts := distinct(all, func(b Backup) string { return b.Host })
	if host == "" && len(hosts) == 1 {
		host = hosts[0]
	}
	if host == "" {
		host = h.Name
		if len(hosts) > 1 && !slices.Contains(hosts, h.Name) {
			return nil, fmt.Errorf("%s: no backup of this host, but of %s; say --host", what, strings.Join(hosts, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(b Backup) bool { return b.Host != host }), nil
}

func byID(all []Backup, id, host string) (Backup, error) {
	var found []Backup
	for _, b := range all {
		if host != "" && !b.Of(host) {
			continue
		}
		if b.ID == id {
			return b, nil
		}
		if strings.HasPrefix(b.ID, id) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 0:
		return Backup{}, fmt.Errorf("backup %s: was not found; b1000ctl list --all shows what there is", id)
	case 1:
		return found[0], nil
	}
	text := fmt.Sprintf("backup %s: could be one of %d; write more of the id:", id, len(found))
	for _, b := range found {
		text += fmt.Sprintf("\n  %s  %s  %s  %s", b.ID, report.JobName(b.Job, b.Instance), b.Host, b.Start.Local().Format(time.DateTime))
	}
	return Backup{}, errors.New(text)
}

func distinct(all []Backup, of func(Backup) string) (names []string) {
	for _, b := range all {
		if !slices.Contains(names, of(b)) {
			names = append(names, of(b))
		}
	}
	slices.Sort(names)
	return names
}
