package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"b1000/internal/database"
	"b1000/internal/digest"
	"b1000/internal/process"
	"b1000/internal/progress"
	"b1000/internal/store"
)

// ask lets somebody agree to what is lost.
func (l *loading) ask(ctx context.Context) error {
	var over []string
	for _, d := range l.dumps {
		if len(d.before) > 0 && !d.place.Global {
			what := fmt.Sprintf("%s with %s", d.place.DB, content(d.before))
			if d.place.Part {
				what = "tables of " + what
			}
			over = append(over, what)
		}
	}
	if len(over) == 0 || l.options.yes {
		return nil
	}
	return l.confirm(ctx, fmt.Sprintf("replace %s by what %s of %s holds", strings.Join(over, ", "), l.backup.ID, when(l.backup.Start)))
}

// all restores one dump after the other, and stops at the first that fails.
func (l *loading) all(ctx context.Context, from []source) error {
	for _, d := range l.dumps {
		out := loadedStream{Stream: d.Name, Database: d.place.DB, Replaced: len(d.before) > 0 && !d.place.Global, Tables: []database.Table{}}
		err := l.fromAny(ctx, from, d, &out)
		if l.target.Database != nil {
			now, look := l.target.Database.Tables(context.WithoutCancel(ctx), d.place)
			switch {
			case look == nil:
				out.Tables = append(out.Tables, now...)
			case err == nil:
				err = look
			}
		}
		out.Done, out.Error = err == nil, reason(err)
		l.result.Streams = append(l.result.Streams, out)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

// fromAny goes on with the next copy of the backup where one cannot be read: what
// half of a dump has left in the database is ours, and is replaced.
func (l *loading) fromAny(ctx context.Context, from []source, d dump, out *loadedStream) error {
	replace := out.Replaced
	return l.fromFirst(ctx, from, func(s source) (final bool, err error) {
		l.result.Destination = s.Dest.Name
		var unread error
		if out.Bytes, unread, err = l.load(ctx, s, d, replace); err == nil {
			return false, nil
		}
		replace = !d.place.Global
		return unread == nil, err
	})
}

// load puts one dump back. unread is the error of the store, if it is that
// which failed.
func (l *loading) load(ctx context.Context, s source, d dump, replace bool) (n int64, unread, err error) {
	if !store.Streams(s.store) {
		l.say("note: %s cannot be read as a stream: %s goes through a temporary copy of %s in %s", s.Dest.Name, printable(d.Name), progress.Size(d.Size), os.TempDir())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	sum := digest.NewWriter(w)
	done := make(chan error, 1)
	go func() {
		err := store.Cat(ctx, s.store, s.Entry, d.Name, "", sum)
		if err == nil {
			err = compare(sum, d)
		}
		w.CloseWithError(err) // nil is io.EOF
		done <- err
	}()
	if l.target.Database != nil {
		err = l.target.Database.Load(ctx, database.Load{Place: d.place, Replace: replace, Dump: r})
	} else {
		err = l.command(ctx, d, r)
	}
	_ = r.CloseWithError(errNotTaken)
	if err != nil {
		cancel()
	}
	unread = <-done
	if errors.Is(unread, errNotTaken) || ctx.Err() != nil && errors.Is(unread, context.Canceled) {
		unread = nil
	}
	return sum.Size, unread, cmp.Or(err, unread)
}

// errNotTaken is what the store sees when nobody reads on.
var errNotTaken = errors.New("the rest is not taken")

// command lets the section's restore_command read a dump.
func (l *loading) command(ctx context.Context, d dump, r io.Reader) error {
	in := process.Feed{From: r}
	return in.Run(ctx, process.Command{
		Args: []string{"/bin/sh", "-c", l.target.Command}, Name: "restore_command",
		Env:    append(os.Environ(), "B1000_JOB="+l.backup.Job, "B1000_INSTANCE="+l.backup.Instance, "B1000_HOST="+l.backup.Host, "B1000_STREAM="+d.Name),
		Stdout: func(line string) { l.say("%s", printable(line)) }, Stderr: func(line string) { l.say("%s", printable(line)) },
	})
}

// compare says whether what has come is what was stored.
func compare(got *digest.Writer, d dump) error {
	switch {
	case got.Size != d.Size:
		return fmt.Errorf("the stored dump is damaged: it has %d bytes, and had %d", got.Size, d.Size)
	case d.SHA256 != "" && got.SHA256() != d.SHA256:
		return errors.New("the stored dump is damaged: its SHA-256 is not the recorded one")
	}
	return nil
}

// content says how much is in a database.
func content(tables []database.Table) string {
	var rows int64
	for _, t := range tables {
		rows += t.Rows
	}
	return plural(int64(len(tables)), "table") + " and " + plural(rows, "row")
}

// names are those of the dumps.
func (l *loading) names() string {
	var list []string
	for _, d := range l.dumps {
		list = append(list, d.Name)
	}
	return strings.Join(list, ", ")
}

// tell is the summary for people.
func (l *loading) tell(w io.Writer) {
	if l.options.dry {
		for _, d := range l.dumps {
			what := "made"
			if len(d.before) > 0 && !d.place.Global {
				what = "replaced, now with " + content(d.before)
			}
			fmt.Fprintf(w, "would restore %s, %s, to %s (%s)\n", printable(d.Name), progress.Size(d.Size), printable(l.where(d.place)), what)
		}
		return
	}
	var rows [][]string
	for _, s := range l.result.Streams {
		verb := "restored"
		if !s.Done {
			verb = "FAILED: restoring"
		}
		rows = append(rows, []string{fmt.Sprintf("%s %s of backup %s (%s, %s) from %s to %s, %s", verb, s.Stream, l.backup.ID, jobOf(l.backup.Job, l.backup.Instance),
			when(l.backup.Start), l.result.Destination, l.where(database.Place{DB: s.Database}), progress.Size(s.Bytes))})
		if !s.Done && l.target.Database != nil {
			rows = append(rows, []string{"  in it now: " + content(s.Tables)})
		}
		for _, t := range s.Tables {
			rows = append(rows, []string{"  " + t.Name, fmt.Sprint(t.Rows)})
		}
	}
	table(w, rows)
}

// where is the place for people.
func (l *loading) where(p database.Place) string {
	switch {
	case l.target.Database == nil:
		return "the restore_command of " + l.options.into.section
	case p.DB == "":
		return "the server's users of " + l.options.into.section
	}
	return p.DB + " of " + l.options.into.section
}
