package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"b1000/internal/report"
	"b1000/internal/restic"
)

// resticStore keeps backups in a restic repository. One backup is several
// snapshots there: its tree, each of its streams, and last its manifest, which
// makes it exist (see kept).
type resticStore struct {
	Settings
	repo restic.Repository

	mu    sync.Mutex
	known bool // restic is there and not too old
}

// openRestic returns the store behind a repository.
func openRestic(s Settings) (Store, error) {
	about := func(err error) error { return fmt.Errorf("destination %q: %w", s.Name, err) }
	limit, err := uploadLimit(s.BWLimit)
	if err != nil {
		return nil, about(err)
	}
	compression, err := resticCompression(s.Compress)
	if err != nil {
		return nil, about(err)
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		return nil, about(errors.New("tls_cert and tls_key belong together; set both"))
	}
	return &resticStore{Settings: s, repo: restic.Repository{
		Location: s.Repository, PasswordFile: s.PasswordFile, Password: s.Password, EnvironmentFile: s.EnvironmentFile,
		Cert: s.TLS.Cert, Key: s.TLS.Key, CA: s.TLS.CA, UploadLimit: limit, Compression: compression,
	}}, nil
}

// resticCompression is --compression for our option compress.
func resticCompression(compress string) (string, error) {
	switch compress {
	case "":
		return "", nil
	case "no":
		return "off", nil
	case "yes", "zstd", "auto":
		return "auto", nil
	case "max":
		return "max", nil
	}
	return "", fmt.Errorf("compress = %s is not for restic; write auto, max or no", compress)
}

var rate = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?)([a-z]?)`)

// uploadLimit is bwlimit (rsync(1), --bwlimit) in KiB per second, 0 for none.
func uploadLimit(limit string) (int, error) {
	if limit == "" {
		return 0, nil
	}
	m := rate.FindStringSubmatch(limit)
	if m == nil {
		return 0, fmt.Errorf("bwlimit = %s is not a rate", limit)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, fmt.Errorf("bwlimit = %s is not a rate", limit)
	}
	switch strings.ToLower(m[2]) {
	case "b":
		n /= 1024
	case "m":
		n *= 1024
	case "g":
		n *= 1024 * 1024
	}
	if n > 0 && n < 1 {
		n = 1
	}
	return int(n), nil
}

// ready finds out, once, whether restic can be used, and each time whether the
// other end of a TLS connection is: restic would try for a quarter of an hour.
func (s *resticStore) ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		if _, err := restic.Version(ctx); err != nil {
			return err
		}
		s.known = true
	}
	return s.reach(ctx)
}

// snapshots are all of the repository, ours or not.
func (s *resticStore) snapshots(ctx context.Context) (list []snapshotOf, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	return list, s.repo.Query(ctx, &list, "snapshots")
}

func (s *resticStore) List(ctx context.Context, job string) ([]Entry, error) {
	all, err := s.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	list := entriesOf(all, s.location)
	if job != "" {
		list = slices.DeleteFunc(list, func(e Entry) bool { return e.Job != job })
	}
	return list, nil
}

// location names a snapshot for people.
func (s *resticStore) location(id string) string { return s.Repository + "#" + id[:min(8, len(id))] }

func (s *resticStore) Begin(ctx context.Context, t Target) (Backup, error) {
	list, err := s.List(ctx, t.Job)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(committed(list, &t.Manifest), foreign(list, t)); err != nil {
		return nil, err
	}
	if t.Base, err = freeBase(list, t, attempt); err != nil {
		return nil, err
	}
	b := &resticBackup{store: s, target: t, kept: kept{Day: t.Day, Base: t.Base}}
	if last := lastOf(list, &t.Manifest); last != nil && t.HardLink {
		b.parent = last.restic.kept.Tree
	}
	for _, e := range list {
		if e.Manifest == nil || KeyOf(e.Manifest) != KeyOf(&t.Manifest) {
			continue
		}
		if e.State == report.Incomplete || !t.full() && e.Day == "" {
			b.before = append(b.before, e.restic.all...)
		}
		b.before = append(b.before, e.restic.loose...)
	}
	return b, nil
}

// lastOf is the newest complete backup of a series, full or sync.
func lastOf(list []Entry, m *report.Manifest) *Entry {
	var best *Entry
	for i := range list {
		if e := &list[i]; e.State == report.Complete && KeyOf(e.Manifest) == KeyOf(m) && (best == nil || !e.Manifest.End.Before(best.Manifest.End)) {
			best = e
		}
	}
	return best
}

// Delete forgets the snapshots of a backup. What they held stays in the
// repository until Sweep.
func (s *resticStore) Delete(ctx context.Context, e Entry) error {
	if err := deletable(e); err != nil {
		return err
	}
	if e.restic == nil || len(e.restic.all) == 0 {
		return fmt.Errorf("%s is not a backup that can be identified; it stays", e.Location)
	}
	return s.forget(ctx, append(slices.Clone(e.restic.all), e.restic.loose...))
}

// forget removes snapshots, named by their whole ids. An id that is not there
// any more is none to complain of.
func (s *resticStore) forget(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if !snapshotID.MatchString(id) {
			return fmt.Errorf("restic: %q is not the id of a snapshot; nothing was deleted", id)
		}
	}
	if len(ids) == 0 { // restic#3708: a forget without ids is one by rules
		return errors.New("restic: no snapshot was named; nothing was deleted")
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	_, err := s.repo.Run(ctx, restic.Call{Args: append([]string{"forget"}, ids...), Stall: longStall})
	if err != nil && strings.Contains(err.Error(), "403 Forbidden") {
		return fmt.Errorf("the server lets this host delete nothing in its repository, which it only appends to (a storage server: unless the client's file there says restic = full): %w", err)
	}
	if err != nil {
		return err
	}
	// restic 0.19.1 ignores ids that it cannot load, for whatever reason, with exit 0.
	left, err := s.snapshots(ctx)
	if err != nil {
		return fmt.Errorf("whether they are gone could not be found out: %w", err)
	}
	for _, sn := range left {
		if slices.Contains(ids, sn.ID) {
			return fmt.Errorf("restic: snapshot %s is still there", sn.ID[:8])
		}
	}
	return nil
}

// longStall is how long restic may get no further in a call that has a lock to
// wait for, or much to think about.
const longStall = 30 * time.Minute

var snapshotID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Sweep gives back the space of what was deleted.
func (s *resticStore) Sweep(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	_, err := s.repo.Run(ctx, restic.Call{Args: []string{"prune"}, Stall: longStall})
	return err
}

// Probe opens the repository with a lock, which is a file that is written and
// deleted again.
func (s *resticStore) Probe(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	_, err := s.repo.Run(ctx, restic.Call{Args: []string{"snapshots", "--latest", "1", "--tag", tagJob + "-"}})
	return err
}

// RepositoryDir is the directory of a restic repository on this machine, "" for
// one elsewhere.
func RepositoryDir(repository string) string {
	dir := strings.TrimPrefix(repository, "local:")
	if filepath.IsAbs(dir) {
		return path.Clean(dir)
	}
	return ""
}
