package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/retention"
	"b1000/internal/store"
)

// Pruned is what retention says of one stored backup.
type Pruned struct {
	Entry   store.Entry
	Keep    bool
	Reason  string
	Deleted bool
}

// Rules are the keep options of a copy as retention knows them.
func Rules(c plan.Copy) retention.Rules {
	k := c.Keep
	return retention.Rules{Last: k.Last, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly, Within: k.Within}
}

// Prune applies rules to the full backups of one key, newest first, and deletes
// what they do not keep unless dry is set. Deleting goes on after an error; the
// errors are joined.
func Prune(ctx context.Context, s store.Store, key store.Key, rules retention.Rules, now time.Time, dry bool) ([]Pruned, error) {
	list, err := s.List(ctx, key.Job)
	if err != nil {
		return nil, err // an incomplete list is no ground to delete on
	}
	var items []retention.Item
	entries := map[string]store.Entry{}
	for _, e := range list {
		if e.Day == "" || e.Manifest == nil || store.KeyOf(e.Manifest) != key {
			continue
		}
		items = append(items, retention.Item{ID: e.Dir, Start: e.Start, State: e.State})
		entries[e.Dir] = e
	}
	var all []Pruned
	var errs []error
	for _, v := range retention.Apply(rules, items, now) {
		p := Pruned{Entry: entries[v.ID], Keep: v.Keep, Reason: v.Reason}
		if !p.Keep && !dry {
			if err := s.Delete(ctx, p.Entry); err != nil {
				errs = append(errs, fmt.Errorf("delete %s: %w", p.Entry.Location, err))
			} else {
				p.Deleted = true
			}
		}
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

// Sweep gives back the space of deleted backups, where deleting does not. That
// others are at work there is no fault: a later one will do.
func Sweep(ctx context.Context, s store.Store) error {
	sweeper, ok := s.(store.Sweeper)
	if !ok {
		return nil
	}
	if err := sweeper.Sweep(ctx); err != nil && !store.Busy(err) {
		return fmt.Errorf("give back space: %w", err)
	}
	return nil
}

// prune applies retention at every destination of a good run. What cannot be
// pruned is a warning: the backup is good.
func (t *task) prune(ctx context.Context) {
	if t.plan.Type != "full" {
		return
	}
	key := store.Key{Job: t.plan.Job, Instance: t.plan.Instance, Host: t.plan.Host}
	for _, c := range t.plan.Copies {
		if !c.Keep.Set || store.Served(c.Dest.Path) { // a storage server has rules of its own
			continue
		}
		s, err := t.Open(c)
		if err == nil {
			var all []Pruned
			all, err = Prune(ctx, s, key, Rules(c), t.Now(), false)
			if t.Pruned != nil {
				t.Pruned(t.plan, c.Dest.Name, all, err)
			}
			for _, p := range all {
				if p.Deleted {
					telling(t.log, EventPruned).With("destination", c.Dest.Name).Info(fmt.Sprintf("%s: deleted %s: %s", c.Dest.Name, p.Entry.Location, p.Reason))
				}
			}
			if slices.ContainsFunc(all, func(p Pruned) bool { return p.Deleted }) {
				err = errors.Join(err, Sweep(ctx, s))
			}
		}
		if err != nil {
			t.live.change(func(r *report.Run) {
				r.Warnings = append(r.Warnings, fmt.Sprintf("retention at %s: %v", c.Dest.Name, err))
			})
		}
	}
}
