package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"strings"
	"time"
)

// The notations of the original, all in local time; Go's names are English.
const (
	startLayout = "2006-01-02-15-04-05" // $start_time
	dayLayout   = "2006-01-02-Monday"
	baseLayout  = "2006-01-02-Mon-15:04:05"
)

// ID names the backup of this run, the same on every destination: ten
// hexadecimal digits of a digest over host, job, instance, masters, start and
// machine: two hosts of one name must not take each other's backup for theirs.
func (r *Run) ID() string {
	parts := []string{r.Host, r.Job, r.Instance, r.MasterHost, r.MasterInstance, r.Start.UTC().Format(time.RFC3339)}
	if r.machine != "" {
		parts = append(parts, r.machine)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:10]
}

// StartTime is the run-time option start_time.
func (r *Run) StartTime() string { return r.Start.Format(startLayout) }

// Day is the directory between job and backup, as 2014-08-20-Wednesday; empty
// for sync.
func (r *Run) Day() string {
	if r.Type == "sync" {
		return ""
	}
	return r.Start.Format(dayLayout)
}

// Base is the backup's own directory: host, instance and masters joined by "-",
// and for full the start, as web1-2014-08-20-Wed-15:40:04.
func (r *Run) Base() string {
	parts := []string{r.Host}
	for _, part := range []string{r.Instance, r.MasterHost, r.MasterInstance} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if r.Type != "sync" {
		parts = append(parts, r.Start.Format(baseLayout))
	}
	return strings.Join(parts, "-")
}

// Dir is where the backup lies below a destination's path: job/day/base, or
// job/base for sync.
func (r *Run) Dir() string { return path.Join(r.Job, r.Day(), r.Base()) }

var basePattern = regexp.MustCompile(`^([A-Za-z0-9][-_.A-Za-z0-9]*)-(\d{4}-\d\d-\d\d-[A-Z][a-z][a-z]-\d\d:\d\d:\d\d)$`)

// ParseBase recognises the name of a full backup, with or without a manifest:
// hostEtc is host and, undivided, instance and masters; start is in the local
// zone. A date that does not fall on the named day of the week is no such name.
func ParseBase(base string) (hostEtc string, start time.Time, ok bool) {
	m := basePattern.FindStringSubmatch(base)
	if m == nil {
		return "", time.Time{}, false
	}
	// Parse does not compare the weekday with the date; Format again does.
	start, err := time.ParseInLocation(baseLayout, m[2], time.Local)
	if err != nil || start.Weekday().String()[:3] != m[2][11:14] {
		return "", time.Time{}, false
	}
	return m[1], start, true
}
