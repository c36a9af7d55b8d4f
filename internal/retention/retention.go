// Package retention decides which backups are kept and why. It is pure: it
// reads no clock and deletes nothing; whoever deletes acts on its verdicts. It
// knows no destination and may import internal/report only.
//
// What it decides errs on the side of keeping: only complete backups are
// counted or deleted, and the newest of them stays whatever the rules say.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"b1000/internal/report"
)

// Rules say how many backups of one job and instance are kept. A backup stays
// when any rule keeps it. A rule of zero or less is not set; where none is set,
// everything is kept. Among rules that are set a larger number never keeps less.
type Rules struct {
	Last    int           // the newest backups, by number
	Daily   int           // the newest of each of the last days that have a backup
	Weekly  int           // the same by ISO 8601 week
	Monthly int           // the same by month
	Yearly  int           // the same by year
	Within  time.Duration // all that started at most so long before the newest
}

// Item is one stored backup, of the job and instance that the rules are for.
type Item struct {
	ID    string
	Start time.Time
	State report.State
	Busy  bool // a run is writing it, or somebody reads it
}

// Verdict says for one backup whether it is kept, and the reason, for people.
type Verdict struct {
	Item
	Keep   bool
	Reason string
}

// period is one of the rules that keep the newest backup of each unit of time.
type period struct {
	unit, name string // "day", "daily"
	count      int
	key        func(time.Time) string
}

func (r Rules) periods() []period {
	return []period{
		{"day", "daily", r.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{"week", "weekly", r.Weekly, isoWeek},
		{"month", "monthly", r.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
		{"year", "yearly", r.Yearly, func(t time.Time) string { return t.Format("2006") }},
	}
}

func isoWeek(t time.Time) string {
	year, week := t.ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}

// String is the rules that are set, as "last 3, daily 7", or "" where none is.
func (r Rules) String() string {
	var set []string
	add := func(name string, n int) {
		if n > 0 {
			set = append(set, fmt.Sprintf("%s %d", name, n))
		}
	}
	add("last", r.Last)
	for _, p := range r.periods() {
		add(p.name, p.count)
	}
	if r.Within > 0 {
		set = append(set, "within "+span(r.Within))
	}
	return strings.Join(set, ", ")
}

// span writes a duration of whole days as "30d", every other as Go does.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// Apply gives the verdict on each item, newest first; items is left as it is.
//
// Days, weeks, months and years are those of now's zone. A day without a backup
// does not use up a place of a rule. Within counts from the newest complete
// backup, not from now: what a host that is gone has left, or a clock that went
// wrong, must not make every backup too old at once. For the same reason a
// backup that starts after now is kept and not counted.
func Apply(rules Rules, items []Item, now time.Time) []Verdict {
	verdicts := make([]Verdict, len(items))
	for i, it := range items {
		verdicts[i] = Verdict{Item: it}
	}
	slices.SortFunc(verdicts, newestFirst)

	var counted []*Verdict
	for i := range verdicts {
		v := &verdicts[i]
		if v.Reason = exempt(v.Item, now); v.Reason != "" {
			v.Keep = true
		} else {
			counted = append(counted, v)
		}
	}
	set := rules.String()
	why := rules.reasons(counted, now.Location())
	for i, v := range counted {
		switch {
		case set == "":
			v.Keep, v.Reason = true, "no retention is set"
		case len(why[i]) > 0:
			v.Keep, v.Reason = true, strings.Join(why[i], "; ")
		case i == 0:
			v.Keep, v.Reason = true, "newest complete backup"
		default:
			v.Reason = "no rule keeps it (" + set + ")"
		}
	}
	return verdicts
}

// newestFirst orders the same items the same way in whatever order they came.
func newestFirst(a, b Verdict) int {
	return cmp.Or(
		b.Start.Compare(a.Start),
		cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.State, b.State),
		cmp.Compare(fmt.Sprint(a.Busy), fmt.Sprint(b.Busy)),
	)
}

// exempt says why an item is kept without being counted, or "".
func exempt(it Item, now time.Time) string {
	switch {
	case it.Busy:
		return "in use: not counted"
	case it.State != report.Complete:
		return cmp.Or(string(it.State), "unknown state") + ": not counted"
	case it.Start.After(now):
		return "starts in the future: not counted"
	}
	return ""
}

// reasons gives for each counted backup, newest first, every reason to keep it.
func (r Rules) reasons(counted []*Verdict, zone *time.Location) [][]string {
	why := make([][]string, len(counted))
	add := func(i int, format string, args ...any) {
		why[i] = append(why[i], fmt.Sprintf(format, args...))
	}
	for i := range min(max(r.Last, 0), len(counted)) {
		add(i, "one of the newest (last %d of %d)", i+1, r.Last)
	}
	for _, p := range r.periods() {
		last, n := "", 0
		for i, v := range counted {
			key := p.key(v.Start.In(zone))
			if key == last {
				continue
			}
			if n++; n > p.count {
				break
			}
			add(i, "newest of %s %s (%s %d of %d)", p.unit, key, p.name, n, p.count)
			last = key
		}
	}
	for i, v := range counted {
		if r.Within > 0 && counted[0].Start.Sub(v.Start) <= r.Within {
			add(i, "within %s of the newest", span(r.Within))
		}
	}
	return why
}
