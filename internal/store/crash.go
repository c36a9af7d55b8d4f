package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"b1000/internal/report"
)

// A power loss takes what was written in the last second or so. A file that was new
// is too short then, and is sent again. But one that began as a copy of its older
// content has had its size all the time, and may have got its name and time before
// what was written to it had reached the disk: it looks whole, and is not. So the
// manifest of an unfinished backup says in which boot it was begun, until what is
// there of it is known to be on the disk.

// bootOf is the boot in which what there is of a backup was written: this one, or an
// earlier one in which the machine went down before it was on the disk. That remains
// so, whatever is added, until it is committed.
func bootOf(list []Entry, t Target) string {
	for _, e := range list {
		if t.full() && e.State == report.Incomplete && e.ID == t.Manifest.ID && e.Manifest != nil && e.Manifest.Boot != "" {
			return e.Manifest.Boot
		}
	}
	return thisBoot()
}

// thisBoot tells this boot of this machine from every other.
func thisBoot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

// Unsure reports whether the machine went down meanwhile. What has no older content
// is what it looks like all the same.
func (b *localBackup) Unsure() bool {
	return b.target.full() && b.boot != thisBoot() && (b.last != nil || len(b.left) > 0 || len(b.aside) > 0 || b.grown)
}

// inherit takes over what is not known of an unfinished backup with its tree.
func (b *localBackup) inherit(e Entry) error {
	now := thisBoot()
	if e.Manifest == nil || e.Manifest.Boot == "" || e.Manifest.Boot == now || b.boot != now {
		return nil
	}
	b.boot = e.Manifest.Boot
	return b.writeManifest(planned(b.target.Manifest, b.old))
}

// settled says in the manifest that all that there is has reached the disk, if it
// has.
func (b *localBackup) settled() error {
	if !b.target.full() || b.boot != thisBoot() {
		return nil
	}
	name := filepath.Join(b.folder, manifestName(b.target.Base))
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if m, err := report.ParseManifest(text); err != nil || m.State == report.Complete || m.ID != b.target.Manifest.ID { // see joined
		return err
	}
	b.boot = ""
	return b.writeManifest(planned(b.target.Manifest, b.old))
}
