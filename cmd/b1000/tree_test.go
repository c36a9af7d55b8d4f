package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// fillSource makes a tree with all that a backup has to keep, older than any run.
func fillSource(t testing.TB, dir string) {
	t.Helper()
	script := `set -e
mkdir -p "$1/ssh" "$1/default" "$1/empty"; cd "$1"
echo root:x:0:0 >passwd; echo odd >'ssh/new
line'; echo odder >'ssh/-n *'; echo GRUB=1 >default/grub
printf 'caf\351' >"$(printf 'caf\351')"
ln -s ../passwd ssh/link; ln -s /nowhere dangling; ln passwd passwd-; mkfifo fifo
chown 123:456 default/grub; chmod 2750 default; chmod 711 empty
setfattr -n user.b1000 -v 1 passwd; setfacl -m u:33:r default/grub
find . -exec touch -h -d '2020-02-29 12:00:00.123456789' {} +`
	if out, err := exec.Command("sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("source tree: %v\n%s", err, out)
	}
}

// same fails the test unless rsync finds no difference, both ways.
func same(t testing.TB, a, b string) {
	t.Helper()
	if err := compare(a, b); err != nil {
		t.Error(err)
	}
}

func compare(a, b string) error {
	for _, p := range [][2]string{{a, b}, {b, a}} {
		out, err := exec.Command("rsync", "-aHAXcn", "--numeric-ids", "--delete", "-i", p[0]+"/", p[1]+"/").CombinedOutput()
		if err != nil || len(out) > 0 {
			return &os.PathError{Op: "compare with " + p[0], Path: p[1], Err: difference(append(out, errText(err)...))}
		}
	}
	return nil
}

type difference []byte

func (d difference) Error() string { return string(d) }

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// big makes a file of n MiB that does not compress.
func (s *site) big(name string, n int64) {
	s.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	s.must(err)
	defer f.Close()
	random, err := os.Open("/dev/urandom")
	s.must(err)
	defer random.Close()
	buf := make([]byte, 1<<20)
	for range n {
		if _, err := random.Read(buf); err != nil {
			s.Fatal(err)
		}
		if _, err := f.Write(buf); err != nil {
			s.Fatal(err)
		}
	}
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	s.must(os.Chtimes(path, old, old))
}

func (s *site) copyTree(from, to string) {
	s.Helper()
	if out, err := exec.Command("rsync", "-aHAX", "--numeric-ids", from+"/", to+"/").CombinedOutput(); err != nil {
		s.Fatalf("copy: %v\n%s", err, out)
	}
}
