package store

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A disk that loses writes for a moment, in the middle of a copy, tells whoever
// flushes first. That is not the commit, which has to hear of it all the same.
func TestAWriteErrorThatWasToldAlreadyFailsTheCommit(t *testing.T) {
	mount := thinDisk(t)
	p := open(t, mount, mount)
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	tree := b.(*localBackup).tree
	must(t, os.WriteFile(tree+"/big", bytes.Repeat([]byte("0123456789abcdef"), 2<<20), 0o644))
	if err := syncFS(tree); err == nil {
		t.Fatal("the disk took more than there is room for")
	}
	must(t, unix.Mount("", filepath.Dir(mount)+"/room", "", unix.MS_REMOUNT, "size=128m"))
	must(t, syncFS(tree))
	if _, err := b.Commit(context.Background(), target(1).Manifest); err == nil || !strings.Contains(err.Error(), "flush") {
		t.Errorf("got %v", err)
	}
	if got := p.states(t); len(got) != 1 || strings.HasPrefix(got[0], "complete ") {
		t.Errorf("got %q", got)
	}
}

// thinDisk mounts a file system of 64 MB that has room for 8.
func thinDisk(t *testing.T) (mount string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to mount")
	}
	dir := t.TempDir()
	room, image, mount := dir+"/room", dir+"/room/image", dir+"/disk"
	must(t, os.Mkdir(room, 0o755))
	must(t, os.Mkdir(mount, 0o755))
	if err := unix.Mount("tmpfs", room, "tmpfs", 0, "size=8m,mode=0755"); err != nil {
		t.Skipf("mounting a tmpfs is refused: %v", err)
	}
	t.Cleanup(func() { unmount(t, room) })
	for _, args := range [][]string{
		{"truncate", "-s", "64M", image},
		{"mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", image},
		{"mount", "-o", "loop", image, mount},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s is missing or refused: %v: %s", args[0], err, out)
		}
	}
	t.Cleanup(func() { unmount(t, mount) })
	return mount
}

// unmount waits for the loop device to let go of its file.
func unmount(t *testing.T, dir string) {
	t.Helper()
	err := unix.Unmount(dir, 0)
	for range 100 {
		if err != unix.EBUSY {
			break
		}
		time.Sleep(50 * time.Millisecond)
		err = unix.Unmount(dir, 0)
	}
	must(t, err)
}
