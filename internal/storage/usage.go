package storage

import (
	"context"
	"fmt"
	"hash/maphash"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

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
