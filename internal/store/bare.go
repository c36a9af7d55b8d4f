package store

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"b1000/internal/report"
	"b1000/internal/snapshot"
)

// bare is the memory of the files of a job that had no attributes, nil where none
// is kept or wanted: what it costs to be without is time.
func (s *Settings) bare(m *report.Manifest, t Tree) *snapshot.Bare {
	dir := s.KnownDir
	if dir == "" || !t.ACLs && !t.XAttrs || os.MkdirAll(dir, 0o700) != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(s.Name + "\n" + m.Job + "\n" + m.Instance))
	k, err := snapshot.OpenBare(filepath.Join(dir, m.Job+"-"+hex.EncodeToString(sum[:6])), t.ACLs, t.XAttrs)
	if err != nil {
		return nil
	}
	return k
}

// learn fills the memory while rsync copies everything. The returned function
// ends that.
func (b *localBackup) learn(t Tree) (stop func()) {
	// What is excluded may be another machine's, or endless.
	if len(t.Exclude) > 0 || len(t.ExcludeRegex) > 0 || len(t.Without) > 0 || t.OneFS {
		return func() {}
	}
	k := b.store.bare(&b.target.Manifest, t)
	if k == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan error)
	go func() {
		k.Learn(snapshotSources(t), t.ACLs, t.XAttrs, quit)
		ended <- k.Save()
	}()
	return func() {
		close(quit)
		<-ended
	}
}
