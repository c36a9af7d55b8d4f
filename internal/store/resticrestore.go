package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/restic"
	"b1000/internal/rsync"
)

// wanted is something to restore: a name within the backup, and the path that
// it has in a snapshot.
type wanted struct {
	name, abs string
	snapshot  string
	stream    *keptStream
}

// round is what one call of restic can restore.
type round struct {
	snapshot string
	parts    []wanted
}

// Restore lets restic restore beside what is there, into a directory of its own
// below r.To, and then moves each file to its name: restic writes files in place,
// piece by piece, and knows other names. It needs the room for all that is
// restored, also where the same is there already.
func (s *resticStore) Restore(ctx context.Context, e Entry, r Restore) (res rsync.Result, err error) {
	all, err := s.choice(ctx, e, r.Paths)
	if err != nil {
		return res, err
	}
	if err := s.ready(ctx); err != nil {
		return res, err
	}
	if err := os.MkdirAll(r.To, 0o755); err != nil {
		return res, err
	}
	for _, round := range rounds(all) {
		if err := s.restoreRound(ctx, e, r, round, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

// choice are the parts of a backup for names in it, all where there are none.
func (s *resticStore) choice(ctx context.Context, e Entry, names []string) (all []wanted, err error) {
	if e.restic == nil {
		return nil, fmt.Errorf("%s is not in this repository", e.ID)
	}
	k := &e.restic.kept
	if len(names) == 0 {
		if names, err = s.Top(ctx, e); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		clean, err := cleanName(name)
		if err != nil {
			return nil, err
		}
		found := len(all)
		for i := range k.Streams {
			if st := &k.Streams[i]; st.Name == clean || below(st.Name, clean) {
				all = append(all, wanted{st.Name, "/" + st.Name, st.Snapshot, st})
			}
		}
		if _, abs, ok := k.sourceOf(clean); ok && k.Tree != "" {
			all = append(all, wanted{clean, abs, k.Tree, nil})
		}
		if len(all) == found {
			return nil, fmt.Errorf("%s holds no %q", e.ID, name)
		}
	}
	// The tree before what goes into it, and what is above before what is below,
	// so that as much as can be is restored in one round.
	slices.SortStableFunc(all, func(a, b wanted) int {
		if (a.stream == nil) != (b.stream == nil) {
			if a.stream == nil {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(a.abs), len(b.abs))
	})
	return all, nil
}

// rounds parts what is wanted so that no path of a round is below another one:
// moving the one would take the other away. Hard links are kept within a round.
func rounds(all []wanted) (list []round) {
	for _, w := range all {
		i := slices.IndexFunc(list, func(r round) bool {
			return r.snapshot == w.snapshot && !slices.ContainsFunc(r.parts, func(p wanted) bool {
				return p.abs == w.abs || below(p.abs, w.abs) || below(w.abs, p.abs)
			})
		})
		if i < 0 {
			i = len(list)
			list = append(list, round{snapshot: w.snapshot})
		}
		list[i].parts = append(list[i].parts, w)
	}
	return list
}

// stagePrefix begins the names of directories that are being restored to.
const stagePrefix = ".b1000-restore-"

// restoreRound restores one round.
func (s *resticStore) restoreRound(ctx context.Context, e Entry, r Restore, round round, res *rsync.Result) (err error) {
	stage, err := os.MkdirTemp(r.To, stagePrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeTree(context.WithoutCancel(ctx), stage)) }()
	var broken error
	if round.snapshot != "" {
		if broken, err = s.stage(ctx, r, round, stage); err != nil {
			return err
		}
	}
	for _, w := range round.parts {
		from, to := filepath.Join(stage, w.abs), filepath.Join(r.To, w.name)
		if err := w.finish(from); err != nil {
			return err
		}
		if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
			if broken == nil {
				broken = fmt.Errorf("%s holds no %q", e.ID, w.name)
			}
			continue
		}
		if err := count(from, res); err != nil {
			return err
		}
		if err := s.place(ctx, stage, r.To, w, from, to); err != nil {
			return err
		}
	}
	return broken
}

// stage lets restic restore. Files that could not be restored are removed again,
// and are broken; the others are good.
func (s *resticStore) stage(ctx context.Context, r Restore, round round, stage string) (broken, err error) {
	args := []string{"restore", round.snapshot, "--target", stage}
	for _, w := range round.parts {
		if w.abs != "/" {
			args = append(args, "--include", exactly(w.abs))
		}
	}
	c := restic.Call{Args: args, Unlock: true, Stall: r.Stall}
	if r.Hooks.Progress != nil {
		c.Progress = func(st restic.Status) { r.Hooks.Progress(progressFrom(st)) }
	}
	sum, err := s.repo.Run(ctx, c)
	var failed *restic.Error
	if !errors.As(err, &failed) || failed.Cause != nil || len(sum.Failures) == 0 {
		return nil, err
	}
	for _, f := range sum.Failures {
		if !strings.HasPrefix(f.Item, "/") {
			return nil, err // not even restic knows which
		}
		at := filepath.Join(stage, f.Item)
		if info, lerr := os.Lstat(at); lerr == nil && !info.IsDir() {
			if rerr := os.Remove(at); rerr != nil {
				return nil, errors.Join(err, rerr)
			}
		}
	}
	return err, nil
}

// finish gives a stream the owner, mode and time that it had.
func (w *wanted) finish(at string) error {
	if w.stream == nil {
		return nil
	}
	if w.stream.Snapshot == "" {
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, nil, 0o600); err != nil {
			return err
		}
	}
	st := w.stream
	return Stream{Mode: st.Mode, UID: st.UID, GID: st.GID, ModTime: st.ModTime}.own(at)
}

// count adds what is below a path.
func count(at string, res *rsync.Result) error {
	return filepath.WalkDir(at, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		res.Files++
		if d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			res.Bytes += info.Size()
			res.Literal += info.Size()
		}
		return nil
	})
}
