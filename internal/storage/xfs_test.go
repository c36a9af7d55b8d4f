package storage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// XFS shows root each ACL once more, as an attribute "trusted.SGI_ACL_FILE": rsync -X
// removes what looks like one attribute too many, and with it the ACL.

// onXFS are a store there, at the server or in a local directory, and its root.
func onXFS(t *testing.T, to string) (st store.Store, root string) {
	t.Helper()
	disk := testdisk.Loop(t, "xfs", 400<<20)
	s := start(t, func(s *Settings) { s.Path = disk })
	st, root = s.client("web1"), filepath.Join(disk, "web1")
	if to == "local" {
		root = filepath.Join(disk, "local")
		must(t, os.Mkdir(root, 0o700))
		var err error
		st, err = store.Open(store.Settings{Name: "l", Path: root, TempDir: t.TempDir(), Host: "web1"})
		must(t, err)
	}
	return st, root
}

// acls are those of all below a directory.
func acls(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", "find . -print0 | sort -z | xargs -0 getfacl -p")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	must(t, err)
	return string(out)
}

func sh(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

const longAgo = "; find . -print0 | xargs -0 touch -h -d 2017-01-01"

var withACLs = map[string]string{
	"ACLs":               "setfacl -m u:5:rwx dir dir/two" + longAgo,
	"default ACLs":       "setfacl -d -m u:5:rwx dir; echo i >dir/inherits; mkdir dir/sub; echo i >dir/sub/inherits" + longAgo,
	"a default ACL only": "mkdir dir/sub; echo f >dir/sub/f; setfacl -d -m u:5:rx dir" + longAgo,
}

// TestOnXFSBackupsKeepACLs, one after the other, and link what has one.
func TestOnXFSBackupsKeepACLs(t *testing.T) {
	for _, to := range []string{"served", "local"} {
		for kind, script := range withACLs {
			t.Run(to+" "+kind, func(t *testing.T) {
				st, root := onXFS(t, to)
				src := source(t)
				sh(t, src, script)
				for n := 1; n < 5; n++ {
					r, err := made(st, target(n), treeOf(src))
					must(t, err)
					e := listed(t, st)[n-1]
					at := filepath.Join(root, e.Dir, "src")
					if got, want := acls(t, at), acls(t, src); got != want {
						t.Errorf("backup %d is complete, and its ACLs are\n%s\nin place of\n%s", n, got, want)
					}
					same(t, src, at)
					restored(t, st, e, src)
					if n > 1 && r.Linked != r.Files-1 {
						t.Errorf("backup %d: %d of %d entries are linked", n, r.Linked, r.Files)
					}
					write(t, fmt.Sprintf("%s/dir/new%d", src, n), "new")
					sh(t, src, fmt.Sprintf("touch -d 2018-01-01 dir/new%d", n))
					if n == 3 {
						sh(t, src, "setfacl -b dir; setfacl -m u:6:rwx dir")
					}
				}
			})
		}
	}
}

// TestOnXFSASecondAttemptKeepsACLs: at a first backup, and of a sync job.
func TestOnXFSASecondAttemptKeepsACLs(t *testing.T) {
	for _, to := range []string{"served", "local"} {
		for _, kind := range []string{"sync", "full"} {
			t.Run(to+" "+kind, func(t *testing.T) {
				st, root := onXFS(t, to)
				src := source(t)
				sh(t, src, withACLs["ACLs"])
				tg := target(1)
				if kind == "sync" {
					tg.Day, tg.Base, tg.Manifest.Type = "", "web1", "sync"
					must(t, whole(st, tg, src))
					tg.Manifest.ID, tg.Manifest.Start = "2", target(2).Manifest.Start
					must(t, whole(st, tg, src))
				} else {
					b, err := st.Begin(context.Background(), tg)
					must(t, err)
					defer b.Close()
					_, err = b.Tree(context.Background(), treeOf(src))
					must(t, err)
					r, err := b.Tree(context.Background(), treeOf(src))
					must(t, err)
					must(t, end(b, tg, r))
				}
				at := filepath.Join(root, listed(t, st)[0].Dir, "src")
				if got, want := acls(t, at), acls(t, src); got != want {
					t.Errorf("complete, and the ACLs are\n%s\nin place of\n%s", got, want)
				}
			})
		}
	}
}

// TestARestoreToXFSKeepsACLs, the first and the second.
func TestARestoreToXFSKeepsACLs(t *testing.T) {
	st := start(t, nil).client("web1")
	src := source(t)
	sh(t, src, withACLs["default ACLs"])
	must(t, whole(st, target(1), src))
	to := filepath.Join(testdisk.Loop(t, "xfs", 400<<20), "to")
	for n := range 2 {
		_, err := st.Restore(context.Background(), listed(t, st)[0], store.Restore{To: to})
		must(t, err)
		if got, want := acls(t, to+"/src"), acls(t, src); got != want {
			t.Errorf("restore %d: the ACLs are\n%s\nin place of\n%s", n, got, want)
		}
	}
}
