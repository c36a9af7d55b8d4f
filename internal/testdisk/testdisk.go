// Package testdisk makes disks for tests: of a kind of file system, and such that
// lose what is written to them.
package testdisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is a file system on a disk that has room for 8 MiB only: what is written
// beyond that is taken, and lost with an error when it is flushed.
type Disk struct {
	Mount string
	t     testing.TB
}

// Thin mounts one of a size such as 64M for the time of the test.
func Thin(t testing.TB, size string) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to mount")
	}
	dir := t.TempDir()
	d := &Disk{Mount: dir + "/disk", t: t}
	image := d.room() + "/image"
	must(t, errors.Join(os.Mkdir(d.room(), 0o755), os.Mkdir(d.Mount, 0o755)))
	if err := unix.Mount("tmpfs", d.room(), "tmpfs", 0, "size=8m,mode=0755"); err != nil {
		t.Skipf("mounting a tmpfs is refused: %v", err)
	}
	t.Cleanup(func() { Unmount(t, d.room()) })
	for _, args := range [][]string{
		{"truncate", "-s", size, image},
		{"mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", image},
		{"mount", "-o", "loop", image, d.Mount},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s is missing or refused: %v: %s", args[0], err, out)
		}
	}
	t.Cleanup(func() { Unmount(t, d.Mount) })
	return d
}

// Loop mounts a file system of a kind such as btrfs, of so many bytes that are on no
// disk until they are used, for the time of the test, and returns where.
func Loop(t testing.TB, kind string, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to mount")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)))
	for _, args := range [][]string{{"mkfs." + kind, image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// PowerLoss mounts, for the time of the test, what a file system by Loop would be if
// the power failed now, and returns where: what its disk has, and nothing that is in
// the memory only.
func PowerLoss(t testing.TB, mount string) string {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(mount, &st))
	image, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/loop/backing_file", unix.Major(st.Dev), unix.Minor(st.Dev)))
	must(t, err)
	dir := t.TempDir()
	then := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{{"cp", "--sparse=always", strings.TrimSuffix(string(image), "\n"), then}, {"mount", "-o", "loop", then, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func (d *Disk) room() string { return filepath.Dir(d.Mount) + "/room" }

// Grow makes room for all.
func (d *Disk) Grow() {
	d.t.Helper()
	must(d.t, unix.Mount("", d.room(), "", unix.MS_REMOUNT, "size=256m"))
}

// Forget takes from the memory what it holds of files, so that they are read from
// the disk.
func (d *Disk) Forget() {
	d.t.Helper()
	must(d.t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0))
}

// Flush flushes a file system as any program can, which is told the errors that
// nobody was told before.
func (d *Disk) Flush() error {
	f, err := os.Open(d.Mount)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// Unmount waits for the loop device to let go of its file. A host that another test
// has booted meanwhile may hold it for as long as it is on.
func Unmount(t testing.TB, dir string) {
	t.Helper()
	err := unix.Unmount(dir, 0)
	for range 20 {
		if err != unix.EBUSY {
			break
		}
		time.Sleep(50 * time.Millisecond)
		err = unix.Unmount(dir, 0)
	}
	if err == unix.EBUSY {
		err = unix.Unmount(dir, unix.MNT_DETACH)
	}
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
