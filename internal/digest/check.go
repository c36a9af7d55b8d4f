package digest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Options say what is to be read, and how.
type Options struct {
	Tree string // absolute
	// Record takes only the digests that the log lacks, and reads nothing else.
	Record bool
	// Mirror is for a tree that is kept up to date in place: a file whose size or
	// time is another than recorded was changed on purpose, and is recorded anew.
	Mirror bool
	// Known are files whose SHA-256 (hexadecimal) is known from elsewhere, by their
	// names in the tree.
	Known map[string]string
	// Size, if not nil, is what a regular file counts in Result.Bytes that has size
	// bytes: the file may stand for something else.
	Size func(path string, size int64) int64
	// Suspects are known to be damaged from an earlier time.
	Suspects Damaged
	// Read, if not nil, is told of the bytes as they are read. It may be called
	// from several goroutines at once.
	Read func(bytes int)
}

// Result is what Check has found.
type Result struct {
	Files   int64    // entries that are not directories
	Bytes   int64    // sizes of regular files and symbolic links
	Read    int64    // regular files read; one with several names counts once
	Fresh   int64    // of these, those without a digest so far, here or in Known: they have one now
	Damaged int64    // files that are not what they were
	Damage  []string // the first of them, "name: what is wrong"
	// Suspects are Options.Suspects without what has turned out to be good, and with
	// what is damaged; the same where nothing was compared.
	Suspects Damaged
}

// MaxDamage is how many damaged files are named.
const MaxDamage = 1000

// workers read at the same time.
const workers = 2

// Check reads the regular files of a tree from the disk and compares them with
// the log; what the log lacks is added to it. It neither follows symbolic links
// nor changes anything in the tree. The error is for what keeps it from looking;
// a file that cannot be read is damage. Whatever was found so far is saved.
func Check(ctx context.Context, l *Log, o Options) (Result, error) {
	c := &check{Options: o, log: l, seen: map[inode]bool{}, bad: Damaged{}, family: familyOf(o.Tree), buffers: sync.Pool{New: func() any { return new([256 << 10]byte) }}}
	jobs := make(chan job)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for j := range jobs {
				c.file(ctx, j)
			}
		})
	}
	err := c.walk(ctx, jobs)
	close(jobs)
	all.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if c.result.Suspects = o.Suspects; !o.Record && err == nil {
		c.result.Suspects = o.Suspects.update(c.seen, c.bad, c.family)
	} else if len(c.bad) > 0 {
		c.result.Suspects = o.Suspects.update(nil, c.bad, c.family)
	}
	return c.result, errors.Join(err, l.Save())
}

type check struct {
	Options
	log     *Log
	family  int64
	seen    map[inode]bool
	buffers sync.Pool

	mu     sync.Mutex
	result Result
	bad    Damaged
}

// job is one file to read.
type job struct {
	path, name string
	inode      inode
	now        record // without its digest
}

func (c *check) walk(ctx context.Context, jobs chan<- job) error {
	return filepath.WalkDir(c.Tree, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, c.Tree+"/")
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && path == c.Tree:
			return err
		case err != nil:
			c.damaged(name, err)
			return nil
		case d.IsDir():
			return nil
		}
		j := job{path: path, name: name}
		regular, err := j.stat(c.family)
		if size := j.now.size; regular && c.Size != nil {
			c.count(c.Size(path, size))
		} else {
			c.count(size)
		}
		if err != nil {
			c.damaged(name, err)
			return nil
		}
		if !regular || c.seen[j.inode] {
			return nil
		}
		c.seen[j.inode] = true
		if c.Record {
			c.mu.Lock()
			_, known := c.log.known[j.inode]
			c.mu.Unlock()
			if known {
				return nil
			}
		}
		select {
		case jobs <- j:
		case <-ctx.Done():
		}
		return nil
	})
}

// familyOf tells trees apart that number their inodes each by itself: subvolumes of
// Btrfs, whose first inode is born with the first of them, and passed on to
// snapshots with all others. It is 0 for a directory of a file system.
func familyOf(tree string) int64 {
	const firstOfSubvolume = 256
	var st unix.Statx_t
	var at unix.Statfs_t
	if unix.Statfs(tree, &at) != nil || int64(at.Type) != unix.BTRFS_SUPER_MAGIC || unix.Statx(unix.AT_FDCWD, tree, 0, unix.STATX_INO|unix.STATX_BTIME, &st) != nil || st.Ino != firstOfSubvolume {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}

// stat finds out what the file is; links are not followed. In the log the birth of
// a file in a subvolume is that of both, so that it fits no other's.
func (j *job) stat(family int64) (regular bool, err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, j.path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return false, err
	}
	j.inode.number = st.Ino
	if st.Mask&unix.STATX_BTIME != 0 {
		j.inode.born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec) ^ family
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFREG || kind == unix.S_IFLNK {
		j.now = record{size: int64(st.Size), mtime: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec)}
	}
	return kind == unix.S_IFREG, nil
}

func (c *check) count(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Files++
	c.result.Bytes += size
}

func (c *check) damaged(name string, err error) {
	var p *fs.PathError
	if errors.As(err, &p) { // the name stands before it
		err = p.Err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Damaged++
	if len(c.result.Damage) < MaxDamage {
		c.result.Damage = append(c.result.Damage, fmt.Sprintf("%s: %v", name, err))
	}
}

// wrong is a file that is damaged.
func (c *check) wrong(j job, err error) {
	c.damaged(j.name, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad[j.inode.number] = bare(j.inode, c.family)
}

var (
	errContent = errors.New("its content is not what was recorded")
	errSize    = errors.New("its size is not what was recorded")
	errTime    = errors.New("its time is not what was recorded, so somebody has written to it")
)

// file reads one file and judges it.
func (c *check) file(ctx context.Context, j job) {
	sum, err := c.sum(ctx, j.path)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.wrong(j, err)
		return
	}
	j.now.sum = sum
	want, told := c.Known[j.name]
	c.mu.Lock()
	c.result.Read++
	was, known := c.log.known[j.inode]
	if told && want != hex.EncodeToString(sum[:]) { // nor is it to be recorded
		c.mu.Unlock()
		c.wrong(j, errContent)
		return
	}
	if known && c.Mirror && (was.size != j.now.size || was.mtime != j.now.mtime) {
		known = false
	}
	if !known {
		if !told {
			c.result.Fresh++
		}
		c.log.add(j.inode, j.now)
	}
	c.mu.Unlock()
	switch {
	case !known || was == j.now:
	case was.size != j.now.size:
		c.wrong(j, errSize)
	case was.sum != sum:
		c.wrong(j, errContent)
	default:
		c.wrong(j, errTime)
	}
}

// sum is the digest of a file as it is on the disk: what memory holds of it is
// let go of first, where the digest is not there to be recorded right after the
// file was written.
func (c *check) sum(ctx context.Context, path string) (sum [32]byte, err error) {
	f, err := openQuietly(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	if !c.Record {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	buffer := c.buffers.Get().(*[256 << 10]byte)
	defer c.buffers.Put(buffer)
	h := sha256.New()
	for ctx.Err() == nil {
		n, err := f.Read(buffer[:])
		h.Write(buffer[:n])
		if c.Read != nil && n > 0 {
			c.Options.Read(n)
		}
		if err == io.EOF {
			return [32]byte(h.Sum(nil)), nil
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, context.Cause(ctx)
}

// openQuietly opens a file without following a link, waiting for a FIFO that may
// have taken its place, or touching its access time.
func openQuietly(path string) (*os.File, error) {
	const flags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(path, flags|unix.O_NOATIME, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.OpenFile(path, flags, 0)
	}
	return f, err
}
