package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"b1000/internal/rsync"
)

// source is how rsync reads from a store.
type source struct {
	root string // what comes before "/job/…"
	base rsync.Options

	// top and below are root again, parted where rsync lists (--files-from) may
	// begin: a daemon's module. rsync 3.5.0 serving a module without chroot
	// takes every file of a list that begins deeper for vanished.
	top, below string
}

// options are those for reading from below the backup's directory.
func (s source) options(e Entry) rsync.Options {
	o := s.base
	o.Sources = []string{s.root + "/" + e.Dir + "/"}
	return o
}

// cleanName checks a name within a backup and takes off what people add to it.
func cleanName(name string) (string, error) {
	clean := path.Clean("/" + name)[1:]
	if clean == "" || slices.Contains(strings.Split(name, "/"), "..") {
		return "", fmt.Errorf("%q is not the name of something in a backup", name)
	}
	return clean, nil
}

// show lists what a backup holds. The name is found by listing from the top: a
// daemon would expand wildcards in it, and what is a file is not a directory.
func show(ctx context.Context, s source, e Entry, name string, each func(rsync.Entry)) error {
	o := s.options(e)
	if name == "" {
		return list(ctx, o, func(l rsync.Entry) {
			if l.Name != "." && !internal(l.Name) {
				each(l)
			}
		})
	}
	clean, err := cleanName(name)
	if err != nil {
		return err
	}
	found := false
	o.Exclude = nil
	o.Extra = append(slices.Clone(o.Extra), filterFor(clean)...)
	err = list(ctx, o, func(l rsync.Entry) {
		if (l.Name == clean || strings.HasPrefix(l.Name, clean+"/")) && !internal(l.Name) {
			found = true
			each(l)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("%s holds no %q", e.ID, name)
	}
	return err
}

// list tells of a symbolic link the size of its target: an rsync that munges it
// says how much it stores.
func list(ctx context.Context, o rsync.Options, each func(rsync.Entry)) error {
	return rsync.List(ctx, o, func(l rsync.Entry) {
		if l.Link != "" {
			l.Size = int64(len(l.Link))
		}
		each(l)
	})
}

// filterFor lets rsync walk to one name only, and below it.
func filterFor(clean string) []string {
	var rules []string
	at := ""
	for _, part := range strings.Split(clean, "/") {
		at += "/" + escape(part)
		rules = append(rules, "--include="+at)
	}
	return append(rules, "--include="+at+"/***", "--exclude=*")
}

// escape makes a name a pattern that matches nothing else.
func escape(name string) string {
	if !strings.ContainsAny(name, "*?[") { // rsync(1): only with wildcards does "\" escape
		return name
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// internal reports whether a name is rsync's own half of a file.
func internal(name string) bool {
	return slices.Contains(strings.Split(name, "/"), rsync.PartialDir)
}

// restore copies a backup, or parts of it. Each file gets its name when it is
// whole.
func restore(ctx context.Context, s source, e Entry, r Restore) (rsync.Result, error) {
	for _, name := range r.Paths {
		if _, err := cleanName(name); err != nil {
			return rsync.Result{}, err
		}
	}
	if err := os.MkdirAll(r.To, 0o755); err != nil {
		return rsync.Result{}, err
	}
	o := s.restoring(r)
	names := r.Paths
	if len(names) == 0 {
		var err error
		if names, err = top(ctx, s, e); err != nil {
			return rsync.Result{}, err
		}
		if plain(names) {
			for _, n := range names {
				o.Sources = append(o.Sources, s.root+"/"+e.Dir+"/"+n)
			}
			return fetch(ctx, e, o, r.Hooks)
		}
	}
	return restoreNames(ctx, s, e, names, o, r.Hooks)
}

// restoring are the options of every rsync that brings something back.
func (s source) restoring(r Restore) rsync.Options {
	o := s.base
	o.Dest, o.Stall = strings.TrimRight(r.To, "/")+"/", r.Stall
	o.HardLinks, o.ACLs, o.XAttrs = true, true, true
	o.Extra = append(slices.DeleteFunc(slices.Clone(o.Extra), deletes), "--exclude="+rsync.PartialDir+"/")
	if r.Afresh {
		o.Extra = append(o.Extra, "--ignore-times")
	}
	if r.Hooks.Progress != nil && (o.Remote || strings.HasPrefix(s.root, thisHost)) {
		// An rsync that receives does so in a process of its own, which no signal
		// asks how far it is: it has to tell by itself.
		o.Extra = append(o.Extra, "--info=progress2")
	}
	return o
}

// deletes reports whether an option of rsync lets it remove what the other side
// does not have (rsync(1), --delete, --force): it is meant for the destination,
// not for what somebody has where he restores to.
func deletes(option string) bool {
	name, _, _ := strings.Cut(option, "=")
	return strings.HasPrefix(name, "--del") || name == "--force"
}

// fetch runs rsync for a restore: where nothing changes, nothing may vanish.
func fetch(ctx context.Context, e Entry, o rsync.Options, h rsync.Hooks) (rsync.Result, error) {
	res, err := rsync.Run(ctx, o, h)
	if err == nil && len(res.Vanished) > 0 {
		var names []string // within the backup
		for _, v := range res.Vanished {
			if _, name, ok := strings.Cut(v, e.Dir+"/"); ok {
				v = strings.TrimPrefix(name, "./")
			}
			names = append(names, v)
		}
		err = fmt.Errorf("%s holds no %q", e.ID, strings.Join(names, ", "))
	}
	return res, err
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9._+=@%,][-A-Za-z0-9._+=@%,]*$`)

// plain reports whether names may be arguments of rsync, wherever it runs:
// no pattern among them, and not too many. It is a tenth faster than a list.
func plain(names []string) bool {
	for _, n := range names {
		if !plainName.MatchString(n) {
			return false
		}
	}
	return len(names) <= 100
}

// restoreNames hands the names to rsync in a list, so that nothing of them is
// taken for a pattern or an option.
func restoreNames(ctx context.Context, s source, e Entry, names []string, o rsync.Options, h rsync.Hooks) (rsync.Result, error) {
	var list bytes.Buffer
	for _, n := range names {
		clean, err := cleanName(n)
		if err != nil {
			return rsync.Result{}, err
		}
		list.WriteString(path.Join(s.below, e.Dir) + "/./" + clean + "\x00")
	}
	f, err := os.CreateTemp("", "b1000-restore-")
	if err != nil {
		return rsync.Result{}, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(list.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return rsync.Result{}, err
	}
	o.Sources, o.FilesFrom = []string{s.top + "/"}, f.Name()
	o.Extra = append(o.Extra, "--recursive")
	return fetch(ctx, e, o, h)
}

// top are the names at the root of a backup. Its directory itself is not
// restored: its owner and mode are the store's.
func top(ctx context.Context, s source, e Entry) (names []string, err error) {
	o := s.options(e)
	o.Extra = append(slices.Clone(o.Extra), "--no-recursive", "--dirs")
	err = rsync.List(ctx, o, func(l rsync.Entry) {
		if l.Name != "." && !internal(l.Name) {
			names = append(names, l.Name)
		}
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s holds nothing", e.ID)
	}
	return names, err
}
