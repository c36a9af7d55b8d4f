package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"b1000/internal/progress"
	"b1000/internal/rsync"
	"b1000/internal/store"
)

// copy copies the parts, with a bar each where somebody looks on.
func (r *restoring) copy(ctx context.Context, s source, parts []part) error {
	var bars progress.Printer
	if r.watched() && !r.json {
		bars = progress.New(r.stdout, true)
		defer bars.Close()
	}
	for _, p := range parts {
		request := store.Restore{Paths: p.names, To: p.to, Afresh: r.over}
		show, end := func(store.Progress) {}, func(error) {}
		if bars != nil {
			task := bars.Start(s.Dest.Name, p.to)
			show = r.shown(task, len(p.names) == 0 && !r.options.inPlace)
			request.Hooks.Progress, end = show, task.Done
		}
		res, err := s.store.Restore(ctx, s.Entry, request)
		if err == nil {
			show(store.Progress{Done: res.Bytes, Total: res.Bytes, Percent: 100, Files: res.Files})
		}
		end(err)
		if err != nil {
			return err
		}
		r.result.Files += res.Files
		r.result.Bytes += res.Bytes
		r.result.Copied += res.Literal
		for _, w := range res.Warnings {
			r.say("warning: %s", printable(w))
		}
	}
	return nil
}

// shown tells a bar of the progress, with the average rate. Of a whole backup
// the total is known.
func (r *restoring) shown(task progress.Task, whole bool) func(store.Progress) {
	started := r.now()
	return func(p store.Progress) {
		out := progress.Progress{Done: p.Done, Total: p.Total, Percent: p.Percent, Files: p.Files}
		if m := r.backup.Manifest; whole && m != nil && m.Bytes > 0 {
			out.Total = max(m.Bytes, p.Done)
		}
		if took := r.now().Sub(started); took > time.Second {
			out.Rate = int64(float64(p.Done) / took.Seconds())
		}
		task.Update(out)
	}
}

// preview lists what would be restored.
func (r *restoring) preview(ctx context.Context, s source, parts []part) error {
	for _, p := range parts {
		list := p.names
		if len(list) == 0 {
			list = []string{""}
		}
		for _, name := range list {
			err := s.store.Show(ctx, s.Entry, name, func(e rsync.Entry) {
				if !e.Dir() {
					r.result.Files++
				}
				if strings.HasPrefix(e.Mode, "-") {
					r.result.Bytes += e.Size
				}
				if !r.json {
					fmt.Fprintf(r.stdout, "%s\n", printable(filepath.Join(p.to, e.Name)))
				}
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
