package run

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/store"
)

// LeftoverAge is how old an incomplete backup has to be to count as left over:
// until then a run or a try after it may take it up.
const LeftoverAge = 24 * time.Hour

// Leftovers says of each incomplete full backup of a key whether it is left over
// from a run that will not come back to it, and deletes it then unless dry is
// set. kept are the ids of runs that wait for another try. What no manifest
// identifies goes only where its name says that it is unfinished or half
// deleted, and whose it is. A sync backup is never among them: it may be the
// only copy.
func Leftovers(ctx context.Context, s store.Store, key store.Key, kept []string, now time.Time, dry bool) ([]Pruned, error) {
	list, err := s.List(ctx, key.Job)
	if err != nil {
		return nil, err
	}
	var all []Pruned
	var errs []error
	for _, e := range list {
		if e.Day == "" || e.State != report.Incomplete || !belongs(e, key) {
			continue
		}
		p := Pruned{Entry: e}
		p.Keep, p.Reason = leftover(e, kept, now)
		if !p.Keep && !dry {
			if err := s.Delete(ctx, e); err != nil {
				errs = append(errs, fmt.Errorf("delete %s: %w", e.Location, err))
			} else {
				p.Deleted = true
			}
		}
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

// belongs reports whether an incomplete backup is one of the key.
func belongs(e store.Entry, key store.Key) bool {
	if e.Manifest != nil {
		return store.KeyOf(e.Manifest) == key
	}
	base, _, _ := strings.Cut(e.Base, "~") // an earlier attempt
	hostEtc, _, ok := plan.ParseBase(base)
	return ok && hostEtc == strings.TrimSuffix(key.Host+"-"+key.Instance, "-")
}

func leftover(e store.Entry, kept []string, now time.Time) (keep bool, reason string) {
	name := path.Base(e.Dir)
	named := strings.HasPrefix(name, ".partial-") || strings.HasPrefix(name, ".deleting-")
	switch {
	case e.Manifest == nil && !named:
		return true, "cannot be identified: " + e.Note
	case e.Manifest != nil && e.Manifest.State == report.Complete && !named:
		return true, "its manifest says complete: " + e.Note
	case slices.Contains(kept, e.ID):
		return true, "its run waits for another try"
	case e.Start.IsZero() || now.Sub(e.Start) < LeftoverAge:
		return true, "not older than a day"
	}
	return false, "left over: " + e.Note
}
