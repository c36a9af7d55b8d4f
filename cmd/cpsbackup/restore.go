package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/canopsis"
)

// restore brings a backup back: the directories to where they came from, then
// each collection into the database, in place of what it holds. Dumps that lie
// in an included directory come back as files, which are removed.
func (e *engine) restore(ctx context.Context, b *backup) (err error) {
	if b.State != "complete" {
		return fmt.Errorf("backup %07d was never finished: take another", b.number)
	}
	paths, err := e.directories(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.removeDumps(b)) }()
	if len(paths) > 0 {
		args := append([]string{"restore", b.ID, "--in-place", "--yes", "--"}, paths...)
		if err := e.b1000ctl(ctx, e.stdout, args...); err != nil {
			return err
		}
	}
	return e.restoreDumps(ctx, b)
}

// restoreDumps puts each dump into the database.
func (e *engine) restoreDumps(ctx context.Context, b *backup) error {
	var errs []error
	for _, s := range b.Streams {
		i := slices.IndexFunc(e.node.Collections, func(name string) bool { return e.node.Dump(name) == s.Name })
		switch {
		case i >= 0:
			if err := e.b1000ctl(ctx, e.stdout, "restore", b.ID, s.Name, "--into", canopsis.Stream(i), "--replace", "--yes"); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
			}
		case e.node.IsDump("/" + s.Name):
			errs = append(errs, fmt.Errorf("%s: storage.conf does not list that collection any more; it was not restored", s.Name))
		case strings.HasPrefix(s.Name, "mongodb/"):
			errs = append(errs, fmt.Errorf("%s: is of a backup without FIFOs; it was not restored: bring it back with b1000ctl restore --to, and mongorestore", s.Name))
		}
	}
	return errors.Join(errs...)
}

// directories are what is restored in place: what the backup included. Of the
// directory of the dumps it is what else is in there.
func (e *engine) directories(ctx context.Context, b *backup) (paths []string, err error) {
	for _, include := range b.Include {
		if !canopsis.Within(include, e.node.DumpDir()) {
			paths = append(paths, include)
			continue
		}
		var out bytes.Buffer
		if err := e.b1000ctl(ctx, &out, "show", b.ID, include, "--json"); err != nil {
			return nil, err
		}
		names, err := entries(&out)
		if err != nil {
			return nil, fmt.Errorf("b1000ctl show: %w", err)
		}
		paths = append(paths, e.beside(b, names)...)
	}
	return paths, nil
}

// entries reads the names of entries.
func entries(r io.Reader) (names []string, err error) {
	list := json.NewDecoder(r)
	for {
		var entry struct{ Name string }
		switch err := list.Decode(&entry); {
		case err == io.EOF:
			slices.Sort(names)
			return names, nil
		case err != nil:
			return nil, err
		}
		names = append(names, strings.Trim(entry.Name, "/"))
	}
}

// beside are the topmost of these names, in their order, that neither are dumps
// nor hold some.
func (e *engine) beside(b *backup, names []string) (top []string) {
	for _, name := range names {
		holds := canopsis.Within(e.node.DumpDir(), "/"+name)
		for _, s := range b.Streams {
			holds = holds || e.node.IsDump("/"+s.Name) && canopsis.Within(s.Name, name)
		}
		if !holds && !slices.ContainsFunc(top, func(t string) bool { return canopsis.Within(name, t) }) {
			top = append(top, name)
		}
	}
	return top
}

// removeDumps removes the files that have been FIFOs of dumps.
func (e *engine) removeDumps(b *backup) error {
	var errs []error
	for _, s := range b.Streams {
		if path := "/" + s.Name; e.node.IsDump(path) {
			errs = append(errs, removeFile(path))
			_ = os.Remove(filepath.Dir(path)) // if it is empty
		}
	}
	return errors.Join(errs...)
}
