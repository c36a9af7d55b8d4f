package snapshot_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// frame is one as a client may send it, whatever is in it.
func frame(kind byte, body ...any) []byte {
	var b []byte
	for _, x := range body {
		switch x := x.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(x))
		case string: // a name or path
			b = append(append(binary.AppendUvarint(b, uint64(len(x))), x...), 0)
		case []byte:
			b = append(b, x...)
		}
	}
	out := append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), kind)
	out = append(out, b...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out[4:], crc32.MakeTable(crc32.Castagnoli)))
}

func damaged(frame []byte) []byte {
	frame[6] ^= 1
	return frame
}

var hello = frame('h', []byte("b1000-link\x01\x03"), "another machine")

// file describes a regular file of these bytes and this mtime.
func file(size, sec int) []byte {
	b := []byte{0}
	for _, n := range []uint64{unix.S_IFREG | 0o644, 0, 0, uint64(size)} {
		b = binary.AppendUvarint(b, n)
	}
	return binary.AppendUvarint(binary.AppendVarint(b, int64(sec)), 123456000)
}

// TestHostileClient: whatever is sent, nothing but links and directories of the
// new snapshot come into being, what is outside of it stays as it is, and the
// answer is a sentence, not a hang.
func TestHostileClient(t *testing.T) {
	a := file(len("content of a"), 1e9)
	tests := []struct {
		name string
		send []byte
		want string
	}{
		{"nothing", nil, "EOF"},
		{"another protocol", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "no frame"},
		{"another version", frame('h', []byte("b1000-link\x07\x03"), ""), "version 7"},
		{"no greeting", frame('e'), "no frame"},
		{"an unknown kind", append(bytes.Clone(hello), frame('?')...), "no frame"},
		{"a frame that is too long", append(bytes.Clone(hello), 0xff, 0xff, 0xff, 0xff, 'd'), "no frame"},
		{"a damaged frame", append(bytes.Clone(hello), damaged(frame('d', 1, "src", 0, 0, 0))...), "damaged"},
		{"half a frame", append(bytes.Clone(hello), frame('d', 1, "src", 0, 0, 0)[:8]...), "unexpected EOF"},
		{"no end", append(bytes.Clone(hello), frame('d', 1, "src", 0, 0, 0)...), "EOF"},
		{"a path that leaves", append(bytes.Clone(hello), frame('d', 1, "src/../../victim", 0, 1, "x", 0)...), "no frame"},
		{"an absolute path", append(bytes.Clone(hello), frame('d', 1, "/etc", 0, 1, "x", 0)...), "no frame"},
		{"a path with an empty element", append(bytes.Clone(hello), frame('d', 1, "src//x", 0, 0, 0)...), "no frame"},
		{"a directory named ..", append(bytes.Clone(hello), frame('d', 1, "src", 0, 1, "..", 0)...), "no frame"},
		{"a directory with a slash", append(bytes.Clone(hello), frame('d', 1, "src", 0, 1, "../../evil", 0)...), "no frame"},
		{"a name with a NUL", append(bytes.Clone(hello), frame('d', 1, "src", 0, 1, "x\x00y", 0)...), "no frame"},
		{"an entry with a slash", append(bytes.Clone(hello), frame('d', 1, "src", 0, 0, 1, "../victim/v", a)...), "no frame"},
		{"an entry named .", append(bytes.Clone(hello), frame('d', 1, "src", 0, 0, 1, ".", a)...), "no frame"},
		{"a name without end", append(bytes.Clone(hello), frame('d', 1, "src", 0, 1, 1<<40)...), "no frame"},
		{"more directories than sent", append(bytes.Clone(hello), frame('d', 1, "src", 0, 1<<40, "a")...), "no frame"},
		{"more entries than sent", append(bytes.Clone(hello), frame('d', 1, "src", 0, 0, 1<<40, "a", a)...), "no frame"},
		{"less entries than sent", append(bytes.Clone(hello), frame('d', 1, "src", 0, 0, 0, "a", a)...), "no frame"},
		{"a group with a name that leaves", append(bytes.Clone(hello), frame('g', 1, a, 2, "src/a", "../victim/v")...), "no frame"},
		{"a group without a name", append(bytes.Clone(hello), frame('g', 1, a, 0)...), "no frame"},
		{"a directory as a group", append(bytes.Clone(hello), frame('g', 1, []byte{0, 0x80, 0x80, 1, 0, 0, 0, 0, 0}, 1, "src/d")...), "no frame"},
		{"a drop that leaves", append(bytes.Clone(hello), frame('x', "../victim", "d")...), "no frame"},
		{"a path through a link of the base", append(bytes.Clone(hello), frame('d', 1, "src/out", 0, 0, 1, "v", file(len("content of v"), 1e9), []byte{})...), "EOF"},
		{"a link, then another file in its place", append(bytes.Clone(hello), append(
			frame('d', 1, "src", 0, 0, 1, "a", a), frame('g', 2, file(len("content of b"), 1e9), 2, "src/b", "src/a")...)...), "file exists"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "b", "d/c")
			p.must(os.Mkdir(p.at("victim"), 0o755))
			p.must(os.WriteFile(p.at("victim/v"), []byte("content of v"), 0o644))
			p.must(unix.Lutimes(p.at("victim/v"), []unix.Timeval{{Sec: 1e9}, {Sec: 1e9, Usec: 123456}}))
			p.must(os.Symlink(p.at("victim"), p.at("src/out")))
			p.first()
			before := [2]map[string]string{manifest(t, p.at("1")), manifest(t, p.at("victim"))}
			if p.copied && tt.want == "file exists" { // it takes the place of the other
				tt.want = "EOF"
			}
			err := p.attack(tt.send)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			p.same(before[0], manifest(t, p.at("1")), "the base has changed")
			p.same(before[1], manifest(t, p.at("victim")), "what is outside has changed")
			if _, err := os.Lstat(p.at("evil")); err == nil {
				t.Error("something was made outside")
			}
		})
	}
}

// attack sends bytes to Accept for the new snapshot 2, and closes the connection
// when it has heard enough.
func (p *place) attack(send []byte) error {
	p.t.Helper()
	p.must(os.Mkdir(p.at("2"), 0o755))
	there := snapshot.AcceptOptions{Bases: []string{p.at("1")}, Target: p.at("2")}
	if p.copied {
		p.copyBase(&there)
	}
	client, server := net.Pipe()
	defer client.Close()
	p.must(client.SetDeadline(time.Now().Add(time.Minute)))
	done := make(chan error, 1)
	go func() {
		_, err := snapshot.Accept(context.Background(), there, server)
		server.Close()
		done <- err
	}()
	go func() {
		_, _ = client.Write(send)
		time.Sleep(50 * time.Millisecond) // for the answers, which nobody needs
		client.Close()
	}()
	_, _ = io.Copy(io.Discard, client)
	return <-done
}

// TestHostileBytes: no bytes make Accept write outside, fall over or wait for
// ever. They are good frames that were changed in some places.
func TestHostileBytes(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	good := p.recorded()
	before := manifest(t, p.at("1"))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		bad := bytes.Clone(good)
		for range 1 + rng.IntN(4) {
			bad[rng.IntN(len(bad))] = byte(rng.IntN(256))
		}
		_ = p.attack(sealed(bad))
		p.must(os.RemoveAll(p.at("2")))
		p.same(before, manifest(t, p.at("1")), "the base has changed")
	}
	outside, err := filepath.Glob(p.at("*"))
	p.must(err)
	if len(outside) != 3 { // src, 1, and the list
		t.Errorf("there are %q", outside)
	}
}

// recorded is what Offer sends for the source.
func (p *place) recorded() []byte {
	p.t.Helper()
	var rest bytes.Buffer
	var sent bytes.Buffer
	client, server := net.Pipe()
	p.must(os.Mkdir(p.at("2"), 0o755))
	go func() {
		_, _ = snapshot.Accept(context.Background(), snapshot.AcceptOptions{Bases: []string{p.at("1")}, Target: p.at("2")}, tap{server, &sent})
		server.Close()
	}()
	_, err := snapshot.Offer(context.Background(), snapshot.Options{Sources: p.sources(), HardLinks: true, ACLs: true, XAttrs: true, Rest: &rest}, client)
	p.must(err)
	p.must(os.RemoveAll(p.at("2")))
	p.must(os.WriteFile(p.at("rest"), nil, 0o600))
	return sent.Bytes()
}

type tap struct {
	net.Conn
	to *bytes.Buffer
}

func (t tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.to.Write(b[:n])
	return n, err
}

// sealed puts the sums of frames right, so that what is in them is looked at.
func sealed(b []byte) []byte {
	for rest := b; len(rest) > 5; {
		n := int(binary.LittleEndian.Uint32(rest))
		if n < 0 || n > len(rest)-9 {
			break
		}
		binary.LittleEndian.PutUint32(rest[5+n:], crc32.Checksum(rest[4:5+n], crc32.MakeTable(crc32.Castagnoli)))
		rest = rest[9+n:]
	}
	return b
}

// TestHostileUpload: a client that runs what it likes in the place of rsync
// reaches its upload only. Here it overwrites, in place, every file that is linked,
// and changes its attributes, makes links to what is outside, and leaves
// directories where files are to be; the base stays as it is, and what comes of
// it is in its own new backup.
func TestHostileUpload(t *testing.T) {
	p := newPlace(t)
	p.apart = true
	sample(p)
	p.write("later")
	p.first()
	before := manifest(t, p.at("1"))
	p.write("new")
	_, _, err := p.link("1", "2")
	p.must(err)
	up := p.into("2")
	p.must(exec.Command("cp", "-a", p.at("src"), up).Run())
	p.must(os.Chown(up+"src/a", 66, 66))
	p.must(os.Chmod(up+"src/b", 0o7777))
	p.must(os.WriteFile(up+"src/d/e/h", []byte("other"), 0o600))
	p.must(unix.Setxattr(up+"src/a", "user.evil", []byte("1"), 0))
	p.must(exec.Command("rsync", "-a", "--inplace", "-I", "--chmod=F600", "--chown=3:3", p.at("src")+"/", up+"src/").Run())
	p.must(os.Remove(up + "src/later"))
	p.must(os.Symlink(p.at("1"), up+"src/later"))
	p.must(os.Link(up+"src/a", up+"src/more"))
	p.merge("2")
	after := manifest(t, p.at("1"))
	p.same(before, after, "the base has changed")
	if to, err := os.Readlink(p.at("2/src/later")); err != nil || to != p.at("1") {
		t.Errorf("the link that was uploaded: %q, %v", to, err)
	}
}

// TestUploadThroughALink: a link in the upload, or in the tree, where the other
// has a directory, leads nowhere.
func TestUploadThroughALink(t *testing.T) {
	for _, where := range []string{"upload", "tree"} {
		t.Run(where, func(t *testing.T) {
			p := newPlace(t)
			for _, d := range []string{"up/d", "tree/d", "victim"} {
				p.must(os.MkdirAll(p.at(d), 0o755))
			}
			p.must(os.WriteFile(p.at("up/d/f"), nil, 0o600))
			bad := map[string]string{"upload": "up/d", "tree": "tree/d"}[where]
			p.must(os.RemoveAll(p.at(bad)))
			p.must(os.Symlink(p.at("victim"), p.at(bad)))
			err := snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: p.at("up"), Target: p.at("tree")})
			if err == nil || !(errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EISDIR)) {
				t.Errorf("error %v", err)
			}
			if list, _ := os.ReadDir(p.at("victim")); len(list) > 0 {
				t.Errorf("in the victim: %v", list)
			}
		})
	}
}

// TestUploadLeavesOut: what rsync keeps of half a file is no part of a snapshot.
func TestUploadLeavesOut(t *testing.T) {
	p := newPlace(t)
	p.must(os.MkdirAll(p.at("up/d/.half"), 0o755))
	p.must(os.WriteFile(p.at("up/d/.half/f"), nil, 0o600))
	p.must(os.WriteFile(p.at("up/d/g"), nil, 0o600))
	p.must(os.Mkdir(p.at("tree"), 0o755))
	p.must(snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: p.at("up"), Target: p.at("tree"), Leave: ".half"}))
	got, err := filepath.Glob(p.at("tree/d/*"))
	p.must(err)
	hidden, err := filepath.Glob(p.at("tree/d/.h*"))
	p.must(err)
	if len(got) != 1 || len(hidden) != 0 {
		t.Errorf("there are %q %q", got, hidden)
	}
}

// TestOfferEndsWithItsContext: a store that says nothing does not keep a client.
func TestOfferEndsWithItsContext(t *testing.T) {
	p := newPlace(t)
	p.write("a")
	client, server := net.Pipe()
	defer server.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	_, err := snapshot.Offer(ctx, snapshot.Options{Sources: p.sources(), Rest: &bytes.Buffer{}}, client)
	if !errors.Is(err, why) {
		t.Errorf("error %v, want the cause", err)
	}
}

// TestHostileStore: a client believes nothing but which of the entries that it
// has named are wanted.
func TestHostileStore(t *testing.T) {
	welcome := frame('H', []byte("b1000-link\x01"))
	for _, tt := range []struct {
		name string
		send []byte
		want string
	}{
		{"another version", frame('H', []byte("b1000-link\x09")), "version 9"},
		{"no greeting", frame('D'), "no frame"},
		{"done too early", append(bytes.Clone(welcome), frame('D')...), "no frame"},
		{"an answer to nothing", append(bytes.Clone(welcome), frame('A', 99, []byte{255})...), "no frame"},
		{"too many answers", append(bytes.Clone(welcome), frame('A', 1, []byte{255, 255, 255})...), "no frame"},
		{"it has gone", welcome, "EOF"},
		{"it says why", append(bytes.Clone(welcome), frame('F', []byte("disk\x1b[31m full"))...), `the store says: "disk\x1b[31m full"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a")
			client, server := net.Pipe()
			go func() {
				buf := make([]byte, 1<<16)
				_, _ = server.Read(buf)
				time.Sleep(20 * time.Millisecond) // until something has been offered
				go func() { _, _ = io.Copy(io.Discard, server) }()
				_, _ = server.Write(tt.send)
				time.Sleep(20 * time.Millisecond)
				server.Close()
			}()
			var rest bytes.Buffer
			_, err := snapshot.Offer(context.Background(), snapshot.Options{Sources: p.sources(), Rest: &rest}, client)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
