package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/stream"
)

// feed is one stream of a run: where it comes from, and what it is stored as.
type feed struct {
	*task
	source stream.Source
	as     store.Stream
	only   map[*work]bool // the copies that it belongs to; nil for all
}

// isFor reports whether a copy has the stream.
func (f *feed) isFor(w *work) bool { return f.only == nil || f.only[w] }

func (f *feed) done() {
	if f.source.Done != nil {
		f.source.Done()
	}
}

// feeds are the streams of a run, now: what the job's commands are, and which
// FIFOs there are.
func (t *task) feeds(ctx context.Context, todo []*work) (all []*feed, err error) {
	if len(t.plan.Streams) > 0 {
		sources, err := t.Streams(ctx, t.plan)
		if err != nil {
			return nil, err
		}
		for _, s := range sources {
			all = append(all, t.command(s))
		}
	}
	fifos, err := t.fifoFeeds(ctx, todo)
	all = append(all, fifos...)
	if err == nil {
		err = t.separate(all, todo)
	}
	return all, err
}

// command is the stream of a command.
func (t *task) command(s stream.Source) *feed {
	if len(s.Args) > 0 {
		s.Program = cmp.Or(s.Program, filepath.Base(s.Args[0]))
		s.Args = append(niceCommand(t.plan), s.Args...)
	}
	s.Env = append(t.environment(call{name: "pre"}), s.Env...)
	if s.Line == nil {
		s.Line = func(line string) { t.log.Info("[" + s.Name + "] " + line) }
	}
	return &feed{task: t, source: s, as: store.Stream{
		Name: s.Name, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid(), ModTime: t.plan.Start,
	}}
}

// fifoFeeds are those of the FIFOs: the ones that are named, for every copy, and
// each that a copy's rules include.
func (t *task) fifoFeeds(ctx context.Context, todo []*work) ([]*feed, error) {
	found := map[string]*feed{}
	for _, path := range t.plan.ReadFIFO {
		path = filepath.Clean(path)
		f, err := t.fifo(path, todo[0])
		if err != nil {
			return nil, fmt.Errorf("read_fifo: %w", err)
		}
		found[path] = f
	}
	if t.plan.ReadAllFIFOs {
		listed := map[string][]string{}
		for _, w := range todo {
			if len(w.sources) == 0 {
				continue
			}
			tree := w.rules()
			key := strings.Join(tree.Exclude, "\x00")
			paths, known := listed[key]
			if !known {
				var err error
				if paths, err = store.FIFOs(ctx, tree); err != nil {
					return nil, fmt.Errorf("read_all_fifos: %w", err)
				}
				listed[key] = paths
			}
			for _, path := range paths {
				f := found[path]
				if f == nil {
					var err error
					if f, err = t.fifo(path, w); err != nil {
						return nil, fmt.Errorf("read_all_fifos: %w", err)
					}
					f.only = map[*work]bool{}
					found[path] = f
				}
				if f.only != nil {
					f.only[w] = true
				}
			}
		}
	}
	var all []*feed
	t.fifos = nil
	for _, path := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[path])
		t.fifos = append(t.fifos, path)
	}
	return all, nil
}

// fifo is the stream of a FIFO: stored where it stands in the tree, or as an
// include would be.
func (t *task) fifo(path string, w *work) (*feed, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return nil, fmt.Errorf("%s is not a FIFO", path)
	}
	as := store.Stream{Name: w.rules().NameOf(path), Mode: info.Mode().Perm(), ModTime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		as.UID, as.GID = int(st.Uid), int(st.Gid)
	}
	return &feed{task: t, as: as, source: stream.Source{Name: as.Name, FIFO: path}}, nil
}

// separate refuses streams that would be stored over each other, or over what the
// trees hold.
func (t *task) separate(all []*feed, todo []*work) error {
	var errs []error
	within := func(a, b string) bool { return a == b || strings.HasPrefix(a, b+"/") }
	for i, f := range all {
		for _, g := range all[:i] {
			if within(f.as.Name, g.as.Name) || within(g.as.Name, f.as.Name) {
				errs = append(errs, fmt.Errorf("streams %s and %s would be stored over each other; give one another file", g.as.Name, f.as.Name))
			}
		}
		for _, s := range todo[0].sources {
			in := todo[0].rules().NameOf(s)
			if f.source.FIFO == "" && (in == "." || within(f.as.Name, in) || within(in, f.as.Name)) {
				errs = append(errs, fmt.Errorf("stream %s would be stored over %s; give it another file", f.as.Name, s))
			}
		}
	}
	return errors.Join(errs...)
}

// expect notes for a copy what may be stored, and what its tree leaves out.
func (w *work) expect(all []*feed) {
	for _, f := range all {
		if f.isFor(w) {
			w.round.expected = append(w.round.expected, report.Stream{Name: f.as.Name})
			if f.source.FIFO != "" {
				w.round.without = append(w.round.without, f.source.FIFO)
			}
		}
	}
}

// pour reads the stream once for all of these copies that have it.
func (f *feed) pour(ctx context.Context, all []*work) {
	to := slices.DeleteFunc(slices.Clone(all), func(w *work) bool { return !f.isFor(w) })
	if len(to) == 0 {
		return
	}
	var sinks []stream.Sink
	for _, w := range to {
		as := f.as
		as.BWLimit, as.Stall = w.copy.BWLimit, stall(f.plan.StallTimeout)
		backup := w.backup
		sinks = append(sinks, func(ctx context.Context, r io.Reader) (stream.Sum, error) {
			got, err := backup.Stream(ctx, as, r)
			return stream.Sum{Size: got.Size, SHA256: got.SHA256}, err
		})
	}
	f.log.Info("reading stream " + f.as.Name)
	tell := func(bytes int64) {
		for _, w := range to {
			w.progress(bytes)
		}
	}
	sum, errs, err := stream.Copy(ctx, f.source, f.plan.StallTimeout, tell, sinks)
	if err == nil {
		f.log.Info(fmt.Sprintf("stream %s: %d bytes, SHA-256 %s", f.as.Name, sum.Size, sum.SHA256))
	}
	for i, w := range to {
		if errs[i] != nil {
			w.finish(ctx, "", fmt.Errorf("stream %s: %w", f.as.Name, errs[i]))
			continue
		}
		w.round.stored = append(w.round.stored, report.Stream{Name: f.as.Name, Size: sum.Size, SHA256: sum.SHA256})
	}
}

// progress tells of the bytes of a stream, on top of what is stored already.
func (w *work) progress(bytes int64) {
	if w.round.tree.Hooks.Progress == nil {
		return
	}
	p := store.Progress{Done: w.round.res.Bytes + bytes, Percent: -1, Files: w.round.res.Files}
	for _, s := range w.round.stored {
		p.Done += s.Size
		p.Files++
	}
	w.round.tree.Hooks.Progress(p)
}

// release lets those go who wait for somebody to read a FIFO that a failed run
// does not read any more: post may wait for them.
func (t *task) release(failed error) {
	if failed == nil {
		return
	}
	list := t.fifos
	if list == nil {
		list = t.plan.ReadFIFO
	}
	for _, path := range list {
		_ = stream.Release(path) // without it there is nobody who waits
	}
}
