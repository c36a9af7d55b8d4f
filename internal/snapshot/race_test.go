package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// stir changes one thing of the source at random: content, attributes, names,
// types. Everything may fail, as names collide.
func stir(rng *rand.Rand, root string) {
	pick := func() string {
		d := root
		for range rng.IntN(3) {
			d = filepath.Join(d, fmt.Sprintf("d%d", rng.IntN(3)))
		}
		return filepath.Join(d, fmt.Sprintf("%c%d", "dfffff"[rng.IntN(6)], rng.IntN(4)))
	}
	f, g := pick(), pick()
	switch rng.IntN(14) {
	case 0, 1, 2:
		if fd, err := unix.Open(f, unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY|unix.O_NONBLOCK, 0o644); err == nil {
			unix.Write(fd, bytes.Repeat([]byte{byte(rng.IntN(26) + 'a')}, rng.IntN(5)))
			unix.Close(fd)
		}
	case 3:
		os.Chmod(f, os.FileMode(rng.IntN(8)<<6|0o400))
	case 4:
		os.Lchown(f, rng.IntN(3), rng.IntN(3))
	case 5:
		os.Remove(f)
	case 6:
		os.RemoveAll(f)
		os.Symlink(g, f)
	case 7, 8:
		os.Link(f, g)
	case 9:
		os.Rename(f, g)
	case 10:
		os.RemoveAll(f)
		os.MkdirAll(f, 0o755)
	case 11:
		unix.Lsetxattr(f, "user.x", []byte{byte(rng.IntN(3))}, 0)
	case 12:
		unix.Mkfifo(filepath.Join(filepath.Dir(f), "p"), 0o600) // a name of its own: rsync opens what was a file a moment ago, and would wait
	case 13: // the same size, a time that no other content has had: two of one size and time are the same to rsync, and to us
		at := time.Unix(1e9, rng.Int64N(1e9))
		os.Chtimes(f, at, at)
	}
}

// TestRandomChanges: whatever was changed, the snapshot equals the source and
// the base is what it was.
func TestRandomChanges(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			p := newPlace(t)
			p.hardLinks = seed%4 != 3 // without, manifests of links differ
			for range 150 {
				stir(rng, p.at("src"))
			}
			p.first()
			for i := range 4 {
				for range rng.IntN(25) {
					stir(rng, p.at("src"))
				}
				if p.more = nil; i%2 == 1 {
					p.more = func(o *snapshot.Options) { o.Names = strings.NewReader(p.names(p.at("src"))) }
				}
				if p.hardLinks {
					p.snapshot(fmt.Sprint(i+1), fmt.Sprint(i+2))
				} else {
					p.snapshotNoLinks(fmt.Sprint(i+1), fmt.Sprint(i+2))
				}
			}
		})
	}
}

// snapshotNoLinks is snapshot where the source has hard links that are not
// kept: rsync's own copy is the measure.
func (p *place) snapshotNoLinks(base, to string) {
	p.t.Helper()
	before := manifest(p.t, p.at(base))
	_, _, err := p.link(base, to)
	p.must(err)
	p.finish(to)
	p.same(before, manifest(p.t, p.at(base)), "the base has changed")
	p.rsync(p.at("src"), p.at("want"+to)+"/")
	p.equal(p.at("want"+to, "src"), p.restored(p.at(to, "src")))
}

// TestBaseNeverChanges stirs the source while the snapshot is made and while
// rsync runs. Nothing is said about what ends up in the snapshot, but that the
// base stays as it is, and that the next one is right again.
func TestBaseNeverChanges(t *testing.T) {
	p := newPlace(t)
	rng := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		stir(rng, p.at("src"))
	}
	p.first()
	base := "1"
	for i := range 12 {
		before := manifest(t, p.at(base))
		quit := make(chan bool)
		var all sync.WaitGroup
		for seed := range uint64(2) {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				for range 200000 {
					select {
					case <-quit:
						return
					default:
						stir(rng, p.at("src"))
					}
				}
			})
		}
		to := fmt.Sprint(i + 2)
		p.stirred(base, to, i%2 == 1)
		close(quit)
		all.Wait()
		p.same(before, manifest(t, p.at(base)), "the base has changed")
		if t.Failed() {
			return
		}
		p.snapshot(base, "calm"+to)
		base = "calm" + to
	}
}

// stirred makes a snapshot of a source that is being changed. Some errors are
// right then: the source itself may have become a link for a while.
func (p *place) stirred(base, to string, byNames bool) {
	p.t.Helper()
	if byNames {
		cmd := exec.Command("rsync", "-naHAX", "-8", "--out-format=%n", p.at("src"), p.at("none"))
		out, err := cmd.Output()
		if err != nil && !copied(err) {
			p.t.Fatal(err)
		}
		p.more = func(o *snapshot.Options) { o.Names = strings.NewReader(strings.ReplaceAll(string(out), "\n", "\x00")) }
		defer func() { p.more = nil }()
	}
	if _, _, err := p.link(base, to); err != nil {
		p.t.Fatal(err)
	}
	out, err := exec.Command("rsync", append(p.keeping(), "-aHAX", "--numeric-ids", "--modify-window=-1", "--ignore-missing-args",
		"--files-from="+p.at("rest"), "--from0", "/", p.there(p.into(to)))...).CombinedOutput()
	if err != nil && !copied(err) {
		p.t.Fatalf("rsync: %v\n%s", err, out)
	}
	if p.apart { // what has become something else meanwhile may not fit
		_ = snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: p.at(to + ".upload"), Target: p.at(to)})
	}
}

// copied tells whether rsync has done what it could: 23 some files could not be
// transferred, 24 some have vanished.
func copied(err error) bool {
	x, ok := err.(*exec.ExitError)
	return ok && (x.ExitCode() == 23 || x.ExitCode() == 24)
}

// TestChangeOfAGroupDuringTheWalk: when a file changes between two of its
// names, the later one is not linked to what the first one was.
func TestChangeOfAGroupDuringTheWalk(t *testing.T) {
	p := newPlace(t)
	p.write("a")
	for _, n := range []string{"b", "c", "d"} {
		p.must(os.Link(p.at("src/a"), p.at("src", n)))
	}
	p.first()
	p.must(os.Mkdir(p.at("2"), 0o755))
	var rest bytes.Buffer
	seen := 0
	res, err := snapshot.Link(context.Background(), snapshot.Options{
		Sources: p.sources(), Bases: []string{p.at("1")}, Target: p.at("2"), Workers: 1,
		HardLinks: true, ACLs: true, XAttrs: true, Rest: &rest,
		Skip: func(f string) bool {
			if filepath.Dir(f) == p.at("src") {
				if seen++; seen == 3 {
					p.must(os.Chmod(p.at("src/a"), 0o600))
				}
			}
			return false
		},
	})
	p.must(err)
	if res.Linked != 2 || res.Rest != 2 {
		t.Errorf("result %+v, want 2 linked and 2 for rsync", res)
	}
}

func FuzzLink(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, made, changed uint64) {
		p := newPlace(t)
		rng := rand.New(rand.NewPCG(made, changed))
		for range 60 {
			stir(rng, p.at("src"))
		}
		p.first()
		for range rng.IntN(15) {
			stir(rng, p.at("src"))
		}
		p.snapshot("1", "2")
	})
}
