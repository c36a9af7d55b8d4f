package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"b1000/internal/database"
	"b1000/internal/host"
	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/run"
)

const intoHelp = `With --into SECTION dumps go back into the database of [stream:SECTION], or to
its restore_command: the STREAMs of the backup by their names, or all that are
the section's. A dump goes to the database that it is of, or with --as to
another one beside it, which is made. A database that holds something is only
replaced with --replace, which asks. Users and roles that are there already
stay as they are. Dumps are read straight from the store, and compared with
their recorded digests on the way; an rsync daemon and the storage server
cannot be read from like that, and a temporary copy is made.

`

// into are the options of restore --into.
type into struct {
	section, as string
	replace     bool
}

// loaded is the result of restore --into in JSON.
type loaded struct {
	Backup      backup         `json:"backup"`
	Destination string         `json:"destination"` // that it was read from
	Into        string         `json:"into"`
	DryRun      bool           `json:"dry_run"`
	Streams     []loadedStream `json:"streams"`
}

type loadedStream struct {
	Stream   string           `json:"stream"`
	Database string           `json:"database"` // "" of users and roles, and of a command
	Replaced bool             `json:"replaced"` // something was there
	Bytes    int64            `json:"bytes"`
	Done     bool             `json:"done"`
	Tables   []database.Table `json:"tables"` // what is there now; of a dry run, what is there
	Error    string           `json:"error,omitempty"`
}

// loading is one call of restore --into.
type loading struct {
	*app
	options restoreOptions
	backup  host.Backup
	target  host.Target
	result  loaded
	dumps   []dump
}

// dump is one stored stream and where it goes.
type dump struct {
	report.Stream // without SHA256 where it is a file that was no stream
	place         database.Place
	before        []database.Table
}

func (a *app) restoreInto(ctx context.Context, o restoreOptions, name string, streams []string) error {
	if err := o.checkInto(streams); err != nil {
		return err
	}
	h, err := a.load()
	if err != nil {
		return err
	}
	b, err := a.find(ctx, h, o.named, name)
	if err != nil {
		return err
	}
	all, err := sources(h, b, o.incomplete)
	if err != nil {
		return err
	}
	a.loud(b)
	l := &loading{app: a, options: o, backup: b}
	l.result = loaded{Backup: newBackup(b, a.now()), Into: o.into.section, DryRun: o.dry, Streams: []loadedStream{}}
	if l.target, err = h.Target(o.into.section, runtimeOf(b)); err != nil {
		return &ended{run.ExitUsage, err}
	}
	err = a.fromFirst(ctx, all, func(s source) (bool, error) { a.warn(s); return false, l.choose(ctx, s, streams) })
	if err == nil {
		err = l.look(ctx)
	}
	if err != nil {
		return err
	}
	if !o.dry {
		if err := l.ask(ctx); err != nil {
			return err
		}
		err = l.all(ctx, all)
	}
	return errors.Join(a.print(l.result, l.tell), err)
}

func (o *restoreOptions) checkInto(streams []string) error {
	switch {
	case o.inPlace || o.to != "":
		return usage("--into excludes --to and --in-place")
	case o.into.as != "" && len(streams) > 1:
		return usage("--as names one database; name one STREAM")
	case slices.Contains(streams, ""):
		return usage("an empty STREAM names nothing; leave it away for all of the section")
	}
	return nil
}

// runtimeOf are the run-time values of a backup.
func runtimeOf(b host.Backup) map[string]string {
	known := map[string]string{"name": b.Job, "instance": b.Instance, "host": b.Host, "client": b.Host}
	known["start_time"] = b.Start.Local().Format("2006-01-02-15-04-05")
	return known
}

// choose finds the streams that are meant in a backup.
func (l *loading) choose(ctx context.Context, s source, names []string) error {
	l.result.Destination = s.Dest.Name
	l.dumps = nil
	var known []report.Stream
	if s.Entry.Manifest != nil {
		known = s.Entry.Manifest.Streams
	}
	if len(names) == 0 {
		known = slices.DeleteFunc(slices.Clone(known), func(r report.Stream) bool { return !l.belongs(r.Name) })
		if len(known) == 0 {
			return hint{fmt.Errorf("%s holds no stream of %s", s.Entry.ID, l.options.into.section), "name one; b1000ctl show " + s.Entry.ID + " lists them"}
		}
		for _, r := range known {
			l.dumps = append(l.dumps, dump{Stream: r})
		}
	}
	for _, name := range names {
		clean := path.Clean(name)
		i := slices.IndexFunc(known, func(r report.Stream) bool { return r.Name == clean })
		if i >= 0 {
			l.dumps = append(l.dumps, dump{Stream: known[i]})
			continue
		}
		var found *rsync.Entry // a dump that a script has made
		err := s.store.Show(ctx, s.Entry, clean, func(e rsync.Entry) {
			if e.Name == clean && strings.HasPrefix(e.Mode, "-") {
				found = &e
			}
		})
		if err == nil && found == nil {
			err = fmt.Errorf("%s: %q is not a stream, nor a file", s.Entry.ID, name)
		}
		if err != nil {
			return err
		}
		l.dumps = append(l.dumps, dump{Stream: report.Stream{Name: clean, Size: found.Size}})
	}
	return nil
}

// belongs reports whether a stream is one that the section has made.
func (l *loading) belongs(name string) bool {
	return name == l.target.Base || strings.HasPrefix(name, l.target.Base+"/")
}

// look finds out what is where the dumps go. Nothing is changed before all of
// that is known.
func (l *loading) look(ctx context.Context) error {
	if l.target.Database == nil {
		if l.options.into.as != "" {
			return usage("--as: %s has a restore_command, which decides where it goes", l.options.into.section)
		}
		return nil
	}
	if l.options.into.as != "" && len(l.dumps) != 1 {
		return usage("--as names one database, and there are %d streams; name one of %s", len(l.dumps), l.names())
	}
	for i := range l.dumps {
		d := &l.dumps[i]
		var err error
		if d.place, err = l.target.Database.Place(d.Name, l.options.into.as); err != nil {
			return err
		}
		d.before, err = l.target.Database.Tables(ctx, d.place)
		switch {
		case errors.Is(err, database.ErrNotThere):
		case err != nil:
			return err
		case len(d.before) > 0 && !d.place.Global && !l.options.into.replace:
			return hint{fmt.Errorf("%s is there already, with %s", d.place.DB, content(d.before)), "--as NAME restores beside it, --replace puts the dump in its place"}
		}
	}
	return nil
}
