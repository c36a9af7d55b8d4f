package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/wire"
)

// blob is a file of a repository and its name.
func blob(text string) (name, body string) {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]), text
}

func (r raw) wants(status int, method, path, body string) string {
	r.t.Helper()
	got, text := r.ask(method, path, body)
	if got != status {
		r.t.Errorf("%s %s: %d %s, want %d", method, path, got, text, status)
	}
	return text
}

// repository makes that of a client.
func (r raw) repository(name string) string {
	r.t.Helper()
	at := resticPrefix + name
	r.wants(200, "POST", at+"/?create=true", "")
	r.wants(200, "POST", at+"/config", "configuration")
	return at
}

func TestARepositoryIsAppendedTo(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.admit("web1")
	r := s.raw("web1")
	at := r.repository("web1")
	name, body := blob("a pack")
	for _, kind := range []string{"data", "index", "keys", "snapshots", "locks"} {
		p := at + "/" + kind + "/" + name
		r.wants(200, "POST", p, body)
		if got := r.wants(200, "GET", p, ""); got != body {
			t.Errorf("%s: got %q", kind, got)
		}
		r.wants(403, "POST", p, "something else") // what is there stays
		want := 403
		if kind == "locks" {
			want = 200
		}
		r.wants(want, "DELETE", p, "")
		if other, _ := blob("another"); true {
			r.wants(400, "POST", at+"/"+kind+"/"+other, body) // it is not what its name says
		}
	}
	r.wants(403, "POST", at+"/config", "another")
	r.wants(403, "DELETE", at+"/config", "")
	if got := r.wants(200, "GET", at+"/config", ""); got != "configuration" {
		t.Errorf("got %q", got)
	}
	for _, p := range []string{"/data/../../../web1/config", "/data/..%2f..%2fconfig", "/../etc/x", "/keys/" + strings.Repeat("g", 64), "/.restic/config"} {
		if status, text := r.ask("GET", at+p, ""); status < 300 {
			t.Errorf("%s: %d %s", p, status, text)
		}
	}
	// Somebody who may delete, and somebody who may not anything.
	s.admit("web1", "restic = full")
	r.wants(200, "DELETE", at+"/snapshots/"+name, "")
	s.admit("web1", "restic = no")
	r.wants(403, "GET", at+"/config", "")
	s.admit("web1", "allow = list restore")
	r.wants(200, "GET", at+"/config", "")
	r.wants(403, "POST", at+"/snapshots/"+name, body)
	s.admit("web1", "allow = backup")
	r.wants(403, "GET", at+"/config", "")
	if !strings.Contains(s.log.String(), "the option allow in the client's file has no restore") {
		t.Error("the log does not say why")
	}
}

func TestARepositoryIsNobodyElses(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.admit("web1")
	s.admit("web2", "restic = full", "allow = backup list show restore verify delete")
	at := s.raw("web1").repository("web1")
	name, body := blob("a pack")
	s.raw("web1").wants(200, "POST", at+"/data/"+name, body)
	r := s.raw("web2")
	r.repository("web2")
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "PUT"} {
		for _, p := range []string{"/", "/?create=true", "/config", "/data/", "/data/" + name, "/locks/" + name} {
			r.wants(403, method, at+p, body)
		}
	}
	r.wants(404, "GET", "/restic/web2/data/"+name, "")
	for _, p := range []string{"/restic/web2/../web1/config", "/restic/web2%2f..%2fweb1/config", "/restic/web2/..%2fweb1/config", "//restic/web1/config"} {
		if status, text := r.ask("GET", p, ""); status < 300 {
			t.Errorf("%s: %d %s", p, status, text)
		}
	}
	// Nor by the other verbs of the server.
	for _, dir := range []string{".restic", "../web1/.restic", ".restic/data"} {
		r.wants(404, "GET", wire.Show+"?dir="+dir, "")
		r.wants(404, "POST", wire.Restore+"?dir="+dir, "")
		r.wants(404, "POST", wire.Delete+"?dir="+dir, "")
	}
	if got := s.raw("web1").wants(200, "GET", at+"/data/"+name, ""); got != body {
		t.Errorf("got %q", got)
	}
}

func TestAQuotaCountsBackupsAndRepositoryTogether(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.client("web1", "quota = 3M")
	src := source(t)
	random(t, src+"/big", 1<<20)
	must(t, whole(st, target(1), src))
	r := s.raw("web1")
	at := r.repository("web1")
	for n, want := range []int{200, 507} {
		name, body := blob(strings.Repeat(string(rune('a'+n)), 1200<<10))
		text := r.wants(want, "POST", at+"/data/"+name, body)
		if want == 507 && !strings.Contains(text, "its quota is 3.0 MiB") {
			t.Errorf("got %s", text)
		}
	}
	lock, body := blob("a lock")
	r.wants(200, "POST", at+"/locks/"+lock, body)
	if left, _ := filepath.Glob(s.Path + "/web1/.restic/*/*/*temp*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	// Many at once do not get more than one after the other.
	s.admit("web1", "quota = 4M")
	done := make(chan int)
	for n := range 8 {
		name, body := blob(strings.Repeat(string(rune('A'+n)), 700<<10))
		go func() { status, _ := r.ask("POST", at+"/data/"+name, body); done <- status }()
	}
	good := 0
	for range 8 {
		if <-done == 200 {
			good++
		}
	}
	if good < 1 || good > 2 {
		t.Errorf("%d of 700 KiB fit into what is left of 4 MiB", good)
	}
	restored(t, st, listed(t, st)[0], src)
}

func TestARepositoryDoesNotFillTheDisk(t *testing.T) {
	t.Parallel()
	dir := small(t, "16m")
	s := start(t, func(s *Settings) { s.Path, s.MinFree = dir, Share{Percent: 50} })
	s.admit("web1")
	r := s.raw("web1")
	at := r.repository("web1")
	random(t, filepath.Join(dir, "other"), 10<<20)
	name, body := blob("a pack")
	if text := r.wants(507, "POST", at+"/data/"+name, body); !strings.Contains(text, "min_free keeps 8.0 MiB of it free") {
		t.Errorf("got %s", text)
	}
	r.wants(200, "POST", at+"/locks/"+name, body)
	r.wants(200, "DELETE", at+"/locks/"+name, "")
	r.wants(200, "GET", at+"/config", "")
}

func TestARepositorysRequestsTakePlacesAndEndWithTheirClient(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Transfers, s.Patience = 1, 50*time.Millisecond })
	st := s.client("web1")
	s.admit("web2")
	at := s.raw("web2").repository("web2")
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	r := s.raw("web1")
	if status, text := r.ask("POST", wire.Backup+s.tokenOf("backup")+wire.Tree, ""); status != 200 {
		t.Fatal(text)
	}
	name, body := blob("a pack")
	if text := s.raw("web2").wants(503, "POST", at+"/data/"+name, body); !strings.Contains(text, "max_clients = 1") {
		t.Errorf("got %s", text)
	}
	r.wants(200, "DELETE", wire.Transfer+s.tokenOf("transfer"), "")
	s.raw("web2").wants(200, "POST", at+"/data/"+name, body)

	// One who is in the middle of a pack when its file is removed.
	hung, release := blockedBody()
	defer release()
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequest("POST", "https://localhost:"+s.port+at+"/index/"+name, hung)
		if err == nil {
			req.ContentLength = 1000
			var res *http.Response
			if res, err = s.raw("web2").http.Do(req); err == nil {
				res.Body.Close()
			}
		}
		done <- err
	}()
	eventually(t, "it is served", func() bool { used, _ := s.rooms.count(); return used == 1 })
	must(t, os.Remove(filepath.Join(s.ClientsDir, "web2")))
	eventually(t, "its place is given back", func() bool { used, _ := s.rooms.count(); return used == 0 })
	release()
	<-done
	if found, _ := filepath.Glob(s.Path + "/web2/.restic/index/*"); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
	if !strings.Contains(s.log.String(), "web2: cut: client web2 is not admitted any more") {
		t.Error("the log does not say why")
	}
}

func TestWhatAStoppedServerLeftOfAnUploadIsRemovedAfterADay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := start(t, func(s *Settings) { s.Now = func() time.Time { return now } })
	s.admit("web1")
	r := s.raw("web1")
	r.repository("web1")
	half := s.Path + "/web1/.restic/data/ab/" + strings.Repeat("ab", 32) + ".rest-server-temp123"
	write(t, half, "half")
	s.sweep(context.Background())
	if _, err := os.Stat(half); err != nil {
		t.Errorf("removed at once: %v", err)
	}
	s.stop()
	now = now.Add(25 * time.Hour)
	s.again()
	eventually(t, "it is removed", func() bool { _, err := os.Stat(half); return os.IsNotExist(err) })
	if _, err := os.Stat(s.Path + "/web1/.restic/config"); err != nil {
		t.Error(err)
	}
}
