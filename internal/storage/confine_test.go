package storage

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/wire"
)

var resultOfNothing = store.Result{Files: 1}

// raw is a client that asks what it likes.
type raw struct {
	*site
	files mtls.Files
	http  *http.Client
}

func (s *site) raw(name string) raw {
	s.t.Helper()
	f := s.files(name, nil)
	id, err := mtls.Open(f, nil)
	must(s.t, err)
	return raw{s, f, &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: id.Client("localhost")}}}
}

// ask puts a question, and returns status and body.
func (r raw) ask(method, path, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "https://localhost:"+r.port+path, strings.NewReader(body))
	must(r.t, err)
	res, err := r.http.Do(req)
	must(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(r.t, err)
	return res.StatusCode, string(text)
}

// rsync runs a stock rsync over a transfer.
func (r raw) rsync(token string, args ...string) (string, error) {
	cmd := exec.Command("rsync", append([]string{"--rsh=" + mtls.ConnectCommand(r.helper, r.files, "localhost", r.port, wire.Transfer+token)}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tokenOf is that of the one backup or transfer that is there.
func (s *site) tokenOf(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.backups {
		if kind == "backup" {
			return token
		}
	}
	for token := range s.transfers {
		if kind == "transfer" {
			return token
		}
	}
	return ""
}

func TestAClientReachesNothingOfAnothers(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	src := source(t)
	victim := s.client("web1")
	must(t, whole(victim, target(1), src))
	b, err := victim.Begin(context.Background(), target(2))
	must(t, err)
	defer b.Close()
	s.admit("web2", "allow = backup list show restore verify delete")
	r := s.raw("web2")
	e := listed(t, victim)[0]
	if status, text := s.raw("web1").ask("POST", wire.Backup+s.tokenOf("backup")+wire.Tree, ""); status != 200 {
		t.Fatal(text)
	}
	theirs, transfer := s.tokenOf("backup"), s.tokenOf("transfer")
	asked := map[string]bool{"GET " + wire.List: true, "GET " + wire.Probe: true, "POST " + wire.Begin: true} // which name no backup
	for _, q := range []struct{ method, path, body string }{
		{"GET", wire.Show + "?dir=" + e.Dir, ""},
		{"GET", wire.Show + "?dir=../web1/" + e.Dir, ""},
		{"GET", wire.Show + "?dir=/" + e.Dir + "/../../../../web1/" + e.Dir, ""},
		{"POST", wire.Restore + "?dir=" + e.Dir, ""},
		{"POST", wire.Restore + "?dir=../web1", ""},
		{"POST", wire.Restore + "?dir=", ""},
		{"POST", wire.Restore + "?dir=.", ""},
		{"POST", wire.Verify + "?dir=" + e.Dir, ""},
		{"POST", wire.Verify + "?dir=../web1/" + e.Dir, ""},
		{"POST", wire.Delete + "?dir=" + e.Dir + "&id=" + e.ID, ""},
		{"POST", wire.Delete + "?dir=../web1/" + e.Dir + "&id=" + e.ID, ""},
		{"POST", wire.Backup + theirs + wire.Tree, ""},
		{"PUT", wire.Backup + theirs + wire.Stream + "?name=x&mode=644&mtime=2025-01-01T00:00:00Z", "x"},
		{"POST", wire.Backup + theirs + wire.Commit, string(target(2).Manifest.Encode())},
		{"DELETE", wire.Backup + theirs, ""},
		{"GET", wire.Transfer + transfer, ""},
		{"DELETE", wire.Transfer + transfer, ""},
		{"GET", "/v1/../../etc/passwd", ""},
		{"GET", "/restic/", ""},
	} {
		req, err := http.NewRequest(q.method, q.path, nil)
		must(t, err)
		_, pattern := s.handler.Handler(req)
		asked[pattern] = true
		if status, text := r.ask(q.method, q.path, q.body); status < 300 {
			t.Errorf("%s %s: %d %s", q.method, q.path, status, text)
		}
	}
	for _, pattern := range s.verbs {
		if !asked[pattern] {
			t.Errorf("%s: was not tried", pattern)
		}
	}
	if out, err := r.rsync(transfer, "-a", src, "rsync://localhost/"+wire.Module+"/"); err == nil {
		t.Errorf("wrote into another's backup:\n%s", out)
	}
	if status, text := r.ask("GET", wire.List+"?job=../web1/etc", ""); status != 200 || strings.Contains(text, e.ID) {
		t.Errorf("list: %d %s", status, text)
	}
	restored(t, victim, listed(t, victim)[0], src)
}

func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.admit("web1")
	r := s.raw("web1")
	good := target(1)
	for _, edit := range []func(*wire.Target){
		func(t *wire.Target) { t.Job, t.Manifest.Job = "..", ".." },
		func(t *wire.Target) { t.Job, t.Manifest.Job = "a/b", "a/b" },
		func(t *wire.Target) { t.Job, t.Manifest.Job = ".partial-x", ".partial-x" },
		func(t *wire.Target) { t.Manifest.Job = "other" },
		func(t *wire.Target) { t.Day = "../../web2" },
		func(t *wire.Target) { t.Day = "2025-11-22" },
		func(t *wire.Target) { t.Base = "../x" },
		func(t *wire.Target) { t.Base = ".partial-x" },
		func(t *wire.Target) { t.Base = "x\n" },
		func(t *wire.Target) { t.Base = t.Base + ".2" },
		func(t *wire.Target) { t.Base = strings.Repeat("a", 300) + t.Base },
		// A sync backup with the name of a day would be written over all of that day's.
		func(t *wire.Target) { t.Base, t.Day, t.Manifest.Type = t.Day, "", "sync" },
		func(t *wire.Target) { t.Manifest.ID = "../x" },
		func(t *wire.Target) { t.Manifest.Host = "x\nkeep = 0" },
		func(t *wire.Target) { t.Manifest.Type = "sync" },
	} {
		w := wire.Target{Job: good.Job, Day: good.Day, Base: good.Base, Manifest: good.Manifest}
		edit(&w)
		text := fmt.Sprintf(`{"job":%q,"day":%q,"base":%q,"manifest":%s}`, w.Job, w.Day, w.Base, w.Manifest.Encode())
		if status, answer := r.ask("POST", wire.Begin, text); status != 400 {
			t.Errorf("job %q day %q base %q: %d %s", w.Job, w.Day, w.Base, status, answer)
		}
	}
	if found, _ := filepath.Glob(s.Path + "/*/*"); len(found) > 0 {
		t.Errorf("something was made: %q", found)
	}
}

func TestWhatIsCommittedCannotBeChanged(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	src := source(t)
	st := s.client("web1")
	must(t, whole(st, target(1), src))
	e := listed(t, st)[0]
	says(t, st.Delete(context.Background(), e), "delete is not allowed to client web1; the option allow in its file says backup list show restore")
	if _, err := st.Begin(context.Background(), target(1)); err == nil || !strings.Contains(err.Error(), "is complete already") {
		t.Errorf("begun again: %v", err)
	}
	evil := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(evil, 0o755))
	write(t, evil+"/one", "changed")
	r := s.raw("web1")
	if status, text := r.ask("POST", wire.Restore+"?dir="+e.Dir, ""); status != 200 {
		t.Fatal(text)
	}
	to := "rsync://localhost/" + wire.Module + "/"
	for name, args := range map[string][]string{
		"written to":                      {"-a", evil, to},
		"deleted in":                      {"-a", "--delete", evil + "/", to + "src/"},
		"taken away":                      {"-a", "--remove-source-files", to, t.TempDir() + "/"},
		"made to write a log":             {"-a", "--log-file=/x", "-M--log-file=/src/one", evil, to},
		"asked for what is outside of it": {"-a", to + "../../../", t.TempDir() + "/"},
		"asked for another module":        {"-a", "rsync://localhost/backups/", t.TempDir() + "/"},
	} {
		out, err := r.rsync(s.tokenOf("transfer"), args...)
		if name != "asked for what is outside of it" && err == nil {
			t.Errorf("%s:\n%s", name, out)
		}
	}
	// While another is made, by links of all kinds.
	b, err := st.Begin(context.Background(), target(2))
	must(t, err)
	defer b.Close()
	must(t, os.Symlink("/../../../"+e.Dir, evil+"/up"))
	must(t, os.Symlink("../../"+e.Base, evil+"/beside"))
	if status, text := r.ask("POST", wire.Backup+s.tokenOf("backup")+wire.Tree, ""); status != 200 {
		t.Fatal(text)
	}
	token := ""
	s.mu.Lock()
	for k, v := range s.transfers {
		if v.backup != nil {
			token = k
		}
	}
	s.mu.Unlock()
	if out, err := r.rsync(token, "-a", evil+"/", to); err != nil {
		t.Fatal(out)
	}
	for _, at := range []string{"beside/", "up/", "beside/src/", "../" + e.Base + "/", "../../../web2/"} {
		_, _ = r.rsync(token, "-a", "--keep-dirlinks", evil+"/one", to+at)
		_, _ = r.rsync(token, "-a", "--link-dest=../"+e.Base, "--inplace", evil+"/one", to+at)
		_, _ = r.rsync(token, "-a", "--backup", "--backup-dir=/../"+e.Base, evil+"/one", to+at)
		_, _ = r.rsync(token, "-a", "--temp-dir=/../../"+e.Base, "--partial-dir=../../"+e.Base, evil+"/one", to+at)
	}
	restored(t, st, e, src)
	if found, _ := filepath.Glob(s.Path + "/*"); len(found) != 1 {
		t.Errorf("outside of the client's directory: %q", found)
	}
	// The manifest of another backup makes none of this one.
	_, err = b.Commit(context.Background(), target(1).Manifest)
	says(t, err, "the manifest is that of another backup")
	m := target(2).Manifest
	m.Streams = []report.Stream{{Name: "dump", Size: 1, SHA256: "00"}}
	_, err = b.Commit(context.Background(), m)
	says(t, err, "stream dump is not stored with the 1 bytes")
}

func TestStockRsyncFetchesWhatIsCompleteAndNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	src := source(t)
	st := s.client("web1")
	must(t, whole(st, target(1), src))
	e := listed(t, st)[0]
	b, err := st.Begin(context.Background(), target(2))
	must(t, err)
	defer b.Close()
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	f := s.files("web1", nil)
	ssl := func(args ...string) (string, error) {
		cmd := exec.Command("rsync-ssl", append([]string{"--type=openssl"}, args...)...)
		cmd.Env = append(os.Environ(), "RSYNC_SSL_CERT="+f.Cert, "RSYNC_SSL_KEY="+f.Key, "RSYNC_SSL_CA_CERT="+f.CA)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	at := "rsync://localhost:" + s.port + "/"
	out, err := ssl(at)
	if err != nil || !strings.Contains(out, plainModule) {
		t.Errorf("modules: %v\n%s", err, out)
	}
	out, err = ssl("-r", "--list-only", at+plainModule+"/")
	if err != nil || !strings.Contains(out, e.Dir+"/src/dir/two") || strings.Contains(out, "partial") {
		t.Errorf("list: %v\n%s", err, out)
	}
	to := t.TempDir()
	if out, err := ssl("-aHAX", "--numeric-ids", at+plainModule+"/"+e.Dir+"/src/", to+"/src/"); err != nil {
		t.Errorf("fetch: %v\n%s", err, out)
	}
	same(t, src, to+"/src")
	if out, err := ssl("-a", src, at+plainModule+"/"+e.Dir+"/"); err == nil {
		t.Errorf("written:\n%s", out)
	}
	if out, err := ssl("-a", at+plainModule+"/etc/"+filepath.Base(filepath.Dir(e.Dir))+"/.partial-"+target(2).Base+"/", to+"/half/"); err == nil {
		t.Errorf("what is half made can be fetched:\n%s", out)
	}
	s.admit("web1", "allow = backup")
	for range 5 { // a server that closes before it is asked loses its sentence now and then
		if out, err := ssl(at); err == nil || !strings.Contains(out, "list and restore are not both allowed to client web1") {
			t.Errorf("not allowed: %v\n%s", err, out)
		}
	}
}

// blockedBody is a body of which only the first byte comes, until it is released.
func blockedBody() (body io.Reader, release func()) {
	r, w := io.Pipe()
	go func() { _, _ = w.Write([]byte("x")) }()
	return r, func() { w.Close() }
}
