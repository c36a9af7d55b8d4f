package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// place moves what was restored to its name, making the directories above it as
// they were.
func (s *resticStore) place(ctx context.Context, stage, root string, w wanted, from, to string) error {
	above := strings.Split(path.Dir(w.name), "/")
	var made [][2]string // directories to be given their attributes when all is in them
	for i := range above {
		if above[0] == "." {
			break
		}
		dir := filepath.Join(root, filepath.Join(above[:i+1]...))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			if info, serr := os.Stat(dir); serr == nil && info.IsDir() {
				continue
			}
		}
		if err != nil {
			return err
		}
		origin := from
		for range len(above) - i {
			origin = filepath.Dir(origin)
		}
		made = append(made, [2]string{origin, dir})
	}
	if err := merge(ctx, from, to); err != nil {
		return err
	}
	for i := len(made) - 1; i >= 0; i-- {
		if !below(made[i][0], stage) {
			continue
		}
		if err := snapshot.Stamp(made[i][0], made[i][1], true, true, snapshot.Inode); err != nil {
			return err
		}
	}
	return nil
}

// merge moves a file or directory to a name. A directory that is there already
// keeps what else is in it. Each file has its name only when it is whole.
func merge(ctx context.Context, from, to string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	src, err := os.Lstat(from)
	if err != nil {
		return err
	}
	dst, err := os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case src.IsDir() && dst.IsDir():
		return mergeDir(ctx, from, to)
	case src.IsDir():
		if err := os.Remove(to); err != nil {
			return err
		}
	case dst.IsDir():
		if err := os.Remove(to); err != nil { // as rsync: an empty one gives way
			return fmt.Errorf("%s is a directory now, and was none in the backup; move it away: %w", to, err)
		}
	}
	err = os.Rename(from, to)
	if errors.Is(err, unix.EXDEV) { // something is mounted there
		return copyOver(ctx, from, to)
	}
	return err
}

func mergeDir(ctx context.Context, from, to string) error {
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := merge(ctx, filepath.Join(from, d.Name()), filepath.Join(to, d.Name())); err != nil {
			return err
		}
	}
	return snapshot.Stamp(from, to, true, true, snapshot.Inode)
}

// copyOver copies to another file system.
func copyOver(ctx context.Context, from, to string) error {
	o := rsync.Options{Sources: []string{from}, Dest: filepath.Dir(to) + "/", HardLinks: true, ACLs: true, XAttrs: true}
	_, err := rsync.Run(ctx, o, rsync.Hooks{})
	return err
}
