package rsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrRefused is the cause of an error of Digest where the daemon does not let
// anyone ask for checksums.
var ErrRefused = errors.New("checksums are not to be had there")

// Digest asks the other side for the MD5 of one stored file, Sources[0], which it
// computes there: that it is in hexadecimal, and the file's size. It takes as
// long as reading the file does, without a sign of life: the caller sets a limit.
func Digest(ctx context.Context, o Options) (md5 string, size int64, err error) {
	o.DryRun, o.Dest, o.Stall = true, "/nonexistent-b1000-digest/", -1
	o.Verbosity, o.Delete, o.LinkDest = 0, false, nil
	args := o.args()
	// rsync(1), --out-format: %C is the checksum of the whole file, known with -c.
	args = append([]string{"-c", "--checksum-choice=md5", "--out-format=" + itemPrefix + "%C %l"}, args...)
	for i, a := range args {
		if a == ioTimeout {
			args[i] = "--timeout=0"
		}
	}
	err = quiet(ctx, o, args, func(l string) {
		if rest, ok := strings.CutPrefix(l, itemPrefix); ok {
			sum, length, _ := strings.Cut(rest, " ")
			md5, size = sum, leadingNumber(length)
		}
	})
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code == exitUnsupported:
		return "", 0, fmt.Errorf("%w: %w", ErrRefused, err)
	case err == nil && len(md5) != 32:
		return "", 0, fmt.Errorf("rsync: told %q for a checksum", md5)
	}
	return md5, size, err
}
