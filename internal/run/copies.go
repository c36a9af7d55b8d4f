package run

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/store"
)

// copies makes every copy that is not done: foreground ones one after the
// other, background ones from the moment that their turn comes. One that fails
// is tried again beside the others. It returns when all are done or have failed
// for good, with an error for each of the latter.
func (t *task) copies(ctx context.Context) error {
	sources, err := t.sources()
	if err != nil {
		return t.failAll(err)
	}
	if t.inRounds() {
		return t.rounds(ctx, sources)
	}
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(t.plan.Copies))
		done = t.live.now().Copies
	)
	for i, c := range t.plan.Copies {
		if done[i].Good() {
			continue
		}
		w := &work{task: t, index: i, copy: c, sources: sources}
		if c.Background {
			wg.Go(func() { errs[i] = w.untilDone(ctx) })
			continue
		}
		if retry := w.once(ctx); retry {
			wg.Go(func() { errs[i] = w.untilDone(ctx) })
		} else {
			errs[i] = w.err
			w.close()
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// failAll marks every copy that is not done as failed.
func (t *task) failAll(err error) error {
	t.live.change(func(r *report.Run) {
		for i := range r.Copies {
			if c := &r.Copies[i]; !c.Good() {
				c.Status, c.Error = report.CopyFailed, err.Error()
			}
		}
		r.Status = standing(r)
	})
	return err
}

// work is one copy of a run, over all its attempts.
type work struct {
	*task
	index   int
	copy    plan.Copy
	sources []string
	backup  store.Backup
	tries   int
	err     error // of the last attempt
	round   round // of a run in rounds: the attempt under way
}

// untilDone tries until the copy is done or no try is left.
func (w *work) untilDone(ctx context.Context) error {
	defer w.close()
	if w.tries > 0 && !w.pause(ctx) {
		return w.err
	}
	for w.once(ctx) && w.pause(ctx) {
	}
	return w.err
}

// pause waits for the next try; false when the run ends meanwhile.
func (w *work) pause(ctx context.Context) bool {
	select {
	case <-time.After(w.plan.CopyRetryMinSleep):
		return true
	case <-ctx.Done():
		w.fail(fmt.Errorf("%w: %w", context.Cause(ctx), w.err), false)
		return false
	}
}

// once makes one attempt and tells whether there is to be another.
func (w *work) once(ctx context.Context) (again bool) {
	if ctx.Err() != nil {
		w.fail(fmt.Errorf("copy to %s: %w", w.copy.Dest.Name, context.Cause(ctx)), false)
		return false
	}
	w.start()
	res, where, err := w.attempt(ctx)
	return w.settle(ctx, res, where, err)
}

// start notes that an attempt begins.
func (w *work) start() {
	w.tries++
	w.live.copy(w.index, func(c *report.Copy) {
		c.Status, c.Attempts, c.Error, c.Warnings = report.CopyCopying, w.tries, "", nil
		if c.Start.IsZero() {
			c.Start = w.Now()
		}
	})
	w.log.With("destination", w.copy.Dest.Name).Info(fmt.Sprintf("copying to %s: %s", w.copy.Dest.Name, w.copy.Dest.Place()))
}

// settle notes how an attempt ended, and tells whether there is to be another.
func (w *work) settle(ctx context.Context, res store.Result, where string, err error) (again bool) {
	log := w.log.With("destination", w.copy.Dest.Name)
	if err == nil {
		w.err = nil
		w.live.copy(w.index, func(c *report.Copy) {
			c.Status, c.End, c.Location, c.Warnings = report.CopyDone, w.Now(), where, res.Warnings
			c.Files, c.Bytes, c.BytesSent = res.Files, res.Bytes, res.Sent
		})
		w.keep()
		for _, warning := range res.Warnings {
			log.Warn("copy to " + w.copy.Dest.Name + ": " + warning)
		}
		telling(log, EventCopyDone).Info(fmt.Sprintf("copied to %s: %d files, %d bytes, %d sent, %s", w.copy.Dest.Name, res.Files, res.Bytes, res.Sent, where))
		return false
	}
	err = fmt.Errorf("copy to %s: %w", w.copy.Dest.Name, err)
	again = ctx.Err() == nil && w.tries <= w.plan.CopyRetries && !store.Hopeless(err) && !errors.Is(err, errGivenUp) && !errors.Is(err, errDiscarded)
	w.fail(err, again)
	if again {
		log.Warn(fmt.Sprintf("%v; trying again in %v (%d of %d)", err, w.plan.CopyRetryMinSleep, w.tries, w.plan.CopyRetries))
	} else {
		telling(log, EventCopyFailed).Error(err.Error())
	}
	return again
}

func (w *work) fail(err error, again bool) {
	w.err = err
	w.live.copy(w.index, func(c *report.Copy) {
		c.Status, c.Error = report.CopyFailed, err.Error()
		if again {
			c.Status = report.CopyWarning
		} else {
			c.End = w.Now()
		}
	})
}

// attempt copies once: begin, where that is not done, copy, commit.
func (w *work) attempt(ctx context.Context) (res store.Result, where string, err error) {
	if n := w.copy.Dest.MaxCopies; n > 0 {
		slot, err := w.Memory.Slot(ctx, w.copy.Dest.Name, n)
		if err != nil {
			return res, "", err
		}
		defer slot.Close()
	}
	done, err := w.begin(ctx)
	if err != nil || done != nil {
		return w.found(done, err)
	}
	tree, end := w.tree()
	defer func() { end(err) }()
	if res, err = w.backup.Tree(ctx, tree); err != nil {
		return res, "", err
	}
	if ctx.Err() != nil {
		return res, "", context.Cause(ctx)
	}
	if err := w.stillOffered(ctx); err != nil {
		return res, "", err
	}
	m := w.manifest()
	m.End, m.Files, m.Bytes, m.BytesSent, m.Warnings = w.Now(), res.Files, res.Bytes, res.Sent, res.Warnings
	where, err = w.backup.Commit(ctx, m)
	return res, where, err
}

// begin begins the backup, where that is not done. A run that was killed right
// after its commit finds what it has made.
func (w *work) begin(ctx context.Context) (made *store.Entry, err error) {
	if w.backup != nil {
		return nil, nil
	}
	s, err := w.Open(w.copy)
	if err != nil {
		return nil, err
	}
	var done *store.CommittedError
	b, err := s.Begin(ctx, w.target())
	switch {
	case errors.As(err, &done) && w.resumed:
		return &done.Entry, nil
	case err != nil:
		return nil, err
	}
	w.backup = b
	return nil, nil
}

// found is what an attempt amounts to that found its backup made.
func (w *work) found(made *store.Entry, err error) (store.Result, string, error) {
	if err != nil {
		return store.Result{}, "", err
	}
	m := made.Manifest
	return store.Result{Files: m.Files, Bytes: m.Bytes, Sent: m.BytesSent, Warnings: m.Warnings}, made.Location, nil
}

func (w *work) close() {
	if w.backup == nil {
		return
	}
	if err := w.backup.Close(); err != nil {
		w.log.Warn("copy to "+w.copy.Dest.Name+" could not be closed", "error", err)
	}
	w.backup = nil
}

func (w *work) target() store.Target {
	return store.Target{Job: w.plan.Job, Day: w.plan.Day(), Base: w.plan.Base(), Manifest: w.manifest(), HardLink: w.plan.HardLink}
}

func (w *work) manifest() report.Manifest {
	p := w.plan
	return report.Manifest{
		Version: report.ManifestVersion, ID: p.ID(), Job: p.Job, Instance: p.Instance, Host: p.Host,
		MasterHost: p.MasterHost, MasterInstance: p.MasterInstance, Type: p.Type, Start: p.Start,
		Include: w.sources, Relative: p.Relative, Program: w.Program, Streams: w.round.expected,
	}
}

// rules are what belongs to the copy's tree.
func (w *work) rules() store.Tree {
	p := w.plan
	t := store.Tree{
		Sources: w.sources, Exclude: w.copy.Exclude, Relative: p.Relative, OneFS: p.OneFileSystem,
		HardLinks: p.Preserve.HardLinks, ACLs: p.Preserve.ACLs, XAttrs: p.Preserve.XAttrs,
		MinFiles: p.MinFiles, BWLimit: w.copy.BWLimit, Verbosity: w.copy.Dest.Verbosity,
		Nice: niceCommand(p), Stall: stall(p.StallTimeout),
	}
	for _, re := range p.ExcludeRegex {
		t.ExcludeRegex = append(t.ExcludeRegex, regexp.MustCompile(re))
	}
	return t
}

// tree is what the copy consists of, beside its streams, which count as files.
func (w *work) tree() (store.Tree, func(error)) {
	p, t := w.plan, w.rules()
	t.Without, t.MinFiles = w.round.without, max(0, t.MinFiles-int64(len(w.round.expected)))
	if w.client != nil {
		t.Sources = nil
		for _, names := range p.Fetch {
			t.Fetch = append(t.Fetch, store.Fetch{Names: names, Connect: w.client.Connect(names[0])})
		}
	}
	log := w.log.With("destination", w.copy.Dest.Name)
	t.Hooks.Item = func(change, name string) { log.Info(change + " " + name) }
	t.Hooks.Line = func(line string) { log.Debug("rsync: " + line) }
	end := func(error) {}
	if w.Progress != nil {
		t.Hooks.Progress, end = w.Progress(report.JobName(p.Job, report.PartName(p.Client, p.Instance)), w.copy.Dest.Name)
	}
	return t, end
}

// stall is stall_timeout for a store, where 0 would be the store's own limit.
func stall(limit time.Duration) time.Duration {
	if limit == 0 {
		return -1
	}
	return limit
}
