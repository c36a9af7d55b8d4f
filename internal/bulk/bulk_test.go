package bulk

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

const partial = ".~half~"

// made is the time of new directories.
var made = time.Unix(1000, 5)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files makes files of random content below a directory, old enough to be sent.
func files(t *testing.T, sizes map[string]int) (dir string, list []File) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		p := filepath.Join(dir, name)
		content := make([]byte, sizes[name])
		_, _ = rand.Read(content)
		must(t, os.MkdirAll(filepath.Dir(p), 0o700))
		must(t, os.WriteFile(p, content, 0o640))
		must(t, os.Chtimes(p, time.Time{}, time.Unix(1700000000, 123456789)))
		if os.Geteuid() == 0 {
			must(t, os.Chown(p, 1234, 5678))
		}
		list = append(list, File{p, name, int64(len(content))})
	}
	time.Sleep(settled + 100*time.Millisecond)
	return dir, list
}

// carry sends files into a directory. done is told of what was sent.
func carry(t *testing.T, list []File, to string, done func(int)) (sent, stored Sum, err error) {
	t.Helper()
	return carryEach(t, each(list), to, done)
}

func carryEach(t *testing.T, list iter.Seq2[File, error], to string, done func(int)) (sent, stored Sum, err error) {
	t.Helper()
	here, there := net.Pipe()
	root, err := os.OpenRoot(to)
	must(t, err)
	defer root.Close()
	received := make(chan error, 1)
	go func() {
		var err error
		stored, err = Receive(there, Place{root, partial, made})
		there.Close()
		received <- err
	}()
	sent, err = Send(here, list, done, nil)
	here.Close()
	return sent, stored, errors.Join(err, <-received)
}

// each gives one file after the other, and at last an error, if one is given.
func each(list []File, err ...error) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for _, f := range list {
			if !yield(f, nil) {
				return
			}
		}
		for _, err := range err {
			yield(File{}, err)
		}
	}
}

// tree is every name below a directory, except the root.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if p != dir {
			names = append(names, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	}))
	return names
}

// equal compares a file with its copy, and what belongs to it.
func equal(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	must(t, err)
	y, err := os.ReadFile(b)
	must(t, err)
	if !bytes.Equal(x, y) {
		t.Errorf("%s: the content differs", b)
	}
	var s, u unix.Stat_t
	must(t, unix.Lstat(a, &s))
	must(t, unix.Lstat(b, &u))
	if s.Mode != u.Mode || s.Mtim != u.Mtim || s.Uid != u.Uid || s.Gid != u.Gid {
		t.Errorf("%s: got %o %v %d:%d; want %o %v %d:%d", b, u.Mode, u.Mtim, u.Uid, u.Gid, s.Mode, s.Mtim, s.Uid, s.Gid)
	}
}

func TestFilesArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	sizes := map[string]int{"empty": 0, "one": 1, "a/b/c/deep": 70000, "not-\xff-utf8": 12345}
	for _, n := range []int{frameSize, bufferSize, 2 * frameSize, 7 * bufferSize, 3 << 20} {
		for _, d := range []int{-1, 0, 1} {
			sizes[fmt.Sprintf("size %d", n+d)] = n + d
		}
	}
	for i := range 2 * mostOffered { // more than are offered at once
		sizes[fmt.Sprintf("many/%d", i)] = i
	}
	dir, list := files(t, sizes)
	to := t.TempDir()
	told := 0
	sent, stored, err := carry(t, list, to, func(n int) { told += n })
	must(t, err)
	for _, f := range list {
		equal(t, filepath.Join(dir, f.Name), filepath.Join(to, f.Name))
	}
	var want Sum
	for _, n := range sizes {
		want.Files++
		want.Bytes += int64(n)
	}
	if sent != want || stored != want || told != int(want.Bytes) {
		t.Errorf("sent %+v and told of %d, stored %+v; want %+v", sent, told, stored, want)
	}
	if a, b := tree(t, dir), tree(t, to); !slices.Equal(a, b) {
		t.Errorf("got %q; want %q", b, a)
	}
}

func TestAListThatBreaksOffIsToldOf(t *testing.T) {
	t.Parallel()
	dir, list := files(t, map[string]int{"a": 5000, "b/c": 70000})
	to, broken := t.TempDir(), errors.New("broken off")
	sent, stored, err := carryEach(t, each(list, broken), to, nil)
	if !errors.Is(err, broken) || sent != (Sum{2, 75000}) || sent != stored {
		t.Errorf("sent %+v, stored %+v, %v", sent, stored, err)
	}
	for _, f := range list {
		equal(t, filepath.Join(dir, f.Name), filepath.Join(to, f.Name))
	}
}

func TestWhatIsThereIsNeitherSentNorTouched(t *testing.T) {
	t.Parallel()
	_, list := files(t, map[string]int{"there": 10, "half": 10, "in/the/way": 10, "link": 10, "out/side": 10, "new": 10})
	to, elsewhere := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(to, partial), 0o700))
	must(t, os.WriteFile(filepath.Join(to, "there"), []byte("old"), 0o600))
	must(t, os.Link(filepath.Join(to, "there"), filepath.Join(elsewhere, "older backup")))
	must(t, os.WriteFile(filepath.Join(to, partial, "half"), []byte("half"), 0o600))
	must(t, os.WriteFile(filepath.Join(to, "in"), []byte("a file"), 0o600))
	must(t, os.Symlink(filepath.Join(elsewhere, "made"), filepath.Join(to, "link")))
	must(t, os.Symlink(elsewhere, filepath.Join(to, "out")))
	before := tree(t, to)
	sent, stored, err := carry(t, list, to, nil)
	must(t, err)
	if want := (Sum{1, 10}); sent != want || stored != want {
		t.Errorf("sent %+v, stored %+v; want new", sent, stored)
	}
	if got := slices.DeleteFunc(tree(t, to), func(n string) bool { return n == "new" }); !slices.Equal(got, before) {
		t.Errorf("got %q; want %q", got, before)
	}
	for p, want := range map[string]string{to + "/there": "old", elsewhere + "/older backup": "old", to + "/" + partial + "/half": "half", to + "/in": "a file"} {
		if got, _ := os.ReadFile(p); string(got) != want {
			t.Errorf("%s: got %q; want %q", p, got, want)
		}
	}
	if got := tree(t, elsewhere); !slices.Equal(got, []string{"older backup"}) {
		t.Errorf("outside there is %q", got)
	}
}

func TestAFileThatChangesIsNotStored(t *testing.T) {
	t.Parallel()
	appendTo := func(p string) error {
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.Write(make([]byte, 1<<20))
			f.Close()
		}
		return err
	}
	for name, change := range map[string]func(p string) error{
		"content": func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("x"), 0)
				f.Close()
			}
			return err
		},
		"grows":       appendTo,
		"shrinks":     func(p string) error { return os.Truncate(p, 1<<20) },
		"permissions": func(p string) error { return os.Chmod(p, 0o600) },
		"another name": func(p string) error {
			return os.Link(p, p+".2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, list := files(t, map[string]int{"d/changes": 3 << 20, "stays": 3 << 20})
			to := t.TempDir()
			first := true
			sent, stored, err := carry(t, list, to, func(int) {
				if first {
					first = false
					must(t, change(filepath.Join(dir, "d/changes")))
				}
			})
			must(t, err)
			if want := (Sum{1, 3 << 20}); sent != want || stored != want {
				t.Errorf("sent %+v, stored %+v", sent, stored)
			}
			// What came of it is rsync's to go on from.
			if got := tree(t, to); !slices.Equal(got, []string{"d", "d/" + partial, "d/" + partial + "/changes", "stays"}) {
				t.Errorf("there is %q", got)
			}
			equal(t, filepath.Join(dir, "stays"), filepath.Join(to, "stays"))
		})
	}
}

// What is very deep is left to rsync: each file there would take long.
func TestWhatIsVeryDeepIsNotWanted(t *testing.T) {
	t.Parallel()
	_, list := files(t, map[string]int{strings.Repeat("d/", deepest) + "in": 5, strings.Repeat("d/", deepest+1) + "out": 5})
	to := t.TempDir()
	_, stored, err := carry(t, list, to, nil)
	must(t, err)
	if _, err := os.Lstat(filepath.Join(to, list[1].Name)); err != nil || stored.Files != 1 {
		t.Errorf("stored %+v: %v", stored, err)
	}
}

func TestAFileThatGoesIsNotStored(t *testing.T) {
	t.Parallel()
	dir, list := files(t, map[string]int{"d/goes": 3 << 20, "goes later": 3 << 20, "stays": 3 << 20})
	to := t.TempDir()
	_, stored, err := carry(t, list, to, func(int) {
		_ = os.Remove(filepath.Join(dir, "d/goes"))
		_ = os.Remove(filepath.Join(dir, "goes later"))
	})
	must(t, err)
	if got := tree(t, to); stored.Files != 1 || !slices.Equal(got, []string{"d", "stays"}) {
		t.Errorf("stored %+v, there is %q", stored, got)
	}
}

// A half that is left when the connection ends is what came, from the beginning.
func TestAHalfStaysWhenTheConnectionEnds(t *testing.T) {
	t.Parallel()
	dir, list := files(t, map[string]int{"d/e/half": 3 << 20})
	to := t.TempDir()
	must(t, os.Mkdir(filepath.Join(to, "d"), 0o755))
	before := time.Unix(1500000000, 77)
	must(t, os.Chtimes(filepath.Join(to, "d"), before, before))
	here, there := net.Pipe()
	root, err := os.OpenRoot(to)
	must(t, err)
	defer root.Close()
	received := make(chan error, 1)
	go func() {
		_, err := Receive(there, Place{root, partial, made})
		received <- err
	}()
	n := 0
	_, err = Send(here, each(list), func(int) {
		if n++; n == 10 {
			here.Close()
		}
	}, nil)
	if err == nil {
		t.Error("the connection has ended, and it went well")
	}
	if err := <-received; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	half, err := os.ReadFile(filepath.Join(to, "d/e", partial, "half"))
	must(t, err)
	all, err := os.ReadFile(filepath.Join(dir, "d/e/half"))
	must(t, err)
	if len(half) != 10*frameSize || !bytes.HasPrefix(all, half) {
		t.Errorf("%d bytes of the half are there", len(half))
	}
	for name, want := range map[string]time.Time{"d": before, "d/e": made} {
		info, err := os.Stat(filepath.Join(to, name))
		must(t, err)
		if !info.ModTime().Equal(want) {
			t.Errorf("%s is of %v; want %v", name, info.ModTime(), want)
		}
	}
}

func TestWhatDoesNotFitIsNotOffered(t *testing.T) {
	t.Parallel()
	dir, list := files(t, map[string]int{"gone": 9, "setuid": 9, "two names": 9, "young": 9, "fifo": 9, "link": 9, "good": 9})
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Remove(at("gone")))
	must(t, os.Chmod(at("setuid"), 0o755|fs.ModeSetuid))
	must(t, os.Link(at("two names"), at("other")))
	must(t, os.Remove(at("fifo")))
	must(t, unix.Mkfifo(at("fifo"), 0o600))
	must(t, os.Remove(at("link")))
	must(t, os.Symlink("good", at("link")))
	time.Sleep(settled + 100*time.Millisecond)
	must(t, os.WriteFile(at("young"), []byte("123456789"), 0o600))
	to := t.TempDir()
	sent, _, err := carry(t, list, to, nil)
	must(t, err)
	if got := tree(t, to); sent.Files != 1 || !slices.Equal(got, []string{"good"}) {
		t.Errorf("there is %q", got)
	}
}

// evil is a sender by hand.
func evil(t *testing.T, to string, send ...[]byte) (Sum, error) {
	t.Helper()
	here, there := net.Pipe()
	root, err := os.OpenRoot(to)
	must(t, err)
	defer root.Close()
	go func() { _, _ = io.Copy(io.Discard, here) }()
	go func() {
		for _, b := range send {
			if _, err := here.Write(b); err != nil {
				return
			}
		}
		here.Close()
	}()
	sum, err := Receive(there, Place{root, partial, made})
	there.Close()
	return sum, err
}

func framed(b ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func offered(format string, a ...any) []byte { return framed([]byte(fmt.Sprintf(format, a...))...) }

func TestAReceiverTakesNothingBad(t *testing.T) {
	t.Parallel()
	ok := offered(`[{"name":"YWJj","size":4,"mode":420}]`) // abc
	cases := map[string][][]byte{
		"more than it said":      {ok, framed(make([]byte, frameSize)...), framed(1, 2, 3, 4, 5), framed(), framed(1, 2, 3, 4, 5, 6, 7, 8)},
		"less than it said":      {ok, framed(1), framed(), framed(binary.BigEndian.AppendUint64(nil, xxhash.Sum64([]byte{1}))...)},
		"another digest":         {ok, framed(1, 2, 3, 4), framed(), framed(1, 2, 3, 4, 5, 6, 7, 8)},
		"half a digest":          {ok, framed(1, 2, 3, 4), framed(), framed(1, 2, 3)},
		"a frame that is longer": {ok, {0, 2, 0, 0}},
		"a list that is longer":  {{0xff, 0, 0, 0}},
		"no list":                {framed('{')},
		"setuid":                 {offered(`[{"name":"YWJj","size":4,"mode":%d}]`, 0o755|fs.ModeSetuid)},
		"a size below nothing":   {offered(`[{"name":"YWJj","size":-4,"mode":420}]`)},
		"too many":               {offered("[%s]", strings.Repeat(`{"name":"YWJj","size":4,"mode":420},`, mostOffered)+`{"name":"YWJj"}`)},
		"a name that is longer":  {offered(`[{"name":"%s","size":4,"mode":420}]`, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a/", 2048)+"a")))},
		"a part that is longer":  {offered(`[{"name":"%s","size":4,"mode":420}]`, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 256))))},
		"a time that is none":    {offered(`[{"name":"YWJj","size":4,"mode":420,"nsec":-1}]`)},
		"empty ones":             {offered("[%s{}]", strings.Repeat("{},", 300000))},
		"an end in the list":     {ok[:9]},
		"another end":            {ok, framed(1, 2, 3, 4), framed(), framed(1)},
		"an end before content":  {ok},
	}
	for _, name := range []string{"", "/abs", "../up", "a/../b", "a/./b", "a//b", "a/", ".", "..", "nul\x00"} {
		text, err := json.Marshal([]offer{{Name: []byte(name), Size: 4, Mode: 0o644}})
		must(t, err)
		cases[fmt.Sprintf("name %q", name)] = [][]byte{framed(text...), framed(1, 2, 3, 4)}
	}
	for name, send := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := t.TempDir()
			sum, err := evil(t, to, send...)
			if err == nil || sum.Files != 0 {
				t.Errorf("got %+v and %v; want an error", sum, err)
			}
			if got := tree(t, to); len(got) != 0 {
				t.Errorf("there is %q", got)
			}
		})
	}
}

func TestASenderIsNotLedAstray(t *testing.T) {
	t.Parallel()
	_, list := files(t, map[string]int{"a": 10, "b": 10})
	for name, say := range map[string][]byte{
		"one that was not offered": offered(`{"wanted":[2]}`),
		"one twice":                offered(`{"wanted":[0,0]}`),
		"one below the first":      offered(`{"wanted":[-1]}`),
		"no answer":                framed(),
		"an endless answer":        {0x7f, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			here, there := net.Pipe()
			go func() { _, _ = there.Write(say) }()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			time.AfterFunc(10*time.Second, func() { there.Close() })
			if _, err := Send(here, each(list), nil, nil); !errors.Is(err, errFrame) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestADiskThatIsFullLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	to := t.TempDir()
	must(t, unix.Mount("tmpfs", to, "tmpfs", 0, "size=2m"))
	t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
	_, list := files(t, map[string]int{"d/a": 1 << 20, "d/b": 3 << 20})
	_, stored, err := carry(t, list, to, nil)
	if !errors.Is(err, syscall.ENOSPC) || stored.Files != 1 {
		t.Errorf("got %+v and %v", stored, err)
	}
	if got := tree(t, to); !slices.Equal(got, []string{"d", "d/a"}) {
		t.Errorf("there is %q", got)
	}
}
