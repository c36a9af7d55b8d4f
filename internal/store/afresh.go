package store

import (
	"context"
	"fmt"
	"slices"

	"b1000/internal/rsync"
)

// RestoreAfresh is Store.Restore, but for files that are there already with the
// size and time of the backup's: those are copied again too. Who restores over
// files in use does not trust what they hold.
func RestoreAfresh(ctx context.Context, s Store, e Entry, r Restore) (rsync.Result, error) {
	from, ok := s.(interface{ source() source })
	if !ok {
		return rsync.Result{}, fmt.Errorf("%s: this kind of destination cannot be restored from over files in use; restore to another directory", e.Location)
	}
	src := from.source()
	src.base.Extra = append(slices.Clone(src.base.Extra), "--ignore-times")
	return restore(ctx, src, e, r)
}
