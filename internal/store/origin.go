package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Top returns the names at the root of a backup.
func Top(ctx context.Context, s Store, e Entry) ([]string, error) {
	from, ok := s.(interface{ source() source })
	if !ok {
		return nil, fmt.Errorf("%s: this kind of destination cannot be asked for the names at the top of a backup", e.Location)
	}
	return top(ctx, from.source(), e)
}

// Origin says where on the source host the content of a backup came from.
type Origin struct {
	include  []string
	relative bool
}

// ErrNoOrigin is wrapped where it cannot be told where a backup's content came
// from.
var ErrNoOrigin = errors.New("cannot tell where its files came from")

// ErrNotHeld is wrapped by Names where no source has the path.
var ErrNotHeld = errors.New("is not in the backup")

// OriginOf finds out from the sources of a backup's manifest and from the names
// at its root whether it holds each source under its last element or, with
// relative, under its whole path. It refuses to guess.
func OriginOf(e Entry, top []string) (Origin, error) {
	if e.Manifest == nil || len(e.Manifest.Include) == 0 {
		return Origin{}, fmt.Errorf("%s: %w: it has no manifest that says so", e.ID, ErrNoOrigin)
	}
	short, long := Origin{include: e.Manifest.Include}, Origin{include: e.Manifest.Include, relative: true}
	var isShort, isLong, differ bool
	for _, name := range top {
		a, okA := short.Dir(name)
		b, okB := long.Dir(name)
		isShort = isShort || okA && !okB
		isLong = isLong || okB && !okA
		differ = differ || okA && okB && a != b
	}
	switch {
	case isShort && isLong, differ && !isShort && !isLong:
		return Origin{}, fmt.Errorf("%s: %w: its names fit to more than one way of storing %s", e.ID, ErrNoOrigin, strings.Join(e.Manifest.Include, " "))
	case isLong:
		return long, nil
	}
	return short, nil
}

// Dir is the directory that a name at the root of the backup was in.
func (o Origin) Dir(name string) (string, bool) {
	for _, source := range o.include {
		switch {
		case source == "/":
			return "/", true
		case o.relative:
			if first, _, _ := strings.Cut(source[1:], "/"); first == name {
				return "/", true
			}
		case path.Base(source) == name:
			return path.Dir(source), true
		}
	}
	return "", false
}

// Names are the names within the backup for an absolute path of the source
// host: one, or where the path is above several sources one for each.
func (o Origin) Names(abs string) ([]string, error) {
	abs = path.Clean(abs)
	var names []string
	for _, source := range o.include {
		switch {
		case abs == source || below(abs, source):
			if abs == "/" {
				return nil, nil // all of it
			}
			return []string{o.stored(source, abs)}, nil
		case below(source, abs):
			names = append(names, o.stored(source, source))
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, fmt.Errorf("%s %w; it holds %s", abs, ErrNotHeld, strings.Join(o.include, " "))
	}
	return slices.Compact(names), nil
}

func below(name, dir string) bool { return strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") }

// stored is the name of abs, which is source or below it.
func (o Origin) stored(source, abs string) string {
	if o.relative || source == "/" {
		return abs[1:]
	}
	return path.Join(path.Base(source), strings.TrimPrefix(abs, source))
}
