// Package snapshot makes the next hard-linked snapshot of trees on one machine:
// it walks the source and the last complete backup side by side, links into
// the new target what is equal in every attribute, and names the rest for
// rsync, which copies it. It never opens a file, never writes to one, never
// changes the source or a base, and when it is not sure that two entries are
// equal it does not link them. It imports nothing of this module.
//
// What is equal is decided as rsync's quick check does (type, size and mtime,
// here to the nanosecond), and beside that by owner, group, mode, device
// number, link target, and the preserved ACLs and extended attributes.
// Contents that changed without a change of size and mtime are not seen.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Source is one include: a file or directory and its place in the snapshot.
type Source struct {
	Path string // absolute; symbolic links above its last element are followed
	Name string // its path inside the snapshot: the last elements of Path, or "." for the contents of a directory
}

// Options say what Link does. Path names are those of the running machine.
type Options struct {
	Sources []Source
	// Bases are earlier snapshots, best first, at least one. They must not
	// change while Link runs. An interrupted one will do too, if what stands
	// in it under a final name is complete (rsync renames when it is).
	Bases []string
	// BaseTimes, if given, says for each base when its copying began. A file
	// whose mtime is not clearly before that moment (10 ms; 2 s where the
	// mtime has no fraction, as on a file system that keeps none) may have
	// been changed again within the same tick of the clock after it was
	// copied, and is left to rsync. The zero time stands for "not known".
	BaseTimes []time.Time
	// Target is an existing directory on the file system of the bases, without
	// anything in it that Link would make: that is an error, so that rsync can
	// never meet a link of an earlier call. To go on with an interrupted
	// snapshot, make a new one and give the interrupted one as a second base.
	Target  string
	Workers int // directories at work at once; 0: as many as processors, at most 4

	Stored    Stored // how the bases keep what an entry is, and the target is to
	HardLinks bool   // keep files of several names together, and only those
	ACLs      bool   // compare and set POSIX ACLs
	XAttrs    bool   // compare and set the other extended attributes (not root: user.* only)

	// Damaged are files of the bases whose content is known to be wrong: by the
	// number of each inode when it was born, in nanoseconds of UNIX time. They are
	// equal to nothing.
	Damaged map[uint64]int64

	// Bare, if not nil, remembers which files of the sources had no attributes.
	Bare *Bare

	// Skip leaves out an entry, and what is below it. The path is
	// Source.Path or below it. It may be called from several goroutines at once.
	Skip func(path string) bool
	// Names, if not nil, holds the names that belong to the snapshot, as rsync
	// with its filters tells them: each ends in NUL, a directory in "/" and
	// NUL, parents first. Nothing else is looked at, and all directories are
	// left to rsync. A Read that waits is not ended by ctx: end the writer.
	Names io.Reader
	// Rest receives the entries for rsync, each ended by NUL, for
	// rsync -aHAX --numeric-ids --files-from=REST --from0 / TARGET/
	// --modify-window=-1 belongs to it: without, rsync takes two times within
	// one second for equal and leaves its own. So does --ignore-missing-args:
	// without, an entry that vanishes before rsync comes to it is exit 23. Not
	// -r, nor --link-dest. Directories are among the entries that rsync has to
	// finish. The order is not fixed.
	Rest io.Writer
	// Progress is told now and then how many entries have been dealt with,
	// never from two goroutines at once.
	Progress func(done int64)
}

// Result is what Link has done. Entries are names that are not directories.
type Result struct {
	Files    int64 // entries seen
	Linked   int64 // entries linked to a base
	Rest     int64 // entries handed to rsync
	Dirs     int64 // directories seen, Source.Path included
	RestDirs int64 // directories handed to rsync; 0 with Rest 0: rsync has nothing to do

	// Bytes is the size of regular files and symbolic links seen, each name
	// counted: the "Total file size" of rsync --stats. LinkedBytes is the
	// part of it that was linked.
	Bytes, LinkedBytes int64

	Vanished      int64    // entries that went away while the walk was under way
	VanishedPaths []string // some of them
}

// add sums up what the workers have counted.
func (r *Result) add(o *Result) {
	r.Files += o.Files
	r.Linked += o.Linked
	r.Rest += o.Rest
	r.Dirs += o.Dirs
	r.RestDirs += o.RestDirs
	r.Bytes += o.Bytes
	r.LinkedBytes += o.LinkedBytes
}

// Link builds the snapshot in opt.Target. When it returns, each entry of the
// sources is linked into the target, or named in opt.Rest, or has vanished. A
// directory without anything for rsync in or below it is finished, with
// owner, mode, ACL, attributes and times; the others are named in opt.Rest.
// Target itself is not touched, unless a Source has the Name ".": it then
// gets that directory's attributes (without Names), and Stamp puts them right
// after rsync has run, which cannot be told of it.
//
// Directories that could not be read are an error that names the first ones;
// the walk goes on, so that the target and the result hold everything else.
// Any other error (a full disk, a source that does not exist, the cause of a
// cancelled ctx) ends it, and the target is of no use but as a base.
func Link(ctx context.Context, opt Options) (Result, error) {
	r, err := open(ctx, opt)
	if err != nil {
		return Result{}, fmt.Errorf("snapshot: %w", err)
	}
	defer r.close()
	if opt.Names == nil {
		r.walk()
	} else {
		r.filter()
	}
	if err := r.finish(); err != nil {
		return r.result, fmt.Errorf("snapshot: %w", err)
	}
	return r.result, nil
}

var (
	errMoved  = errors.New("the directory was moved while it was read")
	errInside = errors.New("the target is inside the source; leave it out")
)
