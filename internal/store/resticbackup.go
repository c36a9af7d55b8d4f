package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"b1000/internal/report"
	"b1000/internal/restic"
	"b1000/internal/rsync"
)

// resticBackup is a backup that is on its way into a repository. Its snapshots
// are no backup until Commit adds that of the manifest.
type resticBackup struct {
	store  *resticStore
	target Target
	parent string   // snapshot that tells restic which files have not changed
	before []string // snapshots that this backup, when it is complete, makes superfluous

	mu     sync.Mutex
	kept   kept     // what there is of it
	failed []string // snapshots of attempts that are no part of it
}

// saving are the options of every snapshot of this backup.
func (b *resticBackup) saving(part string, more ...string) []string {
	m := &b.target.Manifest
	tags := append([]string{
		tagJob + m.Job + "/" + m.Instance, tagID + m.ID, tagPlace + path.Join(b.target.Day, b.target.Base), tagPart + part,
	}, more...)
	a := []string{"backup", "--host", m.Host, "--time", m.Start.Local().Format("2006-01-02 15:04:05")}
	for _, t := range tags {
		a = append(a, "--tag", t)
	}
	return a
}

// Tree saves the sources under their whole paths, as is restic's way. What is
// called otherwise in other stores is translated when it is read (see renames).
func (b *resticBackup) Tree(ctx context.Context, t Tree) (Result, error) {
	if len(t.Fetch) > 0 {
		return Result{}, errFetch
	}
	for _, s := range t.Sources { // restic would say so at the end, and keep the rest
		if _, err := os.Lstat(s); err != nil {
			return Result{}, err
		}
	}
	out, err := b.store.leaveOut(ctx, t)
	if err != nil {
		return Result{}, err
	}
	defer out.close()
	repo, err := b.limited(t.BWLimit)
	if err != nil {
		return Result{}, err
	}
	part := partTree
	if t.Relative {
		part = partRelative
	}
	c := restic.Call{Args: append(b.saving(part), out.args...), Nice: t.Nice, Stall: patience(t.Stall)}
	if t.OneFS {
		c.Args = append(c.Args, "--one-file-system")
	}
	if b.parent != "" {
		c.Args = append(c.Args, "--parent", b.parent)
	}
	sources := slices.DeleteFunc(slices.Clone(t.Sources), func(s string) bool { return slices.Contains(t.Without, s) })
	if len(sources) == 0 { // all of them are stored as streams
		return Result{}, nil
	}
	c.Args = append(append(c.Args, "--"), sources...)
	if t.Hooks.Progress != nil {
		c.Progress = func(s restic.Status) { t.Hooks.Progress(progressFrom(s)) }
	}
	sum, err := repo.Run(ctx, c)
	res := Result{Files: sum.Files, Bytes: sum.Bytes, Sent: sum.Added}
	if err := b.judge(sum, err, &res); err != nil {
		b.drop(sum.Snapshot)
		return res, err
	}
	if res.Files, err = b.count(ctx, sum); err == nil {
		err = t.checkCount(res.Files)
	}
	if err != nil {
		b.drop(sum.Snapshot)
		return res, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept.Tree != "" {
		b.failed = append(b.failed, b.kept.Tree)
	}
	b.kept.Tree, b.kept.Sources, b.kept.Relative = sum.Snapshot, t.Sources, t.Relative
	return res, nil
}

// judge decides whether a snapshot is a good one. That files were gone when
// restic came to them is no fault of it.
func (b *resticBackup) judge(sum restic.Summary, err error, res *Result) error {
	var e *restic.Error
	if errors.As(err, &e) && e.Unreadable() && sum.Snapshot != "" {
		if gone, all := restic.Vanished(sum.Failures); all {
			res.Warnings = append(res.Warnings, vanished(gone[:min(5, len(gone))], int64(len(gone))))
			return nil
		}
	}
	if err == nil && sum.Snapshot == "" {
		return errors.New("restic: made no snapshot and did not say why")
	}
	return err
}

// drop notes a snapshot that is no part of this backup.
func (b *resticBackup) drop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id != "" {
		b.failed = append(b.failed, id)
	}
}

// count is how many entries a snapshot has that are no directories: restic's
// summary has regular files only.
func (b *resticBackup) count(ctx context.Context, sum restic.Summary) (int64, error) {
	var stats struct {
		Entries int64 `json:"total_file_count"`
	}
	err := b.store.repo.Query(ctx, &stats, "stats", "--mode", "restore-size", sum.Snapshot)
	return stats.Entries - sum.Dirs, err
}

// limited is the repository with the job's limit, where the destination has none.
func (b *resticBackup) limited(limit string) (restic.Repository, error) {
	repo := b.store.repo
	if repo.UploadLimit > 0 || limit == "" {
		return repo, nil
	}
	n, err := uploadLimit(limit)
	repo.UploadLimit = n
	return repo, err
}

// patience is the limit of a call that has a lock to wait for.
func patience(stall time.Duration) time.Duration {
	if stall == 0 {
		return longStall
	}
	return stall
}

func progressFrom(s restic.Status) rsync.Progress {
	p := rsync.Progress{Done: s.BytesDone, Total: s.BytesTotal, Percent: -1, Files: s.FilesDone}
	if s.BytesTotal > 0 {
		p.Percent = int(min(99, 100*s.BytesDone/s.BytesTotal))
	}
	return p
}

// Commit makes the backup exist, by the snapshot of its manifest. What it makes
// superfluous goes, where that is allowed.
func (b *resticBackup) Commit(ctx context.Context, m report.Manifest) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.State = report.Complete
	k := b.kept
	k.Manifest = m
	tags, err := k.pack()
	if err != nil {
		return "", err
	}
	id, err := b.saveManifest(ctx, m, tags)
	if err != nil {
		return "", err
	}
	doomed := slices.Clone(b.before)
	for _, id := range b.failed {
		if !slices.Contains(doomed, id) {
			doomed = append(doomed, id)
		}
	}
	if len(doomed) > 0 { // what cannot be removed stays listed as incomplete
		_ = b.store.forget(context.WithoutCancel(ctx), doomed)
	}
	return b.store.location(id), nil
}

func (b *resticBackup) saveManifest(ctx context.Context, m report.Manifest, tags []string) (string, error) {
	f, err := os.CreateTemp(b.store.TempDir, "b1000-manifest-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(m.Encode()); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	name := "/b1000-" + strings.Trim(m.Job+"-"+m.Instance, "-") + ".json"
	args := append(b.saving(partManifest, tags...), "--stdin-filename", name, "--stdin-from-command", "--", "sh", "-c", "cat <&3")
	sum, err := b.store.repo.Run(ctx, restic.Call{Args: args, Files: []*os.File{f}, Stall: longStall})
	if err == nil && sum.Snapshot == "" {
		err = errors.New("restic: made no snapshot of the manifest")
	}
	return sum.Snapshot, err
}

func (b *resticBackup) Close() error { return nil }
