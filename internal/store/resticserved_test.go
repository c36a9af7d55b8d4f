package store

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/mtls"
	"b1000/internal/report"
	"b1000/internal/restic"
	"b1000/internal/restic/restictest"
)

// resticClient is a client of the storage server with a repository there.
func resticClient(t *testing.T, options string) (s Settings, dir string) {
	t.Helper()
	p := server.place(t)
	name := filepath.Base(p.dir)
	text := "ssl_peer_cn = " + name + "\n" + options
	must(t, os.WriteFile(filepath.Join(server.dir, "clients", name), []byte(text), 0o600))
	old := p.Store.(*served).Settings
	dir = filepath.Join(p.dir, ".restic")
	must(t, os.MkdirAll(dir, 0o700))
	return Settings{
		Name: "vault", Repository: "rest:https" + strings.TrimPrefix(server.url, "b1000") + "/restic/" + name + "/",
		PasswordFile: restictest.New(t, dir), Host: "web1", TempDir: t.TempDir(), TLS: old.TLS,
	}, dir
}

func openAs(t *testing.T, s Settings) place {
	t.Helper()
	st, err := Open(s)
	must(t, err)
	return place{Store: st}
}

// A client keeps its backups in a repository at the storage server, and can
// delete nothing there, unless its file allows it.
func TestARepositoryAtTheStorageServer(t *testing.T) {
	t.Parallel()
	s, dir := resticClient(t, "")
	p := openAs(t, s)
	must(t, p.Probe(t.Context()))
	src := sourceTree(t)
	p.backup(t, target(1), treeOf(src))
	write(t, src+"/new", "new")
	p.backup(t, target(2), treeOf(src))
	l := p.list(t)
	if len(l) != 2 || l[1].State != report.Complete {
		t.Fatalf("got %q", p.states(t))
	}
	same(t, src, p.restored(t, l[1])+"/etc")
	if err := p.Delete(t.Context(), l[0]); err == nil || !strings.Contains(err.Error(), "lets this host delete nothing") || !strings.Contains(err.Error(), "403") {
		t.Errorf("delete: got %v", err)
	}
	if got := p.states(t); len(got) != 2 || strings.Join(got, " ") == "" || !strings.HasPrefix(got[0], "complete") {
		t.Errorf("after a delete that was refused: %q", got)
	}
	// Deleted where the repository is, which the client is told of.
	direct := openAs(t, Settings{Name: "here", Repository: dir, PasswordFile: s.PasswordFile, TempDir: t.TempDir()})
	must(t, direct.Delete(t.Context(), direct.list(t)[0]))
	if got := p.states(t); len(got) != 1 {
		t.Errorf("got %q", got)
	}

	full := filepath.Base(filepath.Dir(dir))
	must(t, os.WriteFile(filepath.Join(server.dir, "clients", full), []byte("ssl_peer_cn = "+full+"\nrestic = full\n"), 0o600))
	must(t, p.Delete(t.Context(), p.list(t)[0]))
	must(t, p.Store.(Sweeper).Sweep(t.Context()))
	if got := p.states(t); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

// What is another's, or not allowed, is refused with the reason where it can be
// told.
func TestARepositoryAtTheStorageServerIsOnesOwn(t *testing.T) {
	t.Parallel()
	mine, _ := resticClient(t, "")
	other, _ := resticClient(t, "restic = no\n")
	try := func(name string, s Settings, want string) {
		t.Helper()
		_, err := openAs(t, s).List(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	try("not allowed", other, "403")
	theirs := mine
	theirs.Repository = other.Repository
	try("another's", theirs, "403")
	nobody := mine
	nobody.TLS = mtls.Files{CA: mine.TLS.CA}
	try("no certificate", nobody, "wants a certificate, and got none")
	stranger := mine
	cert, key, err := server.ca.Sign("stranger", nil)
	must(t, err)
	stranger.TLS.Cert, stranger.TLS.Key = cert, key
	try("not admitted", stranger, "does not admit the name in it")
	trusting := mine
	trusting.TLS.CA = ""
	try("another authority", trusting, "certificate")
	nowhere := mine
	nowhere.Repository = strings.Replace(mine.Repository, "localhost", "127.0.0.1", 1)
	try("another name", nowhere, "cannot be reached")
	none := mine
	none.Repository = "rest:https://localhost:1/restic/web1/"
	try("no server", none, "connection refused")
}

// A client that has no more room makes no backup, and keeps those that it has.
func TestTheQuotaOfARepository(t *testing.T) {
	t.Parallel()
	s, dir := resticClient(t, "quota = 100K\n")
	p := openAs(t, s)
	src := filepath.Join(t.TempDir(), "data")
	write(t, src+"/small", "x")
	p.backup(t, target(1), treeOf(src))
	noise := make([]byte, 300<<10) // which does not compress
	rand.Read(noise)
	must(t, os.WriteFile(src+"/large", noise, 0o600))
	b, err := p.Begin(t.Context(), target(2))
	must(t, err)
	_, err = b.Tree(t.Context(), treeOf(src))
	var failed *restic.Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "507") {
		t.Errorf("got %v", err)
	}
	must(t, b.Close())
	if got := p.states(t); len(got) != 1 || !strings.HasPrefix(got[0], "complete ") {
		t.Errorf("got %q", got)
	}
	if left, _ := filepath.Glob(dir + "/*/*/*temp*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
