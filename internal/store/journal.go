package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A backup in which nothing has changed is directories and links, and no content. On
// ext4 all that is in its journal when that is committed, and safe. A syncfs does more:
// it waits for what anybody else has written, and brings what the journal holds to
// where it belongs, which for 100,000 links takes as long again, and on a disk that
// has to seek much longer.

// nothingWritten reports whether nothing has come into being in the backup but
// directories, and links to files of one that is on the disk. Ask once, before what was
// uploaded is merged.
func (b *localBackup) nothingWritten() bool {
	b.once.Lock()
	defer b.once.Unlock()
	switch {
	case !b.target.full() || b.written || len(b.left) > 0 || len(b.aside) > 0:
		return false // what is left of a run that has failed may not be on the disk
	case b.last == nil || b.last.Manifest == nil || b.last.Manifest.Disk == "" || b.last.Manifest.Disk != identity(b.store.abs(b.last.Dir)):
		return false // nor may what somebody has copied here
	case b.links != "": // whoever uploads does it beside them
		return isEmpty(b.tree)
	}
	return b.unchanged
}

// identity tells a directory from every other, and from each copy of it: its inode and
// its birth, in nanoseconds. It is empty where the file system does not keep that.
func identity(dir string) string {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return ""
	}
	return fmt.Sprintf("%d %d%09d", st.Ino, st.Btime.Sec, st.Btime.Nsec)
}

// isEmpty reports whether there is nothing in a directory.
func isEmpty(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return err == io.EOF
}

// flushNames is flush for a backup into which nothing was written.
func (b *localBackup) flushNames() error {
	err := commitJournal(b.disk)
	switch {
	case err == nil:
		return b.loss()
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrClosed):
		return b.flush() // which knows what to say of that
	}
	b.lose(fmt.Errorf("%w: flush %s: %w", ErrLost, b.tree, err))
	return b.loss()
}

// commitJournal lets all that was done so far to the names and inodes of a file system
// reach its disk, by way of a directory of it; what was written to files need not. It is
// errors.ErrUnsupported where that is not known to work.
//
// An fsync on ext4 commits the transaction in which the inode was changed last, and
// thereby all before it (fs/ext4/fsync.c and fs/jbd2/journal.c of Linux). So the
// directory is changed first, by an owner that stays.
func commitJournal(dir *os.File) error {
	if !hasJournal(dir) {
		return errors.ErrUnsupported
	}
	if err := dir.Chown(-1, -1); err != nil { // a sandbox may not let us
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return dir.Sync()
}

// hasJournal reports whether a file is on an ext4 with a journal: then there is a
// thread that writes it. ext2 and ext3 by other drivers have the same magic number.
func hasJournal(f *os.File) bool {
	var st unix.Stat_t
	var at unix.Statfs_t
	if unix.Fstat(int(f.Fd()), &st) != nil || unix.Fstatfs(int(f.Fd()), &at) != nil || at.Type != unix.EXT4_SUPER_MAGIC {
		return false
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return false
	}
	task, err := os.ReadFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "journal_task"))
	if err != nil {
		return false
	}
	_, err = strconv.Atoi(strings.TrimSpace(string(task)))
	return err == nil
}
