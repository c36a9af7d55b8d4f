package rsync

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Sum is an entry of Sums.
type Sum struct {
	Name string
	Size int64
	Sum  string // xxh128 in hexadecimal of a regular file's content; "" of all else
}

// Sums lets the other end read each regular file below the sources and tell the
// digest of what it holds; only these cross the network (rsync(1), --checksum and
// %C of log format). Directories are left out. Nothing is copied or changed.
func Sums(ctx context.Context, o Options, each func(Sum)) error {
	o.DryRun, o.Dest = true, "/nonexistent-b1000-sums/"
	o.HardLinks, o.ACLs, o.XAttrs, o.LinkDest, o.Verbosity = false, false, false, nil, 0
	args := append([]string{"--checksum", "--checksum-choice=xxh128", "--out-format=" + itemPrefix + "%i %l %C %n"}, o.args()...)
	var unread error
	err := quiet(ctx, o, args, func(l string) {
		rest, ok := strings.CutPrefix(l, itemPrefix)
		if !ok {
			return
		}
		s, dir, err := parseSum(rest)
		switch {
		case err != nil && unread == nil:
			unread = err
		case err == nil && !dir:
			each(s)
		}
	})
	return errors.Join(err, unread)
}

// parseSum reads ">f+++++++++ 2 5c73…18 d/b"; what is no regular file has blanks
// in place of the digest.
func parseSum(l string) (s Sum, dir bool, err error) {
	change, rest, _ := strings.Cut(l, " ")
	size, rest, _ := strings.Cut(rest, " ")
	if len(change) < 2 || len(rest) < sumWidth+2 || rest[sumWidth] != ' ' {
		return s, false, fmt.Errorf("rsync: tells %q, which cannot be read", l)
	}
	s.Size, err = strconv.ParseInt(size, 10, 64)
	s.Sum, s.Name = strings.TrimSpace(rest[:sumWidth]), DecodeName(rest[sumWidth+1:])
	if change[1] == 'f' && s.Sum == "" {
		err = fmt.Errorf("rsync: tells no digest of %s", s.Name)
	}
	return s, change[1] == 'd', err
}

// sumWidth is the width of an xxh128.
const sumWidth = 32
