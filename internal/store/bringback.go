package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"b1000/internal/rsync"
)

// Return is a Restore that somebody waits for.
type Return struct {
	Restore
	// Afresh copies files too that are there already with the size and time of
	// the backup's: who restores over files in use does not trust what they hold.
	Afresh bool
}

// BringBack is Store.Restore for a Return. It never deletes anything: an
// rsync_options = --delete is meant for the destination, not for what somebody
// has where he restores to.
func BringBack(ctx context.Context, s Store, e Entry, r Return) (rsync.Result, error) {
	from, ok := s.(interface{ source() source })
	if !ok && r.Afresh {
		return rsync.Result{}, fmt.Errorf("%s: this kind of destination cannot be restored from over files in use; restore to another directory", e.Location)
	}
	if !ok {
		return s.Restore(ctx, e, r.Restore)
	}
	done, err := reading(s, e)
	if err != nil {
		return rsync.Result{}, err
	}
	defer done()
	src := from.source()
	src.base.Extra = slices.DeleteFunc(slices.Clone(src.base.Extra), deletes)
	if r.Afresh {
		src.base.Extra = append(src.base.Extra, "--ignore-times")
	}
	if r.Hooks.Progress != nil && src.base.Remote {
		// An rsync that receives does so in a process of its own, which no signal
		// asks how far it is: it has to tell by itself.
		src.base.Extra = append(src.base.Extra, "--info=progress2")
	}
	return restore(ctx, src, e, r.Restore)
}

// reading keeps a full backup in a local directory from being deleted while
// somebody restores it, by a shared lock in the way of Delete's. Where there can
// be no lock it does without. A sync backup is not locked: the next run would
// fail.
func reading(s Store, e Entry) (done func(), err error) {
	nothing := func() {}
	l, ok := s.(*local)
	if !ok || e.Day == "" {
		return nothing, nil
	}
	f, err := os.Open(l.abs(e.Dir))
	if err != nil {
		return nothing, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nothing, fmt.Errorf("%s is being written or deleted right now", e.Location)
	}
	return func() { f.Close() }, nil
}

// deletes reports whether an option of rsync lets it remove what the other side
// does not have: rsync(1), --delete, --force.
func deletes(option string) bool {
	name, _, _ := strings.Cut(option, "=")
	return strings.HasPrefix(name, "--del") || name == "--force"
}
