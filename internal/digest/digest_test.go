package digest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// place is a tree with a log beside it.
type place struct{ tree, log string }

func newPlace(t *testing.T, files map[string]string) place {
	t.Helper()
	p := place{filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "log")}
	for name, text := range files {
		p.write(t, name, text)
	}
	return p
}

func (p place) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(filepath.Join(p.tree, name)), 0o755))
	must(t, os.WriteFile(filepath.Join(p.tree, name), []byte(text), 0o644))
}

func (p place) check(t *testing.T, o Options) Result {
	t.Helper()
	l, err := Open(p.log)
	must(t, err)
	defer l.Close()
	o.Tree = p.tree
	r, err := Check(context.Background(), l, o)
	must(t, err)
	slices.Sort(r.Damage)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsFound(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		name   string
		change func(t *testing.T, p place)
		o      Options
		fresh  int64
		damage []string
	}{
		{name: "nothing changed"},
		{name: "one byte of a long file, its time put back", change: func(t *testing.T, p place) {
			info, err := os.Stat(p.tree + "/d/long")
			must(t, err)
			p.write(t, "d/long", long[:1<<19]+"y"+long[1<<19+1:])
			must(t, os.Chtimes(p.tree+"/d/long", time.Time{}, info.ModTime()))
		}, damage: []string{"d/long: its content is not what was recorded"}},
		{name: "written again with the same content", change: func(t *testing.T, p place) {
			must(t, os.Chtimes(p.tree+"/a", time.Time{}, time.Unix(1, 0)))
		}, damage: []string{"a: its time is not what was recorded, so somebody has written to it"}},
		{name: "cut short", change: func(t *testing.T, p place) { must(t, os.Truncate(p.tree+"/a", 1)) },
			damage: []string{"a: its size is not what was recorded"}},
		{name: "cut short, in a tree that is kept up to date", o: Options{Mirror: true}, fresh: 1,
			change: func(t *testing.T, p place) { must(t, os.Truncate(p.tree+"/a", 1)) }},
		{name: "another file of that name has no digest yet", fresh: 1, change: func(t *testing.T, p place) {
			must(t, os.Rename(p.tree+"/a", p.tree+"/old"))
			p.write(t, "a", "aaaa")
		}},
		{name: "only what is new is read", o: Options{Record: true}, fresh: 1, change: func(t *testing.T, p place) {
			p.write(t, "new", "n")
			must(t, os.Truncate(p.tree+"/a", 1))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, map[string]string{"a": "aaaa", "d/long": long})
			must(t, os.Link(p.tree+"/a", p.tree+"/d/again"))
			must(t, os.Remove(p.tree+"/d/again")) // a name gone is not the digest's business
			must(t, exec.Command("mkfifo", p.tree+"/fifo").Run())
			must(t, os.Symlink("a", p.tree+"/link"))
			if r := p.check(t, Options{}); r.Fresh != 2 || r.Read != 2 || r.Files != 4 || r.Damaged != 0 {
				t.Fatalf("first: %+v", r)
			}
			if test.change != nil {
				test.change(t, p)
			}
			r := p.check(t, test.o)
			if r.Fresh != test.fresh || !slices.Equal(r.Damage, test.damage) || r.Damaged != int64(len(test.damage)) {
				t.Errorf("got %d fresh, %q; want %d, %q", r.Fresh, r.Damage, test.fresh, test.damage)
			}
			if test.o.Record && r.Read != test.fresh {
				t.Errorf("%d files were read", r.Read)
			}
		})
	}
}

// A hard link is one file.
func TestAFileOfSeveralNamesIsReadOnce(t *testing.T) {
	p := newPlace(t, map[string]string{"a": "aaaa"})
	must(t, os.Link(p.tree+"/a", p.tree+"/b"))
	if r := p.check(t, Options{}); r.Read != 1 || r.Files != 2 || r.Bytes != 8 {
		t.Errorf("got %+v", r)
	}
}

// What rots may be the log itself, and a crash may cut it: the lines count for
// nothing, and the rest of it holds.
func TestADamagedLog(t *testing.T) {
	p := newPlace(t, map[string]string{"a": "aaaa", "b": "bbbb"})
	p.check(t, Options{})
	data, err := os.ReadFile(p.log)
	must(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	lines[1] = strings.Replace(lines[1], lines[1][:1], "g", 1)
	must(t, os.WriteFile(p.log, []byte(strings.Join(lines, "")+lines[2][:20]), 0o600))
	l, err := Open(p.log)
	must(t, err)
	if l.Spoilt != 2 {
		t.Errorf("%d lines count for nothing, want 2", l.Spoilt)
	}
	if _, err := Open(p.log); !errors.Is(err, ErrBusy) {
		t.Errorf("opened twice: %v", err)
	}
	l.Close()
	if r := p.check(t, Options{}); r.Fresh != 1 || r.Damaged != 0 {
		t.Errorf("got %+v", r)
	}
	if r := p.check(t, Options{}); r.Fresh != 0 {
		t.Errorf("what was noted after the cut line is lost: %+v", r)
	}
	must(t, os.WriteFile(p.log, []byte("something else\n"), 0o600))
	if _, err := Open(p.log); err == nil || !strings.Contains(err.Error(), "not a log of digests") {
		t.Errorf("got %v", err)
	}
}

func TestALineCutInItsLastByteIsNoLine(t *testing.T) {
	p := newPlace(t, map[string]string{"a": "aaaa"})
	p.check(t, Options{})
	info, err := os.Stat(p.log)
	must(t, err)
	must(t, os.Truncate(p.log, info.Size()-2))
	if r := p.check(t, Options{}); r.Fresh != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	p := newPlace(t, map[string]string{"a": "aaaa"})
	l, err := Open(p.log)
	must(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	if _, err := Check(ctx, l, Options{Tree: p.tree}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, err := Check(context.Background(), l, Options{Tree: p.tree + "/none"}); err == nil {
		t.Error("a tree that is not there was no error")
	}
}

func TestList(t *testing.T) {
	l := List{Of: "0123abcd", Files: map[string]File{
		"a": {4, "11"}, "odd \"name\"\n\xff": {0, "22"}, "link": {3, ""},
	}}
	var b bytes.Buffer
	must(t, l.Write(&b))
	got, err := ReadList(b.Bytes())
	if err != nil || got.Of != l.Of || !maps.Equal(got.Files, l.Files) {
		t.Errorf("got %+v, %v", got, err)
	}
	for i := range b.Len() {
		bad := bytes.Clone(b.Bytes())
		bad[i] ^= 1
		if got, err := ReadList(bad); err == nil && (got.Of != l.Of || !maps.Equal(got.Files, l.Files)) {
			t.Errorf("byte %d changed, and taken for good: %+v", i, got)
		}
		if _, err := ReadList(b.Bytes()[:i]); err == nil && i < b.Len()-1 {
			t.Errorf("cut after %d bytes, and taken for good", i)
		}
	}
	now := List{Files: map[string]File{"a": {4, "12"}, "link": {4, ""}, "new": {1, "3"}}}
	damage := l.Compare(now)
	slices.Sort(damage)
	want := []string{
		"a: its content is not what was recorded", "link: its size is not what was recorded",
		"new: was not there when digests were recorded", "odd \"name\"\n\xff: is missing",
	}
	if !slices.Equal(damage, want) {
		t.Errorf("got %q, want %q", damage, want)
	}
}
