package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/stream"
)

// A run whose backup is good only when something beside its copies is, goes in
// rounds: all trees, then each stream once for all destinations, then the script
// that decides over the backup, then the commits. What has failed at one
// destination is made again in the next round, with the streams read again.

// inRounds reports whether the run is such a one.
func (t *task) inRounds() bool {
	return t.plan.Direction == "push" && (t.streaming() || t.plan.BeforeCommit != "")
}

func (t *task) streaming() bool {
	return len(t.plan.Streams) > 0 || t.plan.ReadAllFIFOs || len(t.plan.ReadFIFO) > 0
}

// errDiscarded is the end of a backup that before_commit has found not to be good.
var errDiscarded = errors.New("before_commit says that the backup is not good")

// round is one copy's attempt in a round.
type round struct {
	expected []report.Stream // the names of what may be stored
	stored   []report.Stream
	without  []string // FIFOs that the tree leaves out
	tree     store.Tree
	res      store.Result
	end      func(error) // of the progress
	over     bool        // it has ended, well or not
	again    bool        // and is to be made again
}

// rounds makes the copies that are not done.
func (t *task) rounds(ctx context.Context, sources []string) error {
	var all []*work
	done := t.live.now().Copies
	for i, c := range t.plan.Copies {
		if !done[i].Good() {
			all = append(all, &work{task: t, index: i, copy: c, sources: sources})
		}
	}
	for todo := all; len(todo) > 0; {
		t.makeRound(ctx, todo)
		todo = slices.DeleteFunc(slices.Clone(todo), func(w *work) bool { return !w.round.again })
		if len(todo) > 0 && !sleep(ctx, t.plan.CopyRetryMinSleep) {
			for _, w := range todo {
				w.fail(fmt.Errorf("%w: %w", context.Cause(ctx), w.err), false)
			}
			break
		}
	}
	var errs []error
	for _, w := range all {
		w.close()
		errs = append(errs, w.err)
	}
	return errors.Join(errs...)
}

// makeRound makes one attempt at each copy.
func (t *task) makeRound(ctx context.Context, todo []*work) {
	feeds, err := t.feeds(ctx, todo)
	defer func() {
		for _, f := range feeds {
			f.done()
		}
	}()
	for _, w := range todo {
		w.round = round{end: func(error) {}}
		w.expect(feeds)
	}
	t.trees(ctx, todo, err)
	todo = under(todo)
	free, err := t.slots(ctx, todo)
	defer free()
	for _, f := range feeds {
		if err != nil {
			break
		}
		f.pour(ctx, under(todo))
	}
	todo = under(todo)
	if err == nil && len(todo) > 0 {
		err = t.beforeCommit(ctx, todo)
	}
	var wg sync.WaitGroup
	for _, w := range todo {
		wg.Go(func() { w.commit(ctx, err) })
	}
	wg.Wait()
}

// under are the copies whose attempt is still under way.
func under(all []*work) (list []*work) {
	for _, w := range all {
		if !w.round.over {
			list = append(list, w)
		}
	}
	return list
}

// trees begins each backup and copies its tree: foreground ones one after the
// other, background ones from the moment that their turn comes. With failed
// nothing is begun.
func (t *task) trees(ctx context.Context, todo []*work, failed error) {
	var wg sync.WaitGroup
	for _, w := range todo {
		if ctx.Err() != nil {
			w.fail(fmt.Errorf("copy to %s: %w", w.copy.Dest.Name, context.Cause(ctx)), false)
			w.round.over = true
			continue
		}
		w.start()
		switch {
		case failed != nil:
			w.finish(ctx, "", failed)
		case w.copy.Background:
			wg.Go(func() { w.plant(ctx) })
		default:
			w.plant(ctx)
		}
	}
	wg.Wait()
}

// plant begins the backup and copies the tree, if there is one.
func (w *work) plant(ctx context.Context) {
	free, err := w.slot(ctx)
	if err != nil {
		w.finish(ctx, "", err)
		return
	}
	defer free()
	made, err := w.begin(ctx)
	if made != nil || err != nil {
		var where string
		w.round.res, where, err = w.found(made, err)
		w.finish(ctx, where, err)
		return
	}
	tree, end := w.tree()
	w.round.tree, w.round.end = tree, end
	if len(w.sources) == 0 {
		return
	}
	if w.round.res, err = w.backup.Tree(ctx, tree); err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		w.finish(ctx, "", err)
	}
}

// finish ends the attempt.
func (w *work) finish(ctx context.Context, where string, err error) {
	w.round.over = true
	w.round.again = w.settle(ctx, w.round.res, where, err)
	w.round.end(err)
	if errors.Is(err, stream.ErrLeft) {
		w.backup = nil // something still hangs in there
	}
}

// commit makes the backup exist, unless something beside it has failed.
func (w *work) commit(ctx context.Context, failed error) {
	var where string
	err := failed
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		res := &w.round.res
		for _, s := range w.round.stored {
			res.Files++
			res.Bytes += s.Size
			res.Sent += s.Size
		}
		m := w.manifest()
		m.End, m.Files, m.Bytes, m.BytesSent, m.Warnings, m.Streams = w.Now(), res.Files, res.Bytes, res.Sent, res.Warnings, w.round.stored
		where, err = w.backup.Commit(ctx, m)
	}
	w.finish(ctx, where, err)
}

// beforeCommit runs the script that decides whether what is stored is good. It
// can read what the streams were.
func (t *task) beforeCommit(ctx context.Context, todo []*work) error {
	var lines []string
	for _, w := range todo {
		for _, s := range w.round.stored {
			lines = append(lines, fmt.Sprintf("%d %s %s\n", s.Size, s.SHA256, strings.ReplaceAll(s.Name, "\n", "?")))
		}
	}
	slices.Sort(lines)
	input := strings.Join(slices.Compact(lines), "")
	err := t.script(ctx, call{name: "before_commit", command: t.plan.BeforeCommit, limit: t.plan.PostTimeout, input: input})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errDiscarded, err)
	}
	return err
}

// slot waits for a place at the destination, where those are limited.
func (w *work) slot(ctx context.Context) (free func(), err error) {
	n := w.copy.Dest.MaxCopies
	if n <= 0 {
		return func() {}, nil
	}
	slot, err := w.Memory.Slot(ctx, w.copy.Dest.Name, n)
	if err != nil {
		return func() {}, err
	}
	return func() { slot.Close() }, nil
}

// slots waits for a place at every destination, in the order of their names: two
// runs that each hold what the other waits for would wait for ever.
func (t *task) slots(ctx context.Context, todo []*work) (free func(), err error) {
	var held []func()
	free = func() {
		for _, f := range held {
			f()
		}
	}
	inOrder := slices.SortedFunc(slices.Values(todo), func(a, b *work) int { return cmp.Compare(a.copy.Dest.Name, b.copy.Dest.Name) })
	for _, w := range inOrder {
		f, err := w.slot(ctx)
		if err != nil {
			return free, err
		}
		held = append(held, f)
	}
	return free, nil
}
