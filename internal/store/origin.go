package store

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

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

// OriginOf is what the manifest of a backup says of it.
func OriginOf(e Entry) (Origin, error) {
	if e.Manifest == nil || len(e.Manifest.Include) == 0 {
		return Origin{}, fmt.Errorf("%s: %w: it has no manifest that says so", e.ID, ErrNoOrigin)
	}
	for _, source := range e.Manifest.Include {
		if Remote(source) {
			return Origin{}, fmt.Errorf("%s: %w: they were fetched from another host, %s", e.ID, ErrNoOrigin, source)
		}
	}
	return Origin{include: e.Manifest.Include, relative: e.Manifest.Relative}, nil
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
