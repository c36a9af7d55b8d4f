package snapshot

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// AcceptOptions say what Accept does. Path names are those of the running machine.
type AcceptOptions struct {
	Bases     []string    // as in Options
	BaseTimes []time.Time // as in Options
	// Target is an existing, empty directory on the file system of the bases.
	// Nobody else may write to it or below it, now or later, but Merge: what is
	// in it belongs to the bases too.
	Target string
	// Copied says that Target is not empty but a copy of the last backup that can
	// be written to, as a file system's snapshot is, and the first of the bases:
	// BaseTimes begins with its time. What is equal stays there, all else is
	// removed, but for what is called Leave at its top. Of the other bases seeds
	// are made.
	Copied bool
	Leave  string
	// Done, if not nil, is called when everything is done, before the other side is
	// told so. Its error is Accept's.
	Done   func() error
	Stored Stored
	Seeds  Seeds
	// Unsure says that the machine went down while bases that are no backups (see
	// Seeds.Own), or Target, were filled: a file there that had a seed may look
	// like what it is to become, and still hold something else.
	Unsure  bool
	Damaged map[uint64]int64 // as in Options
	Workers int              // 0: 4
}

// Accepted is what Accept has done. Entries are names that are not directories.
type Accepted struct {
	Linked int64 // entries linked to a base
	Wanted int64 // entries that were asked for
}

// Accept is the half of Link that runs where the bases and the target are. It
// reads from conn what Offer says, makes the directories in the target, links
// what is equal in every attribute, and asks for the rest.
//
// What arrives is believed for the new snapshot only: whatever the other side
// says, nothing but directories and links of the bases' entries of the same path
// come into being, all of them below Target, and no link is followed on the way.
// How much memory that takes does not depend on how much is offered, but for a
// bit for each linked file, and in a copied target a number for each name of a
// file with several. Where owners are inodes' it needs root.
//
// Accept sets no time limits: who owns conn does.
func Accept(ctx context.Context, opt AcceptOptions, conn io.ReadWriter) (Accepted, error) {
	a := &acceptor{frames: newFrames(conn), seed: maphash.MakeSeed()}
	err := a.open(ctx, opt)
	if err == nil {
		defer a.close()
		defer a.seeds.close()
		defer context.AfterFunc(ctx, func() { a.fail(context.Cause(ctx)); a.refuse(context.Cause(ctx)) })()
		err = a.serve()
	}
	if err != nil {
		a.refuse(err)
		_, _ = io.CopyN(io.Discard, conn, unread)
		return Accepted{}, fmt.Errorf("snapshot: %w", err)
	}
	return a.sum, nil
}

// unread is how much more is taken from a side that is told of a failure: a
// connection that is closed with something unread may lose what was said last.
const unread = 16 << 20

// refuse says why nothing comes of it, once.
func (a *acceptor) refuse(why error) {
	a.refused.Do(func() {
		text := []byte(why.Error())
		_ = errors.Join(a.frames.send(frameFailed, text[:min(len(text), 1000)]), a.frames.flush())
	})
}

// acceptor is one call of Accept.
type acceptor struct {
	*run
	frames *frames
	same   bool // both sides are one machine
	stay   staying
	done   func() error
	sum    Accepted
	sumMu  sync.Mutex
	seed   maphash.Seed
	seeds  seeder
	places [64]sync.Mutex // by a directory's path: who makes links in it keeps its times right
	queues []chan []byte
	free   chan []byte
	busy   sync.WaitGroup
	queued atomic.Int64 // frames that are not done

	refused sync.Once
}

// open checks the options and opens the trees.
func (a *acceptor) open(ctx context.Context, opt AcceptOptions) error {
	if opt.Workers <= 0 {
		opt.Workers = 4
	}
	a.stay.leave, a.done = opt.Leave, opt.Done
	if opt.Copied {
		opt.Bases = append([]string{opt.Target}, opt.Bases...)
	}
	r := &run{ctx: ctx, target: -1, copied: opt.Copied, root: unix.Geteuid() == 0, opt: Options{
		Bases: opt.Bases, BaseTimes: opt.BaseTimes, Target: opt.Target, Stored: opt.Stored, Damaged: opt.Damaged, Workers: opt.Workers,
	}}
	if opt.Unsure {
		r.unsure = unsure{from: opt.Seeds.Own, least: uint64(opt.Seeds.Least)}
		if opt.Copied {
			r.unsure.from = 0
		}
	}
	if !r.root && opt.Stored == Inode {
		return errors.New("only root can link on behalf of another machine")
	}
	if len(opt.Bases) == 0 || len(opt.BaseTimes) != 0 && len(opt.BaseTimes) != len(opt.Bases) {
		return errors.New("bases are needed, and times for all or none of them")
	}
	err := r.openTrees()
	if err == nil && !opt.Copied {
		if err = mustBeEmpty(r.target); err != nil {
			err = fmt.Errorf("target %s: %w", opt.Target, err)
		}
	}
	if err == nil {
		err = a.seeds.open(opt.Seeds)
	}
	if err != nil {
		r.close()
	}
	a.run = r
	return err
}

// mustBeEmpty is an error for a directory with something in it.
func mustBeEmpty(fd int) error {
	buf := make([]byte, 4<<10)
	n, err := readDir(fd, buf)
	for buf = buf[:max(n, 0)]; len(buf) > 0; {
		var name []byte
		if name, _, buf = nextEntry(buf); !isDots(name) {
			return unix.ENOTEMPTY
		}
	}
	return err
}
