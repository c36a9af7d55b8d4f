package store

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/snapshot"
	"b1000/internal/wire"
)

// lie is a tree that looks like src from without and holds something else.
func lie(t *testing.T, src string) string {
	t.Helper()
	other := filepath.Join(t.TempDir(), "etc")
	must(t, os.CopyFS(other, os.DirFS(src+"/ssh")))
	info, err := os.Stat(src + "/passwd")
	must(t, err)
	write(t, other+"/passwd", strings.Repeat("?", int(info.Size())))
	must(t, os.Chmod(other+"/passwd", info.Mode().Perm()))
	must(t, os.Chtimes(other+"/passwd", time.Time{}, info.ModTime()))
	return other
}

// A client that says of a file that it is what another client has, or another job,
// gets none of it.
func TestServedGivesNothingOfOthers(t *testing.T) { servedBy(t, servedGivesNothingOfOthers) }

func servedGivesNothingOfOthers(t *testing.T, s *testServer) {
	p, q := s.place(t), s.place(t)
	src := oldTree(t)
	must(t, os.Remove(src+"/passwd-")) // or it is a group of hard links
	p.backup(t, target(1), treeOf(src))
	theirs, err := os.Stat(filepath.Join(p.dir, p.list(t)[0].Dir, "etc/passwd"))
	must(t, err)
	other := lie(t, src)
	job := target(2)
	job.Job, job.Manifest.Job = "www", "www"
	for _, x := range []struct {
		p place
		t Target
	}{{q, target(3)}, {p, job}} {
		first := x.t // there is a base, without the file
		first.Base, first.Manifest.ID, first.Manifest.Start = "web1-2020-11-22-Sun-01:00:00", "0000000077", x.t.Manifest.Start.Add(-time.Hour)
		first.Day = "2020-11-22-Sunday"
		must(t, os.Rename(other+"/passwd", other+"/../passwd"))
		x.p.backup(t, first, treeOf(other))
		must(t, os.Rename(other+"/../passwd", other+"/passwd"))
		x.p.backup(t, x.t, treeOf(other))
		list, err := x.p.List(context.Background(), x.t.Job)
		must(t, err)
		e := list[len(list)-1]
		file := filepath.Join(x.p.dir, e.Dir, "etc/passwd")
		ours, err := os.Stat(file)
		must(t, err)
		if os.SameFile(theirs, ours) {
			t.Errorf("%s is the file of another", file)
		}
		same(t, other, x.p.restored(t, e)+"/etc")
	}
}

// The last backup is deleted between the moment it was chosen and the linking.
func TestServedBaseGoesMeanwhile(t *testing.T) { servedBy(t, servedBaseGoesMeanwhile) }

func servedBaseGoesMeanwhile(t *testing.T, s *testServer) {
	p := s.place(t)
	src := oldTree(t)
	p.backup(t, target(1), treeOf(src))
	made, err := p.Begin(context.Background(), target(2))
	must(t, err)
	b := made.(*servedBackup)
	at, err := b.place(context.Background(), Hooks{})
	must(t, err)
	must(t, p.Delete(context.Background(), p.list(t)[0]))
	r, err := b.fill(context.Background(), at, treeOf(src))
	must(t, err)
	at.over(context.Background())
	commit(t, b, target(2), r)
	must(t, b.Close())
	l := p.list(t)
	if len(l) != 1 || l[0].State != "complete" {
		t.Fatalf("list: %q", p.states(t))
	}
	same(t, src, p.restored(t, l[0])+"/etc")
}

// broken is a connection that is cut after so many bytes.
type broken struct {
	net.Conn
	left int
}

var errBroken = errors.New("cut")

func (c *broken) Write(b []byte) (int, error) {
	if len(b) > c.left {
		_, _ = c.Conn.Write(b[:c.left])
		c.left = 0
		c.Close()
		return 0, errBroken
	}
	c.left -= len(b)
	return c.Conn.Write(b)
}

// An offer that is cut, or is none, leaves a backup that can be gone on with; what
// is committed stays as it is.
func TestServedOfferIsCut(t *testing.T) { servedBy(t, servedOfferIsCut) }

func servedOfferIsCut(t *testing.T, s *testServer) {
	p := s.place(t)
	src := oldTree(t)
	p.backup(t, target(1), treeOf(src))
	first := p.restored(t, p.list(t)[0]) + "/etc"
	must(t, os.Chmod(src+"/ssh/-n *", 0o600))
	write(t, src+"/new", "1")
	made, err := p.Begin(context.Background(), target(2))
	must(t, err)
	b := made.(*servedBackup)
	for _, after := range []int{0, 3, 30, 200, 500} {
		at, err := b.place(context.Background(), Hooks{})
		must(t, err)
		conn, err := at.switchTo(context.Background(), wire.UpgradeLink)
		must(t, err)
		tree := treeOf(src)
		o := snapshot.Options{Sources: snapshotSources(tree), HardLinks: true, ACLs: true, XAttrs: true, Rest: io.Discard}
		if _, err := snapshot.Offer(context.Background(), o, &broken{conn, after}); err == nil {
			t.Errorf("cut after %d bytes: no error", after)
		}
		at.over(context.Background())
	}
	at, err := b.place(context.Background(), Hooks{})
	must(t, err)
	conn, err := at.switchTo(context.Background(), wire.UpgradeLink)
	must(t, err)
	_, err = conn.Write([]byte(strings.Repeat("GET / HTTP/1.1\r\n", 20)))
	must(t, err)
	conn.Close()
	at.over(context.Background())
	r, err := b.Tree(context.Background(), treeOf(src))
	must(t, err)
	commit(t, b, target(2), r)
	must(t, b.Close())
	l := p.list(t)
	if len(l) != 2 {
		t.Fatalf("list: %q", p.states(t))
	}
	same(t, first, p.restored(t, l[0])+"/etc")
	same(t, src, p.restored(t, l[1])+"/etc")
	if left, _ := filepath.Glob(p.dir + "/etc/*/.partial-*"); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// What is being uploaded, with the seeds in it, is not read by the way of the
// upload.
func TestServedUploadIsNotRead(t *testing.T) { servedBy(t, servedUploadIsNotRead) }

func servedUploadIsNotRead(t *testing.T, s *testServer) {
	p := s.place(t)
	src := oldTree(t)
	p.backup(t, target(1), treeOf(src))
	made, err := p.Begin(context.Background(), target(2))
	must(t, err)
	b := made.(*servedBackup)
	at, err := b.place(context.Background(), Hooks{})
	must(t, err)
	_, err = b.linkTo(context.Background(), at, treeOf(src))
	must(t, err)
	o := at.options()
	to := t.TempDir()
	out, err := fetchBy(o.Connect, at.url()+"/", to+"/")
	if err == nil || !strings.Contains(out, "write only") {
		t.Errorf("got %v, %s", err, out)
	}
	if left, _ := os.ReadDir(to); len(left) > 0 {
		t.Errorf("read: %v", left)
	}
	at.over(context.Background())
	must(t, b.Close())
}

// fetchBy runs an rsync of its own making, by the client's way to the server.
func fetchBy(connect, from, to string) (string, error) {
	cmd := exec.Command("rsync", "--rsh="+connect, "-a", from, to)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
