// Package metrics writes the series of this host's backups for the textfile
// collector of Prometheus's node_exporter: one file per job and instance, and
// one, b1000.prom, of what concerns the whole host. It decides nothing and may
// import internal/report only.
//
// A file is replaced whole or not at all, and says in its first line from which
// configuration it is; only what says so is ever removed. What a run does not
// find out anew (see Destination) is taken over from the file that it replaces.
package metrics

import (
	"time"

	"b1000/internal/report"
)

// Job is how one job and instance stands.
type Job struct {
	Name, Instance string
	Running        time.Time     // since when a run is on; zero for none
	Last           *report.Run   // the last run that ended; nil for none
	MaxAge         time.Duration // how old a backup may be; 0 where nothing says so
	// MaxAgeUnknown says that it could not be found out: it stays as it was.
	MaxAgeUnknown bool
	Kept          int // runs that wait for their copies
	Destinations  []Destination
}

// Destination is how a job and instance stands at one destination.
type Destination struct {
	Name    string
	Success time.Time // start of the last run whose copy is committed; zero for none
	Files   int64     // of that copy
	Bytes   int64
	Pruned  *Pruned   // nil: as it was
	Checked time.Time // when the stored data was verified last; zero: as it was
	Damaged int64     // files that were found damaged then
}

// Pruned is what retention found and left at a destination.
type Pruned struct {
	Snapshots int       // complete backups that are there now
	At        time.Time // when it went through without an error; zero: as it was
}

// Host is what concerns the host as a whole.
type Host struct {
	Version     string // of this program
	Undelivered int    // reports that wait to be delivered
	Jobs        []Configured
}

// Configured is a job of the configuration.
type Configured struct {
	Name  string
	Valid bool   // it may be run
	Timer string // the name of its timer's unit; "" where it has no schedule
}

// result is a run's status as a number.
func result(s report.Status) float64 {
	switch s {
	case report.OK:
		return 0
	case report.Warning:
		return 1
	}
	return 2
}

// steps are how long the parts of a run took that were run. The copies count
// from the start of the first to the end of the last.
func steps(r *report.Run) (names []string, took []time.Duration) {
	add := func(name string, start, end time.Time) {
		if !start.IsZero() && !end.Before(start) {
			names, took = append(names, name), append(took, end.Sub(start))
		}
	}
	var first, last time.Time
	for _, c := range r.Copies {
		if !c.Start.IsZero() && (first.IsZero() || c.Start.Before(first)) {
			first = c.Start
		}
		if c.End.After(last) {
			last = c.End
		}
	}
	add("copying", first, last)
	for _, s := range r.Scripts {
		add(s.Name, s.Start, s.End)
	}
	return names, took
}
