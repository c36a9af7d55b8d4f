package store

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"b1000/internal/testdisk"
)

// Files of two subvolumes are told apart by when these were born.
func TestNoTwoSubvolumesAreBornAtOneTime(t *testing.T) {
	t.Parallel()
	dir := testdisk.Loop(t, "btrfs", 400<<20)
	seen := map[unix.StatxTimestamp]bool{}
	for n := range 20 {
		name := fmt.Sprint(dir, "/", n)
		must(t, makeSubvolume(name))
		var st unix.Statx_t
		must(t, unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_BTIME, &st))
		if seen[st.Btime] || st.Btime.Sec == 0 {
			t.Fatalf("%d is born at %+v", n, st.Btime)
		}
		seen[st.Btime] = true
	}
	if err := makeSubvolume(dir + "/3"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if err := makeSubvolume("/dev/shm/none"); err == nil {
		t.Error("there is a subvolume on a file system that has none")
	}
}
