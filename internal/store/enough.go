package store

import (
	"bufio"
	"context"
	"slices"
	"strings"
)

// enough counts what would be copied, before anything is, where rsync is told to
// delete: a source that has gone must not empty its copy.
func (t Tree) enough(ctx context.Context, options []string) error {
	deletes := slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "--del") })
	if !deletes || t.MinFiles <= 0 {
		return nil
	}
	names, wait := filtered(ctx, t)
	s := bufio.NewScanner(names)
	s.Split(splitNUL)
	var files int64
	for files < t.MinFiles && s.Scan() {
		if !strings.HasSuffix(s.Text(), "/") {
			files++
		}
	}
	if err := wait(); err != nil && files < t.MinFiles {
		return err
	}
	return t.checkCount(files)
}
