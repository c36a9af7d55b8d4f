package digest

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"b1000/internal/testdisk"
)

// Subvolumes number their files alike; a snapshot has those of another.
func TestFilesOfOneNumberInTwoSubvolumesAreTwo(t *testing.T) {
	dir := testdisk.Loop(t, "btrfs", 400<<20)
	btrfs := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("btrfs", append([]string{"subvolume"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	var known [2]job
	for i, name := range []string{"/one", "/two"} {
		btrfs("create", dir+name)
		time.Sleep(20 * time.Millisecond) // as who makes them for backups sees to it
		if err := os.WriteFile(dir+name+"/file", []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		known[i].path = dir + name + "/file"
		if _, err := known[i].stat(familyOf(dir + name)); err != nil {
			t.Fatal(err)
		}
	}
	if known[0].inode.number != known[1].inode.number {
		t.Errorf("their numbers are %d and %d", known[0].inode.number, known[1].inode.number)
	}
	if familyOf(dir+"/one") == familyOf(dir+"/two") {
		t.Error("both subvolumes are one family")
	}
	btrfs("snapshot", dir+"/one", dir+"/three")
	passed := job{path: dir + "/three/file"}
	if _, err := passed.stat(familyOf(dir + "/three")); err != nil || passed.inode != known[0].inode {
		t.Errorf("a snapshot passes %+v on as %+v, %v", known[0].inode, passed.inode, err)
	}
	if family := familyOf(t.TempDir()); family != 0 {
		t.Errorf("a directory is of family %d", family)
	}
}
