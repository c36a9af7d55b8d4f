package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"b1000/internal/store"
)

// check looks at what only this host can tell, and makes the destination if that
// is wanted.
func (f *first) check(ctx context.Context, a *app) error {
	if f.dest == "" || len(f.include) == 0 {
		return usage("nothing is to be stored, or nowhere; say --include and --dest")
	}
	if f.keepDaily < 0 {
		return usage("--keep-daily %d is not a number of days", f.keepDaily)
	}
	if f.schedule != "" {
		if err := a.calendar(ctx, f.schedule); err != nil {
			return usage("--schedule: %v", err)
		}
	}
	if store.Remote(f.dest) {
		return nil
	}
	if err := f.within(); err != nil {
		return err
	}
	dest := filepath.Clean(f.dest)
	if !absentDir(dest) {
		return nil
	}
	if !f.makeDest {
		return usage("%s is not there; mount what belongs there, or say --make-dest", dest)
	}
	return os.MkdirAll(dest, 0o700)
}

// within is an error where backups would be stored in what is backed up.
func (f *first) within() error {
	if store.Remote(f.dest) {
		return nil
	}
	dest := filepath.Clean(f.dest)
	for _, path := range f.include {
		below := strings.HasPrefix(dest+"/", strings.TrimSuffix(filepath.Clean(path), "/")+"/")
		if below && !f.excludes(path, dest) {
			return usage("%s is within %s: each backup would store those before it; name another place, or say --exclude", dest, path)
		}
	}
	return nil
}

// excludes reports whether the patterns leave the destination out of what is
// stored of path: they begin at its last name.
func (f *first) excludes(path, dest string) bool {
	path = filepath.Clean(path)
	at := "/" + strings.TrimPrefix(strings.TrimPrefix(dest, path), "/")
	if base := filepath.Base(path); base != "/" {
		at = "/" + base + at
	}
	for _, pattern := range f.exclude {
		pattern = strings.TrimSuffix(strings.TrimSuffix(pattern, "*"), "/")
		if pattern == at || strings.HasPrefix(at, pattern+"/") && strings.HasPrefix(pattern, "/") {
			return true
		}
	}
	return false
}
