package store

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/testdisk"
)

// A directory of the year 10001, whose date rsync's listing does not hold, is
// restored with the rest.
func TestAnOddTimeIsRestored(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to mount")
	}
	ctx, disk := context.Background(), t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=0755"); err != nil { // ext4 takes no such time
		t.Skipf("mounting a tmpfs is refused: %v", err)
	}
	t.Cleanup(func() { testdisk.Unmount(t, disk) })
	src, to, hd := disk+"/src", disk+"/to", disk+"/hd"
	for _, dir := range []string{src, hd} {
		must(t, os.Mkdir(dir, 0o755))
	}
	sources := []string{src + "/now", src + "/later"}
	for _, dir := range sources {
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.WriteFile(dir+"/f", []byte(dir), 0o644))
	}
	const later = 253436860800
	ts := unix.Timespec{Sec: later, Nsec: 5}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, sources[1], []unix.Timespec{ts, ts}, 0))
	p := open(t, hd, hd)
	b, err := p.Begin(ctx, target(1))
	must(t, err)
	_, err = b.Tree(ctx, Tree{Sources: sources})
	must(t, err)
	_, err = b.Commit(ctx, target(1).Manifest)
	must(t, err)
	must(t, b.Close())
	list, err := p.List(ctx, target(1).Job)
	must(t, err)
	if len(list) != 1 || list[0].State != report.Complete {
		t.Fatalf("got %+v", list)
	}
	_, err = p.Restore(ctx, list[0], Restore{To: to})
	must(t, err)
	for _, dir := range sources {
		out, err := exec.Command("rsync", "-aHAXnic", "--numeric-ids", "--delete", dir+"/", filepath.Join(to, filepath.Base(dir))+"/").CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}
