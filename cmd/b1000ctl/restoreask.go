package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"b1000/internal/config"
	"b1000/internal/store"
)

// outside makes the directory to restore to absolute, and refuses one among the backups of a job: what is written there
// would be taken for one, or change files that several of them share.
func (r *restoring) outside() error {
	if r.options.inPlace {
		return nil
	}
	to, err := filepath.Abs(r.options.to)
	if err != nil {
		return err
	}
	r.options.to = to
	for _, d := range r.host.Dests(nil) {
		if store.Remote(d.Path) {
			if dir := store.RepositoryDir(d.Repository); dir != "" && inside(resolved(to), resolved(dir)) {
				return usage("%s is in the repository of destination %q; take a directory outside of %s", to, d.Name, dir)
			}
			continue
		}
		for _, job := range append(r.host.Config.Jobs(), &config.Job{Name: r.backup.Job}) {
			dir := filepath.Join(d.Path, job.Name)
			if inside(resolved(to), resolved(dir)) {
				return usage("%s is among the backups of destination %q; take a directory outside of %s", to, d.Name, dir)
			}
		}
	}
	return nil
}

// resolved is a path without symbolic links, as far as it is there.
func resolved(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil || name == "/" {
		return cmp.Or(real, name)
	}
	return filepath.Join(resolved(filepath.Dir(name)), filepath.Base(name))
}

func inside(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// ask makes sure that files in use are replaced only where somebody wants it.
func (r *restoring) ask(ctx context.Context, parts []part, asked int) error {
	if r.agreed {
		return nil
	}
	r.agreed, r.over = true, r.options.inPlace
	if os.Geteuid() != 0 {
		r.say("note: without root the owners of files are not restored")
	}
	if !r.options.inPlace {
		list, err := os.ReadDir(parts[0].to)
		r.over = len(list) > 0 || err != nil && !errors.Is(err, os.ErrNotExist)
		if len(list) > 0 {
			r.say("note: %s is not empty; files of the same name are replaced, nothing is deleted", printable(parts[0].to))
		}
		return os.MkdirAll(parts[0].to, 0o755) // where that fails, no other copy helps
	}
	if r.options.yes {
		return nil
	}
	var over []string
	n := 0
	for _, p := range parts {
		n += len(p.names)
		for _, name := range p.names {
			over = append(over, filepath.Join(p.to, name))
		}
	}
	if len(over) > 8 {
		over = append(over[:8], fmt.Sprintf("and %d more", len(over)-8))
	}
	what := "everything"
	if asked > 0 {
		what = plural(int64(n), "path")
	}
	of := ""
	if r.backup.Host != r.host.Name {
		of = " of host " + r.backup.Host
	}
	return r.confirm(ctx, fmt.Sprintf("restore %s of %s%s, %s, over %s", what, r.backup.ID, of, when(r.backup.Start), strings.Join(over, ", ")))
}
