package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/wire"
)

const streamTime = "2025-01-02T03:04:05.678Z"

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// put sends a stream into the one backup that is being made, with what its end
// says of it; "" sends no end of ours.
func (r raw) put(query string, body io.Reader, good string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("PUT", "https://localhost:"+r.port+wire.Backup+r.tokenOf("backup")+wire.Stream+query, io.NopCloser(body))
	must(r.t, err)
	req.ContentLength = -1
	if good != "" {
		req.Trailer = http.Header{wire.Good: {good}}
	}
	res, err := r.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// begun is a client in the middle of a backup.
func (s *site) begun(n int) (raw, store.Backup) {
	s.t.Helper()
	b, err := s.client("web1").Begin(context.Background(), target(n))
	must(s.t, err)
	s.t.Cleanup(func() { b.Close() })
	return s.raw("web1"), b
}

func TestAStreamIsStoredOrItIsNot(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r, b := s.begun(1)
	good := "?name=db/dump.sql&mode=640&mtime=" + streamTime + "&uid=12&gid=34"
	big := strings.Repeat("0123456789abcdef", 1<<17)
	for _, test := range []struct {
		name, query, body, good string
		status                  int
		want                    string
	}{
		{"cut", good, big, "", 500, "the stream was cut before its end"},
		{"something else", good, big, digestOf("x"), 500, "the digests differ"},
		{"no mode", "?name=x&mtime=" + streamTime, "x", digestOf("x"), 400, "no permissions"},
		{"set-uid", "?name=x&mode=4755&mtime=" + streamTime, "x", digestOf("x"), 400, "no permissions"},
		{"no time", "?name=x&mode=644", "x", digestOf("x"), 400, "not a time"},
		{"no owner", "?name=x&mode=644&uid=-1&mtime=" + streamTime, "x", digestOf("x"), 400, "no owner"},
		{"above", "?name=../x&mode=644&mtime=" + streamTime, "x", digestOf("x"), 400, "not the name"},
		{"rooted", "?name=/etc/x&mode=644&mtime=" + streamTime, "x", digestOf("x"), 400, "not the name"},
		{"a directory", "?name=x/&mode=644&mtime=" + streamTime, "x", digestOf("x"), 400, "not the name"},
		{"nothing", "?name=&mode=644&mtime=" + streamTime, "x", digestOf("x"), 400, "not the name"},
		{"good", good, big, digestOf(big), 200, digestOf(big)},
		{"below a file", "?name=db/dump.sql/x&mode=644&mtime=" + streamTime, "x", digestOf("x"), 500, "which is no directory"},
		{"empty", "?name=empty&mode=600&mtime=" + streamTime, "", digestOf(""), 200, `"size":0`},
	} {
		status, text := r.put(test.query, strings.NewReader(test.body), test.good)
		if status != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s: %d %s; want %d %s", test.name, status, text, test.status, test.want)
		}
	}
	token := s.tokenOf("backup")
	m := target(1).Manifest
	m.Streams = []report.Stream{{Name: "db/dump.sql", Size: int64(len(big)), SHA256: digestOf("another")}}
	_, err := b.Commit(context.Background(), m)
	says(t, err, "stream db/dump.sql is not stored with the")
	m.Streams[0].SHA256 = digestOf(big)
	m.Streams = append(m.Streams, report.Stream{Name: "empty", SHA256: digestOf("")})
	_, err = b.Commit(context.Background(), m)
	must(t, err)
	dir := filepath.Join(s.Path, "web1", listed(t, s.open(r.files))[0].Dir)
	stored, err := os.ReadFile(dir + "/db/dump.sql")
	must(t, err)
	info, err := os.Stat(dir + "/db/dump.sql")
	must(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	at, _ := time.Parse(time.RFC3339Nano, streamTime)
	if string(stored) != big || info.Mode() != 0o640 || !info.ModTime().Equal(at) || os.Geteuid() == 0 && (owner.Uid != 12 || owner.Gid != 34) {
		t.Errorf("stored are %d bytes, %v", len(stored), info)
	}
	if found, _ := filepath.Glob(dir + "/*"); len(found) != 2 {
		t.Errorf("stored is %q", found)
	}
	if found, _ := filepath.Glob(dir + "/.*"); len(found) != 0 {
		t.Errorf("left behind: %q", found)
	}
	if status, text := r.ask("PUT", wire.Backup+token+wire.Stream+good, "later"); status != http.StatusGone {
		t.Errorf("into what is committed: %d %s", status, text)
	}
}

func TestAStreamThatIsSentAgainReplacesTheFirst(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r, b := s.begun(1)
	for _, body := range []string{"a first attempt, which is longer", "second"} {
		if status, text := r.put("?name=dump&mode=600&mtime="+streamTime, strings.NewReader(body), digestOf(body)); status != 200 {
			t.Fatal(text)
		}
	}
	m := target(1).Manifest
	m.Streams = []report.Stream{{Name: "dump", Size: 6, SHA256: digestOf("second")}}
	_, err := b.Commit(context.Background(), m)
	must(t, err)
	got, err := os.ReadFile(filepath.Join(s.Path, "web1", listed(t, s.open(r.files))[0].Dir, "dump"))
	if string(got) != "second" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// A client fills its tree with links that lead out of it, while it sends streams
// through them.
func TestAStreamDoesNotFollowTheClientsLinks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	outside := t.TempDir()
	write(t, outside+"/file", "precious")
	before, err := os.Stat(outside + "/file")
	must(t, err)
	r, _ := s.begun(1)
	evil := t.TempDir()
	must(t, os.Symlink(outside, evil+"/dir"))
	must(t, os.Symlink(outside+"/file", evil+"/file"))
	must(t, os.Symlink(outside, evil+"/.rsync-partial"))
	part := sha256.Sum256([]byte("file"))
	must(t, os.MkdirAll(evil+"/hidden", 0o755))
	must(t, os.Symlink(outside, evil+"/hidden/stream-"+hex.EncodeToString(part[:6])))
	if status, text := r.ask("POST", wire.Backup+r.tokenOf("backup")+wire.Tree, ""); status != 200 {
		t.Fatal(text)
	}
	if out, err := r.rsync(r.tokenOf("transfer"), "-a", evil+"/", "rsync://localhost/"+wire.Module+"/"); err != nil {
		t.Fatal(out)
	}
	for _, name := range []string{"dir/file", "file", ".rsync-partial/file", "hidden/stream-" + hex.EncodeToString(part[:6]) + "/file"} {
		status, text := r.put("?name="+name+"&mode=777&uid=1&gid=1&mtime="+streamTime, strings.NewReader("changed"), digestOf("changed"))
		if status == 0 {
			t.Errorf("%s: %s", name, text)
		}
	}
	after, err := os.Stat(outside + "/file")
	must(t, err)
	if text, _ := os.ReadFile(outside + "/file"); string(text) != "precious" || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) || after.Sys().(*syscall.Stat_t).Uid != before.Sys().(*syscall.Stat_t).Uid {
		t.Errorf("changed outside: %q %v", text, after)
	}
	if found, _ := filepath.Glob(outside + "/*"); len(found) != 1 {
		t.Errorf("written outside: %q", found)
	}
}

func TestAStreamTakesAPlaceAndEndsWithItsClient(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Transfers, s.Timeout = 1, 2*time.Second })
	r, _ := s.begun(1)
	query := "?name=dump&mode=600&mtime=" + streamTime
	hang := func() (answer chan string, release func()) {
		body, release := blockedBody()
		answer = make(chan string, 1)
		go func() {
			status, text := r.put(query, body, digestOf("x"))
			answer <- fmt.Sprint(status, " ", text)
		}()
		eventually(t, "it has a place", func() bool { used, _ := s.rooms.count(); return used == 1 })
		return answer, release
	}
	free := func() bool { used, _ := s.rooms.count(); return used == 0 }
	answer, release := hang()
	eventually(t, "one that sends nothing for a while is cut", free)
	release()
	<-answer
	answer, release = hang()
	must(t, os.Remove(filepath.Join(s.ClientsDir, "web1")))
	eventually(t, "one that is not admitted any more is cut", free)
	release()
	<-answer
}

func TestAStreamThatBreaksTheQuotaIsCut(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.admit("web1", "quota = 4M")
	b, err := s.open(s.files("web1", nil)).Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	_, err = b.Stream(context.Background(), store.Stream{Name: "dump", Mode: 0o600, ModTime: noon}, &slow{left: 64 << 20})
	says(t, err, "its quota is 4.0 MiB")
	eventually(t, "what was cut is removed", func() bool { return len(listed(t, s.open(s.files("web1", nil)))) == 0 })
}

// slow gives 1 MiB every tenth of a second.
type slow struct{ left int }

func (s *slow) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.EOF
	}
	const piece = 32 << 10
	time.Sleep(3 * time.Millisecond)
	n := min(len(p), piece, s.left)
	s.left -= n
	for i := range p[:n] {
		p[i] = byte(s.left + i)
	}
	return n, nil
}

// A source that fails makes no stream, and the client says what was the matter.
func TestAStreamWhoseSourceFailsIsNotStored(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r, b := s.begun(1)
	_, err := b.Stream(context.Background(), store.Stream{Name: "dump", Mode: 0o600, ModTime: noon}, io.MultiReader(strings.NewReader("half"), failing{}))
	says(t, err, "the dump has died")
	m := target(1).Manifest
	m.Streams = []report.Stream{{Name: "dump", Size: 4, SHA256: digestOf("half")}}
	text, _ := json.Marshal(m)
	eventually(t, "the stream is over", func() bool { used, _ := s.rooms.count(); return used == 0 })
	if status, answer := r.ask("POST", wire.Backup+r.tokenOf("backup")+wire.Commit, string(text)); status != 409 {
		t.Errorf("committed: %d %s", status, answer)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the dump has died") }

// With owners in attributes a tree and a stream come back as they were.
func TestOwnersInAttributesComeBack(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make files of others")
	}
	s := start(t, func(s *Settings) { s.FakeSuper = true })
	st := s.client("web1")
	src := source(t)
	must(t, syscall.Mknod(src+"/device", syscall.S_IFBLK|0o640, 7<<8|200))
	must(t, os.Chmod(src+"/dir", 0o2711))
	must(t, os.Symlink("/etc/passwd", src+"/absolute"))
	must(t, os.Symlink("../../../../up", src+"/dir/up"))
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	r, err := b.Tree(context.Background(), treeOf(src))
	must(t, err)
	sent, err := b.Stream(context.Background(), store.Stream{Name: "dump", Mode: 0o440, UID: 12, GID: 34, ModTime: noon}, strings.NewReader("dumped"))
	must(t, err)
	m := target(1).Manifest
	m.End, m.Files, m.Bytes, m.Streams = m.Start, r.Files, r.Bytes, []report.Stream{sent}
	_, err = b.Commit(context.Background(), m)
	must(t, err)
	e := listed(t, st)[0]
	stored, err := os.Stat(filepath.Join(s.Path, "web1", e.Dir, "src", "one"))
	must(t, err)
	if owner := stored.Sys().(*syscall.Stat_t); owner.Uid != 0 {
		t.Errorf("the stored file belongs to %d", owner.Uid)
	}
	restored(t, st, e, src)
	to := filepath.Join(t.TempDir(), "to")
	_, err = st.Restore(context.Background(), e, store.Restore{To: to})
	must(t, err)
	info, err := os.Stat(to + "/dump")
	must(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	if text, _ := os.ReadFile(to + "/dump"); string(text) != "dumped" || info.Mode() != 0o440 || owner.Uid != 12 || owner.Gid != 34 || !info.ModTime().Equal(noon) {
		t.Errorf("the stream came back as %q, %v, of %d:%d", text, info, owner.Uid, owner.Gid)
	}
}
