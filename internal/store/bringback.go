package store

import (
	"context"
	"fmt"
	"slices"

	"b1000/internal/rsync"
)

// Return is a Restore that somebody waits for.
type Return struct {
	Restore
	// Afresh copies files too that are there already with the size and time of
	// the backup's: who restores over files in use does not trust what they hold.
	Afresh bool
}

// BringBack is Store.Restore for a Return.
func BringBack(ctx context.Context, s Store, e Entry, r Return) (rsync.Result, error) {
	from, ok := s.(interface{ source() source })
	if !ok && r.Afresh {
		return rsync.Result{}, fmt.Errorf("%s: this kind of destination cannot be restored from over files in use; restore to another directory", e.Location)
	}
	if !ok {
		return s.Restore(ctx, e, r.Restore)
	}
	src := from.source()
	src.base.Extra = slices.Clone(src.base.Extra)
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
