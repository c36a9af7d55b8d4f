package snapshot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// seedDir is the --partial-dir.
const seedDir = ".~half"

// place is where one test works: src and the snapshots 1, 2, … side by side.
type place struct {
	t   testing.TB
	dir string
	// what is preserved; all of it unless a test says otherwise
	hardLinks, acls, xattrs bool
	more                    func(*snapshot.Options)
	copied                  bool   // and the target is a copy of the base to begin with
	ready                   func() // called when it is, if not nil
	leave                   string // a name in it that stays
	seeded                  bool   // and what is wanted has seeds
	unsure                  bool   // and may not be what they look like
	own                     bool   // the bases are no backups
	apart                   bool   // source and base are on two machines: Offer and Accept in place of Link
	remembers               bool   // Options.Bare is set
	stored                  snapshot.Stored
}

func newPlace(t testing.TB) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners and trusted attributes")
	}
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Skip("needs rsync")
	}
	p := &place{t: t, dir: t.TempDir(), hardLinks: true, acls: true, xattrs: true, remembers: strings.HasPrefix(t.Name(), "TestRemembering/")}
	p.copied = strings.HasPrefix(t.Name(), "TestCopied") || strings.HasPrefix(t.Name(), "TestStoredCopied/")
	p.seeded = strings.HasPrefix(t.Name(), "TestSeeded/") || strings.HasPrefix(t.Name(), "TestCopiedSeeded/")
	p.apart = p.seeded || p.copied || strings.HasPrefix(t.Name(), "TestApart/")
	switch test, _, _ := strings.Cut(t.Name(), "/"); test {
	case "TestStored":
		p.stored = snapshot.FakeSuper
	case "TestStoredApart", "TestStoredCopied":
		p.stored, p.apart = snapshot.Munged, true
	case "TestStoredSeeded":
		p.stored, p.apart, p.seeded = snapshot.Munged, true, true
	}
	p.must(os.Mkdir(p.at("src"), 0o755))
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) at(name ...string) string {
	return filepath.Join(append([]string{p.dir}, name...)...)
}

// write makes files of the source, each with some content of its own, and
// the directories above them.
func (p *place) write(names ...string) {
	p.t.Helper()
	for _, n := range names {
		f := p.at("src", n)
		p.must(os.MkdirAll(filepath.Dir(f), 0o755))
		p.must(os.WriteFile(f, []byte("content of "+n), 0o644))
		p.must(unix.Lutimes(f, []unix.Timeval{{Sec: 1e9}, {Sec: 1e9, Usec: 123456}}))
	}
}

func (p *place) flags() string {
	f := "-a"
	for _, x := range []struct {
		on bool
		f  string
	}{{p.hardLinks, "H"}, {p.acls, "A"}, {p.xattrs, "X"}} {
		if x.on {
			f += x.f
		}
	}
	return f
}

func (p *place) rsync(args ...string) string {
	p.t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("rsync", append([]string{p.flags(), "--numeric-ids", "--modify-window=-1"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("rsync %q: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// first copies the source to the first snapshot, "1".
func (p *place) first() {
	p.t.Helper()
	p.rsync(append(p.keeping(), p.at("src"), p.there(p.at("1")))...)
	if p.remembers {
		p.learn()
	}
}

// keeping are the options of an rsync that writes to a snapshot.
func (p *place) keeping() []string {
	if p.stored == snapshot.Inode {
		return nil
	}
	args := []string{`--rsh=sh -c 'shift; exec "$@"' sh`, "--secluded-args", "-M--fake-super"}
	if p.stored == snapshot.Munged {
		args = append(args, "-M--munge-links")
	}
	return args
}

// there is a path as such an rsync takes it. One that copies locally reads
// --files-from twice where it has -M.
func (p *place) there(dir string) string {
	if p.stored == snapshot.Inode {
		return dir
	}
	return "here:" + dir
}

// restored is a tree of a snapshot as a restore makes it.
func (p *place) restored(at string) string {
	p.t.Helper()
	if p.stored == snapshot.Inode {
		return at
	}
	back := p.t.TempDir()
	args := []string{"--fake-super", "-M--super"}
	if p.stored == snapshot.Munged {
		args = append(args, "--munge-links")
	}
	p.rsync(append(args, at+"/", back+"/")...)
	return back
}

// sources is the one include that most tests have.
func (p *place) sources() []snapshot.Source {
	return []snapshot.Source{{Path: p.at("src"), Name: "src"}}
}

// link makes the new directory to and links into it from the base, without
// rsync. It returns the list.
func (p *place) link(base, to string) (snapshot.Result, []string, error) {
	p.t.Helper()
	p.must(os.MkdirAll(p.at(to), 0o755))
	var rest bytes.Buffer
	opt := snapshot.Options{
		Sources: p.sources(), Bases: []string{p.at(base)}, Target: p.at(to), Workers: 2, Stored: p.stored,
		HardLinks: p.hardLinks, ACLs: p.acls, XAttrs: p.xattrs, Rest: &rest,
	}
	if p.remembers {
		opt.Bare = p.remember()
	}
	if p.more != nil {
		p.more(&opt)
	}
	var res snapshot.Result
	var err error
	if p.apart {
		res, err = p.offer(opt)
	} else {
		res, err = snapshot.Link(context.Background(), opt)
	}
	if err == nil && p.remembers {
		p.must(opt.Bare.Save())
	}
	p.must(os.WriteFile(p.at("rest"), rest.Bytes(), 0o600))
	list := strings.Split(strings.TrimSuffix(rest.String(), "\x00"), "\x00")
	slices.Sort(list)
	if rest.Len() == 0 {
		list = nil
	}
	return res, list, err
}

// finish lets rsync copy what is in the list of the last link.
func (p *place) finish(to string, args ...string) {
	p.t.Helper()
	if p.seeded {
		args = append(args, "--partial-dir="+seedDir, "--no-whole-file")
	}
	p.rsync(append(append(args, p.keeping()...), "--files-from="+p.at("rest"), "--from0", "/", p.there(p.into(to)))...)
	p.merge(to)
}

// into is where rsync writes for a snapshot.
func (p *place) into(to string) string {
	if !p.apart {
		return p.at(to) + "/"
	}
	p.must(os.MkdirAll(p.at(to+".upload"), 0o700))
	return p.at(to+".upload") + "/"
}

// merge is what the other machine does when rsync is through.
func (p *place) merge(to string) {
	p.t.Helper()
	if p.apart {
		p.must(snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: p.at(to + ".upload"), Target: p.at(to), Leave: seedDir}))
	}
}

// snapshot makes a snapshot and checks it: the target equals the source in
// everything, and the base is what it was.
func (p *place) snapshot(base, to string) snapshot.Result {
	p.t.Helper()
	before := manifest(p.t, p.at(base))
	res, _, err := p.link(base, to)
	p.must(err)
	p.finish(to)
	p.same(before, manifest(p.t, p.at(base)), "the base has changed")
	p.equal(p.at("src"), p.restored(p.at(to, "src")))
	return res
}

// equal compares two trees by rsync in both directions, and by their manifests.
func (p *place) equal(a, b string) {
	p.t.Helper()
	for _, x := range [][2]string{{a, b}, {b, a}} {
		if out := p.rsync("-n", "--delete", "--itemize-changes", x[0]+"/", x[1]+"/"); out != "" {
			p.t.Errorf("rsync from %s to %s would change:\n%s", x[0], x[1], out)
		}
	}
	p.same(manifest(p.t, a), manifest(p.t, b), a+" and "+b)
}

func (p *place) same(a, b map[string]string, what string) {
	p.t.Helper()
	for n, x := range a {
		if b[n] != x {
			p.t.Errorf("%s: %q:\n%s\n%s", what, n, x, b[n])
		}
	}
	for n, x := range b {
		if _, ok := a[n]; !ok {
			p.t.Errorf("%s: %q is new: %s", what, n, x)
		}
	}
}

// manifest tells everything about the entries of a tree: type, mode, owner,
// size, mtime, device, link target, attributes with ACLs, content, and the
// names that are one file.
func manifest(t testing.TB, root string) map[string]string {
	t.Helper()
	m := map[string]string{}
	files := map[uint64][]string{}
	err := filepath.WalkDir(root, func(f string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(f, &st); err != nil {
			return err
		}
		s := fmt.Sprintf("%o %d:%d %d.%09d %x", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" %d %x", st.Size, sha256.Sum256(b))
		case unix.S_IFLNK:
			to, _ := os.Readlink(f)
			s += " -> " + to
		}
		s += attributes(t, f)
		rel, _ := filepath.Rel(root, f)
		m[rel] = s
		if !e.IsDir() {
			files[st.Ino] = append(files[st.Ino], rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range files {
		slices.Sort(names)
		for _, n := range names {
			m[n] += fmt.Sprintf(" = %q", names)
		}
	}
	return m
}

func attributes(t testing.TB, f string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(f, buf)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(strings.ReplaceAll(string(buf[:n]), "\x00", " "))
	slices.Sort(names)
	s := ""
	for _, x := range names {
		n, err := unix.Lgetxattr(f, x, buf)
		if err != nil {
			t.Fatal(err)
		}
		s += fmt.Sprintf(" %s=%x", x, buf[:n])
	}
	return s
}
