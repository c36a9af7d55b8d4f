package storage

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"b1000/internal/store"
)

// changed is when something was last done to a backup that is not complete: by
// the time that the system keeps for itself, which no client can set, of its
// directory and of its manifest.
func changed(root string, e store.Entry) (latest time.Time, err error) {
	dir := filepath.Join(root, e.Dir)
	for _, p := range []string{dir, filepath.Join(filepath.Dir(dir), "."+e.Base+".json")} {
		at, err := changedAt(p)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		if at.After(latest) {
			latest = at
		}
	}
	if latest.IsZero() {
		return latest, os.ErrNotExist
	}
	return latest, nil
}

// changedAt is the time of one file that the system keeps for itself.
func changedAt(p string) (time.Time, error) {
	info, err := os.Lstat(p)
	if err != nil {
		return time.Time{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, errors.New(p + ": its time is not known")
	}
	return time.Unix(st.Ctim.Unix()), nil
}
