package snapshot_test

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"b1000/internal/snapshot"
)

var escaped = regexp.MustCompile(`\\#[0-7]{3}`)

// names asks rsync what belongs to the snapshot, as a caller with filters
// does.
func (p *place) names(args ...string) string {
	p.t.Helper()
	p.must(os.MkdirAll(p.at("nothing"), 0o755))
	var buf bytes.Buffer
	for line := range strings.Lines(p.rsync(append([]string{"-n", "-8", "--out-format=%n"}, append(args, p.at("nothing")+"/")...)...)) {
		buf.WriteString(escaped.ReplaceAllStringFunc(strings.TrimSuffix(line, "\n"), func(s string) string {
			n, _ := strconv.ParseUint(s[2:], 8, 8)
			return string([]byte{byte(n)})
		}))
		buf.WriteByte(0)
	}
	return buf.String()
}

func TestNamesDecide(t *testing.T) {
	filters := []string{"--exclude=*.o", "--exclude=/src/d/e/f", "--exclude=two"}
	p := newPlace(t)
	sample(p)
	oddNames(p)
	p.write("x.o", "d/y.o", "deep/1/2/3/4/5/6/7/8/9/f", "deep/1/2/z")
	p.rsync(append(filters, p.at("src"), p.at("1"))...)
	p.write("d/new", "d/e/new.o")
	p.must(os.Chmod(p.at("src/z/one"), 0o600))
	p.more = func(o *snapshot.Options) { o.Names = strings.NewReader(p.names(append(filters, p.at("src"))...)) }
	before := manifest(t, p.at("1"))
	res, list, err := p.link("1", "2")
	p.must(err)
	p.finish("2")
	p.same(before, manifest(t, p.at("1")), "the base has changed")
	p.rsync(append(filters, p.at("src"), p.at("want"))...)
	p.equal(p.at("want/src"), p.at("2/src"))
	if res.Rest != 2 || res.Linked != res.Files-2 || int(res.RestDirs)+2 != len(list) || res.RestDirs != res.Dirs {
		t.Errorf("result %+v with a list of %d", res, len(list))
	}
}

func TestNamesOfSeveralIncludes(t *testing.T) {
	p := newPlace(t)
	p.write("usr/local/bin/a", "usr/local/bin/sub/b", "usr/share/c", "etc/conf", "etc/other", "etc/x/y")
	p.rsync("-R", p.at("src")+"/./usr/local/bin", p.at("src")+"/./etc/conf", p.at("src")+"/./etc/x", p.at("1"))
	p.write("etc/conf")
	p.must(os.Chmod(p.at("src/etc/conf"), 0o600))
	p.more = func(o *snapshot.Options) {
		o.Sources = nil
		for _, n := range []string{"usr/local/bin", "etc/conf", "etc/x"} {
			o.Sources = append(o.Sources, snapshot.Source{Path: p.at("src", n), Name: n})
		}
		o.Names = strings.NewReader(p.names("-R", p.at("src")+"/./usr/local/bin", p.at("src")+"/./etc/conf", p.at("src")+"/./etc/x"))
	}
	res, _, err := p.link("1", "2")
	p.must(err)
	p.finish("2")
	p.rsync("-R", p.at("src")+"/./usr/local/bin", p.at("src")+"/./etc/conf", p.at("src")+"/./etc/x", p.at("want"))
	p.equal(p.at("want/usr"), p.at("2/usr"))
	p.equal(p.at("want/etc"), p.at("2/etc"))
	if res.Rest != 1 || res.Linked != 3 {
		t.Errorf("result %+v", res)
	}
}

func TestBadNames(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"cut off", "src/a", "names: they end in the middle of one"},
		{"outside", "src/a\x00../x\x00", `names: "../x" is not a clean relative path`},
		{"outside, last", "src/..\x00", `names: "src/.." is not a clean relative path`},
		{"a directory outside", "src/../../\x00", `names: "src/../.." is not a clean relative path`},
		{"absolute", "/etc/passwd\x00", `names: "/etc/passwd" is not a clean relative path`},
		{"empty", "\x00", `names: "" is not a clean relative path`},
		{"no include's", "other/a\x00", `names: "other/a" belongs to no source`},
		{"too long", "src/" + strings.Repeat("x", 70000), "names: bufio: buffer full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a")
			p.first()
			p.more = func(o *snapshot.Options) { o.Names = strings.NewReader(tt.in) }
			_, _, err := p.link("1", "2")
			if err == nil || err.Error() != "snapshot: "+tt.want {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNamesThatChanged: what rsync has named is something else when it is
// looked at.
func TestNamesThatChanged(t *testing.T) {
	p := newPlace(t)
	p.write("a", "gone", "goneDir/x", "wasDir/x", "wasFile", "keep/k")
	p.first()
	list := p.names(p.at("src"))
	p.must(os.Remove(p.at("src/gone")))
	p.must(os.RemoveAll(p.at("src/goneDir")))
	p.must(os.RemoveAll(p.at("src/wasDir")))
	p.must(os.Remove(p.at("src/wasFile")))
	p.must(os.Mkdir(p.at("src/wasFile"), 0o755))
	p.must(os.Symlink("/etc", p.at("src/wasDir")))
	p.more = func(o *snapshot.Options) { o.Names = strings.NewReader(list) }
	res, _, err := p.link("1", "2")
	p.must(err)
	if res.Vanished != 3 || res.Linked != 2 || res.Rest != 1 {
		t.Errorf("result %+v, want 3 vanished, 2 linked, 1 for rsync", res)
	}
	p.finish("2", "--ignore-missing-args")
	if n, err := os.Readlink(p.at("2/src/wasDir")); n != "/etc" {
		t.Errorf("wasDir: %q, %v", n, err)
	}
}
