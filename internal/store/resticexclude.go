package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// leftOut are restic's options for what does not belong to a backup.
type leftOut struct {
	args []string
	file string
}

func (l *leftOut) close() {
	if l.file != "" {
		os.Remove(l.file)
	}
}

// mostLeftOut bounds the list: restic compares each file with each line of it.
const mostLeftOut = 20000

// leaveOut finds out what exclude and exclude_regex leave out. restic's patterns
// mean other things than rsync's, and it knows no regular expressions: rsync
// lists what belongs to the backup, and what it does not name is left out by
// name, a directory once for all that is in it.
func (s *resticStore) leaveOut(ctx context.Context, t Tree) (out *leftOut, err error) {
	out = &leftOut{}
	names := slices.Clone(t.Without)
	if dir := RepositoryDir(s.Repository); dir != "" { // a backup never holds the place that it is written to
		names = append(names, dir)
	}
	if len(t.Exclude) > 0 || len(t.ExcludeRegex) > 0 {
		more, err := t.absent(ctx)
		if err != nil {
			return out, err
		}
		names = append(names, more...)
	}
	var lines bytes.Buffer
	for _, name := range names {
		if strings.ContainsAny(name, "\r\n") { // no line of a file
			out.args = append(out.args, "--exclude", exactly(name))
			continue
		}
		line := strings.ReplaceAll(exactly(name), "$", "$$")
		if trimmed := strings.TrimRight(line, " \t"); trimmed != line { // restic would trim it
			line = line[:len(line)-1] + "[" + line[len(line)-1:] + "]"
		}
		lines.WriteString(line + "\n")
	}
	if lines.Len() == 0 {
		return out, nil
	}
	f, err := os.CreateTemp(s.TempDir, "b1000-exclude-")
	if err != nil {
		return out, err
	}
	out.file = f.Name()
	out.args = append(out.args, "--exclude-file", f.Name())
	_, err = f.Write(lines.Bytes())
	return out, errors.Join(err, f.Close())
}

// exactly is a pattern of restic's (Go's filepath.Match, part by part) for one
// path. "**" in it would match any number of parts, so each star is escaped.
func exactly(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// absent are the paths below the sources that do not belong to the backup, the
// topmost ones only.
func (t Tree) absent(ctx context.Context) ([]string, error) {
	seed := maphash.MakeSeed()
	belongs := map[uint64]struct{}{}
	names, wait := filtered(ctx, t)
	s := bufio.NewScanner(names)
	s.Split(splitNUL)
	for s.Scan() {
		belongs[maphash.String(seed, t.original(strings.Trim(s.Text(), "/\x00")))] = struct{}{}
	}
	if err := errors.Join(s.Err(), wait()); err != nil {
		return nil, err
	}
	var gone []string
	for _, source := range t.Sources {
		err := filepath.WalkDir(source, func(p string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, fs.ErrNotExist):
				return nil // vanished; restic tells of it, if it is not too late
			case err != nil:
				return nil // restic comes to it as well
			}
			if _, ok := belongs[maphash.String(seed, p)]; ok || p == "/" {
				if t.OneFS && d.IsDir() && other(source, p) {
					return fs.SkipDir
				}
				return nil
			}
			if gone = append(gone, p); len(gone) > mostLeftOut {
				return fmt.Errorf("exclude leaves out more than %d files and directories one by one; leave out whole directories for restic", mostLeftOut)
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// other reports whether a directory is on another file system than the source.
func other(source, dir string) bool {
	var a, b syscall.Stat_t
	return syscall.Lstat(source, &a) == nil && syscall.Lstat(dir, &b) == nil && a.Dev != b.Dev
}
