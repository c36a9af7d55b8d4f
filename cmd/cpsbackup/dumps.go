package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/canopsis"
	"b1000/internal/database"
	"b1000/internal/digest"
)

// dumps are the dumps of one backup: a FIFO for each collection, and who writes
// into it once somebody reads.
type dumps struct {
	*states
	node   *canopsis.Node
	stop   context.CancelFunc
	feeder sync.WaitGroup
}

// startDumps makes the FIFOs and lets each collection be dumped when its FIFO is
// opened. Where a dump is known beforehand not to be possible, its state says so
// and there is no FIFO: the job asks before it begins.
func (e *engine) startDumps(ctx context.Context) (*dumps, error) {
	d := &dumps{node: e.node, states: &states{path: statesPath(e.status), Run: rand.Text()}}
	for _, name := range e.node.Collections {
		d.All = append(d.All, state{Collection: "collection " + name + " of database " + e.node.Mongo.DB, FIFO: e.node.FIFO(name)})
	}
	ctx, d.stop = context.WithCancel(ctx)
	if err := errors.Join(clean(e.node, d.path), os.MkdirAll(e.node.DumpDir(), 0o700)); err != nil {
		return d, err
	}
	writers := d.open(ctx)
	if err := d.write(); err != nil || d.failed() != nil {
		return d, err
	}
	for i, s := range d.All {
		if err := d.makeFIFO(s.FIFO); err != nil {
			return d, fmt.Errorf("%s: %w", s.Collection, err)
		}
		d.feeder.Go(func() { d.feed(ctx, i, writers[i]) })
	}
	return d, nil
}

// open asks the server for each collection.
func (d *dumps) open(ctx context.Context) []database.Dump {
	out := make([]database.Dump, len(d.All))
	var all sync.WaitGroup
	for i, name := range d.node.Collections {
		all.Go(func() {
			var err error
			if out[i], err = d.dump(ctx, i, name); err != nil {
				d.All[i].Error = d.plain(i, err)
			}
		})
	}
	all.Wait()
	return out
}

func (d *dumps) dump(ctx context.Context, i int, name string) (database.Dump, error) {
	options := d.node.Options(name)
	db, err := database.New(canopsis.Stream(i), "mongodb", options, func(key string) []string { return strings.Fields(options[key]) })
	if err != nil {
		return database.Dump{}, err
	}
	list, err := db.Dumps(ctx)
	if err != nil {
		return database.Dump{}, err
	}
	if len(list) != 1 {
		return database.Dump{}, fmt.Errorf("%d dumps instead of one", len(list))
	}
	return list[0], nil
}

// chatter is what mongodump says of its progress before its last line, and the
// time before that.
var chatter = regexp.MustCompile(`(?s): \d{4}-\d\d-\d\dT\S+\t(.*\n)?`)

// plain is one line that names the collection.
func (d *dumps) plain(i int, err error) string {
	text := strings.TrimPrefix(err.Error(), fmt.Sprintf("stream %q: ", canopsis.Stream(i)))
	text = strings.ReplaceAll(chatter.ReplaceAllString(text, ": "), "\n", "; ")
	if !strings.Contains(text, d.All[i].Collection) {
		text = d.All[i].Collection + ": " + text
	}
	return text
}

// feed dumps one collection into its FIFO. Its state is known before the FIFO is
// closed: whoever has read to the end can ask for it.
func (d *dumps) feed(ctx context.Context, i int, dump database.Dump) {
	w, err := openWriter(ctx, d.All[i].FIFO)
	if ctx.Err() != nil {
		return // nobody wants it
	}
	out := digest.NewWriter(w)
	if err == nil {
		defer w.Close()
		defer context.AfterFunc(ctx, func() { _ = w.SetWriteDeadline(time.Unix(1, 0)) })()
		err = dump.Write(ctx, out)
	}
	err = errors.Join(err, d.change(i, func(s *state) {
		s.Bytes, s.SHA256, s.Ended = out.Size, out.SHA256(), err == nil
		if err != nil {
			s.Error = d.plain(i, err)
		}
	}))
	if err != nil && errors.Is(err, syscall.EPIPE) || ctx.Err() != nil {
		_ = d.change(i, func(s *state) { s.Error = "" }) // the backup has ended before, and says itself why
	}
}

// openWriter opens a FIFO as soon as somebody reads it.
func openWriter(ctx context.Context, path string) (*os.File, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err == nil {
			if info, err := f.Stat(); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
				f.Close()
				return nil, fmt.Errorf("%s is no FIFO any more", path)
			}
			return f, nil
		}
		if !errors.Is(err, unix.ENXIO) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// makeFIFO makes a FIFO that only its owner may read.
func (d *dumps) makeFIFO(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := removeFile(path); err != nil {
		return err
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return &fs.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	return nil
}

// removeFile removes what a backup or a restore that was killed has left, and
// nothing else.
func removeFile(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().IsRegular(), info.Mode().Type() == fs.ModeNamedPipe:
		return os.Remove(path)
	}
	return fmt.Errorf("%s is in the way: it is neither a FIFO nor a file", path)
}

// clean removes the states and FIFOs of a backup that was killed, also of
// collections that are no longer listed: the backup would wait for somebody who
// writes into them.
func clean(n *canopsis.Node, states string) error {
	var errs []error
	if err := os.Remove(states); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	found, err := filepath.Glob(escape(n.DumpDir()) + "/*/*")
	errs = append(errs, err)
	for _, path := range found {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeNamedPipe && n.IsDump(path) {
			errs = append(errs, os.Remove(path))
			_ = os.Remove(filepath.Dir(path)) // if it is empty
		}
	}
	return errors.Join(errs...)
}

// escape makes a pattern that means one path.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// end stops what is still under way, and removes FIFOs and states.
func (d *dumps) end() error {
	d.stop()
	d.feeder.Wait()
	return clean(d.node, d.path)
}
