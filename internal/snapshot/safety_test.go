package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// TestSameSizeAndTime documents what the quick check does not see, as in
// rsync.
func TestSameSizeAndTime(t *testing.T) {
	p := newPlace(t)
	p.write("a")
	p.first()
	p.must(os.WriteFile(p.at("src/a"), []byte("CONTENT OF A"[:len("content of a")]), 0))
	p.must(unix.Lutimes(p.at("src/a"), []unix.Timeval{{}, {Sec: 1e9, Usec: 123456}}))
	if res, _, err := p.link("1", "2"); err != nil || res.Linked != 1 {
		t.Errorf("result %+v, error %v", res, err)
	}
}

// TestTooFreshToTrust: a file written in the moment in which the base was
// taken may have been written again after it was copied.
func TestTooFreshToTrust(t *testing.T) {
	taken := time.Unix(1.6e9, 500e6)
	for _, tt := range []struct {
		name  string
		mtime time.Time
		taken time.Time
		rest  int64
	}{
		{"long before", taken.Add(-time.Hour), taken, 0},
		{"20 ms before", taken.Add(-20 * time.Millisecond), taken, 0},
		{"5 ms before", taken.Add(-5 * time.Millisecond), taken, 1},
		{"at that moment", taken, taken, 1},
		{"after", taken.Add(time.Second), taken, 1},
		{"full seconds, 1 s before", taken.Add(-1500 * time.Millisecond), taken, 1},
		{"full seconds, 3 s before", taken.Add(-3500 * time.Millisecond), taken, 0},
		{"not known", taken, time.Time{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a")
			p.must(os.Chtimes(p.at("src/a"), tt.mtime, tt.mtime))
			p.first()
			p.more = func(o *snapshot.Options) { o.BaseTimes = []time.Time{tt.taken} }
			if res := p.snapshot("1", "2"); res.Rest != tt.rest {
				t.Errorf("%d for rsync, want %d", res.Rest, tt.rest)
			}
		})
	}
}

// TestSecondBase: what the last complete backup lacks may be in an interrupted
// one.
func TestSecondBase(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	p.write("d/new", "d/e/new2")
	p.must(os.MkdirAll(p.at("part/src/d"), 0o755))
	p.rsync(append(p.keeping(), p.at("src/d/new"), p.there(p.at("part/src/d/")))...)
	p.more = func(o *snapshot.Options) { o.Bases = append(o.Bases, p.at("part")) }
	if res := p.snapshot("1", "2"); res.Rest != 1 {
		t.Errorf("result %+v, want 1 for rsync", res)
	}
}

// TestSourceLinkedToBase: a file that the source shares with the base would
// carry changes into the backup, and into the next.
func TestSourceLinkedToBase(t *testing.T) {
	p := newPlace(t)
	p.write("a", "b")
	p.first()
	p.must(os.Remove(p.at("src/a")))
	p.must(os.Link(p.at("1/src/a"), p.at("src/a")))
	res, list, err := p.link("1", "2")
	p.must(err)
	if res.Rest != 1 || res.Linked != 1 {
		t.Errorf("result %+v, list %q", res, list)
	}
}

// TestUnreadable: what cannot be read is named, and the rest is done.
func TestUnreadable(t *testing.T) {
	p := newPlace(t)
	p.write("a", "d/e", "z/b")
	p.first()
	p.must(os.Chmod(p.at("src/d"), 0))
	p.must(os.Chmod(p.dir, 0o755))
	p.must(os.Chmod(p.at(".."), 0o755))
	p.must(os.Mkdir(p.at("2"), 0o777))
	p.must(os.Chmod(p.at("2"), 0o777))
	// as another user, in a process of its own
	self, err := os.Executable()
	p.must(err)
	program, err := os.ReadFile(self)
	p.must(err)
	p.must(os.WriteFile(p.at("helper"), program, 0o755))
	cmd := exec.Command(p.at("helper"), "-test.run=^TestUnreadableHelper$", "-test.v")
	cmd.Env = append(os.Environ(), "SNAPSHOT_HELPER="+p.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "src/d: permission denied") || !strings.Contains(string(out), "dirs 3 files 2") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnreadableHelper(t *testing.T) {
	dir := os.Getenv("SNAPSHOT_HELPER")
	if dir == "" {
		return // not a test by itself: TestUnreadable starts it
	}
	var rest bytes.Buffer
	res, err := snapshot.Link(context.Background(), snapshot.Options{
		Sources: []snapshot.Source{{Path: dir + "/src", Name: "src"}}, Bases: []string{dir + "/1"}, Target: dir + "/2",
		HardLinks: true, ACLs: true, XAttrs: true, Rest: &rest,
	})
	if err == nil {
		t.Fatal("no error")
	}
	t.Logf("error %v; dirs %d files %d; list %q", err, res.Dirs, res.Files, rest.String())
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		set  func(p *place, o *snapshot.Options)
		want string
	}{
		{"no base", func(p *place, o *snapshot.Options) { o.Bases = nil }, "bases are needed"},
		{"base is gone", func(p *place, o *snapshot.Options) { o.Bases[0] += "x" }, "no such file or directory"},
		{"base is the target", func(p *place, o *snapshot.Options) { o.Bases[0] = o.Target }, "is the target"},
		{"target is gone", func(p *place, o *snapshot.Options) { o.Target += "x" }, "no such file or directory"},
		{"source is gone", func(p *place, o *snapshot.Options) { o.Sources[0] = snapshot.Source{Path: p.at("gone"), Name: "gone"} }, "gone: no such file"},
		{"relative source", func(p *place, o *snapshot.Options) { o.Sources[0].Path = "src" }, "not absolute and clean"},
		{"name is not the end", func(p *place, o *snapshot.Options) { o.Sources[0].Name = "rc" }, "not its last part"},
		{"same place", func(p *place, o *snapshot.Options) {
			o.Sources = append(o.Sources, snapshot.Source{Path: p.at("1/src"), Name: "src"})
		}, "the same place"},
		{"target in the source", func(p *place, o *snapshot.Options) {
			o.Sources = []snapshot.Source{{Path: p.dir, Name: "."}}
			o.Skip = func(f string) bool { return f == p.at("1") }
		}, "the target is inside the source"},
		{"times do not match", func(p *place, o *snapshot.Options) { o.BaseTimes = make([]time.Time, 2) }, "base times do not match"},
		{"a name is taken", func(p *place, o *snapshot.Options) {
			p.must(os.Mkdir(o.Target+"/src", 0o755))
		}, "file exists"},
		{"the list cannot be written", func(p *place, o *snapshot.Options) { p.write("new"); o.Rest = full{} }, "list for rsync: full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "d/b")
			p.first()
			p.more = func(o *snapshot.Options) { tt.set(p, o) }
			p.must(os.Mkdir(p.at("2"), 0o755))
			_, _, err := p.link("1", "2")
			if err == nil || !strings.HasPrefix(err.Error(), "snapshot: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// full is a list that cannot be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

// TestEntryInTheWay: rsync must never meet a link of an earlier call.
func TestEntryInTheWay(t *testing.T) {
	p := newPlace(t)
	p.write("a")
	p.rsync(p.at("src/a"), p.at("1")+"/")
	p.more = func(o *snapshot.Options) { o.Sources = []snapshot.Source{{Path: p.at("src/a"), Name: "a"}} }
	if _, _, err := p.link("1", "2"); err != nil {
		t.Fatal(err)
	}
	p.must(os.Chmod(p.at("src/a"), 0o600))
	if _, list, err := p.link("1", "2"); !errors.Is(err, unix.EEXIST) || len(list) != 0 {
		t.Errorf("list %q, error %v", list, err)
	}
}

func TestCancel(t *testing.T) {
	p := newPlace(t)
	p.write("a", "d/b")
	p.first()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	p.must(os.Mkdir(p.at("2"), 0o755))
	_, err := snapshot.Link(ctx, snapshot.Options{Sources: p.sources(), Bases: []string{p.at("1")}, Target: p.at("2"), Rest: &bytes.Buffer{}})
	if !errors.Is(err, why) {
		t.Errorf("error %v, want the cause", err)
	}
}

func TestProgress(t *testing.T) {
	p := newPlace(t)
	for i := range 1500 {
		p.must(os.WriteFile(p.at("src", "f"+string(rune('a'+i%26))+strings.Repeat("x", i/26)), nil, 0o644))
	}
	p.first()
	var mu sync.Mutex
	var got []int64
	p.more = func(o *snapshot.Options) {
		o.Progress = func(n int64) {
			if !mu.TryLock() {
				t.Error("called twice at once")
			}
			defer mu.Unlock()
			got = append(got, n)
		}
	}
	p.snapshot("1", "2")
	if len(got) == 0 || got[len(got)-1] < 1000 {
		t.Errorf("progress %v", got)
	}
}

// TestTotalSize: Bytes is what rsync --stats calls the total file size.
func TestTotalSize(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	res := p.snapshot("1", "2")
	out := p.rsync("-n", "--stats", "--no-human-readable", p.at("src"), p.at("none"))
	_, after, _ := strings.Cut(out, "Total file size: ")
	want, _, _ := strings.Cut(after, " ")
	if got := strconv.FormatInt(res.Bytes, 10); got != want {
		t.Errorf("bytes %s, want %s", got, want)
	}
}

// A listed entry that goes away before rsync comes to it implies nothing: its
// directory has to be as it should without rsync.
func TestDirectoryOfAListedEntryThatGoesAway(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	p.must(os.Chmod(p.at("src/d/e/f"), os.ModeSetgid|0o750))
	p.must(os.WriteFile(p.at("src/d/e/f/new"), []byte("1"), 0o600))
	_, list, err := p.link("1", "2")
	p.must(err)
	if len(list) != 1 {
		t.Fatalf("list %q", list)
	}
	info, err := os.Stat(p.at("2/src/d/e/f"))
	p.must(err)
	if info.Mode() != os.ModeDir|os.ModeSetgid|0o750 {
		t.Errorf("mode %v", info.Mode())
	}
}
