package store

import (
	"context"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// fakeSuper are the options of rsync by which the end that stores keeps owners,
// modes and devices in attributes.
var fakeSuper = []string{"-M--fake-super", "--remote-option=--fake-super"}

func (s *Settings) faked() bool {
	return slices.ContainsFunc(s.Extra, func(o string) bool { return slices.Contains(fakeSuper, o) })
}

// stored is how a directory of this machine keeps what an entry is.
func (s *local) stored() snapshot.Stored {
	switch {
	case s.faked() && s.Munged:
		return snapshot.Munged
	case s.faked():
		return snapshot.FakeSuper
	}
	return snapshot.Inode
}

// Where owners are kept in attributes, the rsync at the store's end is another
// process than ours, as if it were behind ssh: only then it can be told what ours
// is not to do. An rsync that copies on one machine would do both in one (restore
// by --fake-super to a place that keeps owners), and 3.5.0 with -M reads
// --files-from at both ends, and fails.
const (
	thisHost  = "localhost:"
	thisShell = `--rsh=sh -c 'shift; exec "$@"' sh`
)

// atStore are the options of an rsync whose other end is at the store, and what
// comes before a path there.
func (s *local) atStore() (options []string, before string) {
	if !s.faked() {
		return nil, ""
	}
	options = []string{thisShell, "--secluded-args", "--whole-file", fakeSuper[0]}
	if s.Munged {
		options = append(options, "-M--munge-links")
	}
	return options, thisHost
}

// copyFaked runs rsync, where its other end keeps owners in attributes twice.
// rsync 3.5.0 takes the ACLs of a directory for attributes that the source does
// not have, and removes them, if it sets attributes of what is there already
// (xattrs.c, rsync_xal_set); the next one finds them missing. Where rsync itself
// links to older backups it is let near nothing but directories then.
func copyFaked(ctx context.Context, o rsync.Options, h rsync.Hooks, faked bool) (rsync.Result, error) {
	r, err := rsync.Run(ctx, o, h)
	if err != nil || !faked || !o.ACLs || !o.XAttrs {
		return r, err
	}
	if len(o.LinkDest) > 0 {
		o.Delete, o.Extra = false, append(slices.Clone(o.Extra), "--include=*/", "--exclude=*")
	}
	again, err := rsync.Run(ctx, o, rsync.Hooks{Line: h.Line})
	r.Sent += again.Sent
	r.Literal += again.Literal
	for _, w := range again.Warnings {
		if !slices.Contains(r.Warnings, w) {
			r.Warnings = append(r.Warnings, w)
		}
	}
	for _, v := range again.Vanished {
		if !slices.Contains(r.Vanished, v) {
			r.Vanished = append(r.Vanished, v)
		}
	}
	return r, err
}

// receiving are the further options of an rsync that writes to the store itself.
func (s *local) receiving() []string {
	options := slices.Clone(s.Extra)
	for i, o := range options {
		if slices.Contains(fakeSuper, o) {
			options[i] = "--fake-super"
		}
	}
	return options
}

func (s *local) source() source {
	options, before := s.atStore()
	return source{root: before + s.Path, top: before + s.Path, base: rsync.Options{Extra: options}}
}

// own gives a file that is open what a stream's is to have: on a storage server
// the client may put something else in the place of its name meanwhile. Where
// rsync keeps owners in attributes, this does so as well.
func (s *local) own(f *os.File, of Stream) error {
	mode := of.Mode.Perm()
	switch {
	case s.faked():
		stat := fmt.Sprintf("%o 0,0 %d:%d", unix.S_IFREG|uint32(mode), of.UID, of.GID)
		if err := unix.Fsetxattr(int(f.Fd()), "user.rsync.%stat", []byte(stat), 0); err != nil {
			return fmt.Errorf("owner of %s: %w", of.Name, err)
		}
		mode |= 0o600 // whoever serves it has to read it
	case os.Geteuid() == 0:
		if err := f.Chown(of.UID, of.GID); err != nil {
			return err
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	at := unix.NsecToTimespec(of.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{at, at}, 0)
}
