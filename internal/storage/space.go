package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// space is how much the file system below a path holds.
type space struct{ Total, Free int64 }

func spaceOf(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, fmt.Errorf("%s: %w", path, err)
	}
	return space{Total: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize}, nil
}

// tight says why nothing more may be written to the disk; nil where it may.
func (s *Server) tight() error {
	now, err := spaceOf(s.Path)
	if err != nil {
		return err
	}
	if least := s.MinFree.Of(now.Total); now.Free < least {
		return &refusal{status: http.StatusInsufficientStorage,
			text: fmt.Sprintf("the server's disk has %s left, and min_free keeps %s of it free; make room there", sizeText(now.Free), sizeText(least))}
	}
	return nil
}

// overQuota says why a client may not write more; nil where it may.
func (s *Server) overQuota(ctx context.Context, c *client) error {
	if c.quota == 0 {
		return nil
	}
	used, err := s.usage(ctx, c)
	if err != nil {
		return err
	}
	if used <= c.quota {
		return nil
	}
	return exceeded(c, used)
}

func exceeded(c *client, used int64) error {
	return &refusal{status: http.StatusInsufficientStorage,
		text: fmt.Sprintf("client %s has stored %s, and its quota is %s; delete backups, or let the server keep fewer", c.name, sizeText(used), sizeText(c.quota))}
}

// usage is what a client's backups take on the disk, each file once, however many
// backups it is linked to; what is being written counts as well.
func (s *Server) usage(ctx context.Context, c *client) (int64, error) {
	return s.weigh(ctx, c, "")
}

// measured is what a client's backups took at some time.
type measured struct {
	bytes int64
	at    time.Time
}

// measureAgain is how long what was measured is believed; restic asks often.
const measureAgain = time.Minute

// trees is the usage without the client's restic repository, as it was lately.
func (s *Server) trees(ctx context.Context, c *client) (int64, error) {
	s.mu.Lock()
	m, ok := s.measures[c.name]
	s.mu.Unlock()
	if ok && time.Since(m.at) < measureAgain {
		return m.bytes, nil
	}
	n, err := s.weigh(ctx, c, repositoryDir)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measures[c.name] = measured{n, time.Now()}
	return n, nil
}

// weigh sums up what is below a client's root but for the directory except.
func (s *Server) weigh(ctx context.Context, c *client, except string) (int64, error) {
	seen := newSeen(s.root(c))
	var sum int64
	err := filepath.WalkDir(s.root(c), func(p string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return ctx.Err() // what has just vanished takes no space
		}
		if except != "" && d.IsDir() && p == filepath.Join(s.root(c), except) {
			return fs.SkipDir
		}
		var st unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st) == nil && !seen.before(&st) {
			sum += int64(st.Blocks) * 512
		}
		return nil
	})
	return sum, err
}

// seen is what has been met on a walk: inodes with several names, and those in
// subvolumes of Btrfs, which snapshots pass on with number and birth.
type seen struct {
	seed     maphash.Seed
	btrfs    bool
	families map[uint64]unix.StatxTimestamp // of subvolumes, by device: when the first was born that they go back to
	inodes   map[uint64]struct{}            // by hash
}

func newSeen(root string) *seen {
	var at unix.Statfs_t
	btrfs := unix.Statfs(root, &at) == nil && int64(at.Type) == unix.BTRFS_SUPER_MAGIC
	return &seen{maphash.MakeSeed(), btrfs, map[uint64]unix.StatxTimestamp{}, map[uint64]struct{}{}}
}

// firstOfSubvolume is the number of each subvolume's top directory.
const firstOfSubvolume = 256

// before reports whether an inode was met before. A subvolume is met before what is
// in it.
func (s *seen) before(st *unix.Statx_t) bool {
	dev := unix.Mkdev(st.Dev_major, st.Dev_minor)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if s.btrfs && st.Ino == firstOfSubvolume {
			s.families[dev] = st.Btime
		}
		return false
	}
	family, in := s.families[dev]
	if st.Nlink < 2 && !in {
		return false
	}
	id := maphash.Comparable(s.seed, [5]int64{int64(st.Ino), st.Btime.Sec, int64(st.Btime.Nsec), family.Sec, int64(family.Nsec)})
	_, met := s.inodes[id]
	s.inodes[id] = struct{}{}
	return met
}

// watchEvery is how often transfers are looked after.
const watchEvery = time.Second

// watch cuts what must not go on: uploads when the disk is about to be full, or
// when a client is over its quota, and whatever belongs to a client that is not
// admitted any more.
func (s *Server) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	rest := map[string]time.Time{} // when a client's usage is to be measured again
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		full := s.tight()
		quota := map[string]error{}
		for _, t := range s.running() {
			c := s.clients.named(t.client.name)
			switch {
			case c == nil || c.peer != t.client.peer:
				s.cut(t, fmt.Errorf("client %s is not admitted any more", t.client.name))
				continue
			case t.backup == nil:
				continue
			case full != nil:
				s.cut(t, full)
				continue
			}
			if c.quota > 0 && time.Now().After(rest[c.name]) {
				begun := time.Now()
				quota[c.name] = s.overQuota(s.ctx, c)
				// A twentieth of the time at most, however many files there are.
				rest[c.name] = time.Now().Add(max(watchEvery, 20*time.Since(begun)))
			}
			if quota[c.name] != nil {
				s.cut(t, quota[c.name])
			}
		}
	}
}

// running are the transfers that are not over.
func (s *Server) running() (list []*transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transfers {
		if t.ctx.Err() == nil {
			list = append(list, t)
		}
	}
	return list
}

// cut ends a transfer. What was sent of a backup for which there is no space is
// removed: it would keep that space from others for a day.
func (s *Server) cut(t *transfer, why error) {
	s.Log.Warn(fmt.Sprintf("%s: cut: %v", t.client.name, why))
	t.cancel(why)
	s.wg.Go(func() {
		s.finish(t, why)
		var no *refusal
		if errors.As(why, &no) && no.status == http.StatusInsufficientStorage && t.backup != nil {
			s.discard(t.client, t.backup, why)
		}
	})
}

// cutIfFull cuts a transfer that has failed on a full disk, which can be sooner
// than watch looks: what it leaves would keep the space from the next.
func (s *Server) cutIfFull(t *transfer, err error) {
	if err == nil || t.backup == nil || t.ctx.Err() != nil {
		return
	}
	if full := s.tight(); full != nil {
		s.cut(t, full)
	}
}

// sizeText is a size for people.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	at := -1
	for value >= unit && at < len(units)-1 {
		value /= unit
		at++
	}
	return fmt.Sprintf("%.1f %s", value, units[at])
}

// Share is a part of a whole: so many bytes, or so many hundredths.
type Share struct {
	Bytes   int64
	Percent int
}

// Of is the share of a whole of so many bytes.
func (f Share) Of(total int64) int64 { return f.Bytes + total/100*int64(f.Percent) }
