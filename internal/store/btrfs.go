package store

import (
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/dennwc/btrfs"
	"golang.org/x/sys/unix"
)

func isSubvolume(dir string) bool {
	is, err := btrfs.IsSubVolume(dir)
	return is && err == nil
}

// born is when the last subvolume was made that is no snapshot.
var born struct {
	sync.Mutex
	at unix.StatxTimestamp
}

// makeSubvolume makes an empty subvolume. No two are born at one time, by which
// their files are told apart (digest, and the usage of a client).
func makeSubvolume(dir string) error {
	born.Lock()
	defer born.Unlock()
	for {
		if _, err := os.Lstat(dir); err == nil {
			return fs.ErrExist
		}
		if err := btrfs.CreateSubVolume(dir); err != nil {
			return err
		}
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
			return err
		}
		if st.Btime != born.at {
			born.at = st.Btime
			return os.Chmod(dir, fs.FileMode(st.Mode)&0o755)
		}
		if err := os.Remove(dir); err != nil {
			return err
		}
		time.Sleep(tick)
	}
}

// tick is how long the clock of a file system may stand still.
const tick = 10 * time.Millisecond

// removeSubvolume removes a subvolume at once; false where that is not permitted or
// it is none.
func removeSubvolume(dir string) bool {
	return isSubvolume(dir) && btrfs.DeleteSubVolume(dir) == nil
}
