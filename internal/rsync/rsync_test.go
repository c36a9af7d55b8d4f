package rsync

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/process"
	"b1000/internal/rsync/rsynctest"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tree(t *testing.T) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "src")
	write(t, src+"/a/one", "1234")
	write(t, src+"/a/new\nline", "12")
	write(t, src+"/b/back\\#123", "1")
	if err := os.Symlink("x -> y", src+"/b/arrow -> z"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(src+"/a/one", src+"/b/link"); err != nil {
		t.Fatal(err)
	}
	return src
}

// same fails the test unless rsync itself finds no difference, both ways.
func same(t *testing.T, a, b string) {
	t.Helper()
	for _, p := range [][2]string{{a, b}, {b, a}} {
		out, err := exec.Command("rsync", "-aHAXcn", "--numeric-ids", "--delete", "-i", p[0]+"/", p[1]+"/").CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s and %s differ: %v\n%s", p[0], p[1], err, out)
		}
	}
}

func TestRunCopiesAndCounts(t *testing.T) {
	src, dst := tree(t), t.TempDir()
	var items []string
	res, err := Run(context.Background(), Options{Sources: []string{src}, Dest: dst, HardLinks: true, ACLs: true, XAttrs: true, Verbosity: 2},
		Hooks{Item: func(_, name string) { items = append(items, name) }})
	if err != nil {
		t.Fatal(err)
	}
	if res.Files != 5 || res.Bytes != 4+4+2+1+6 {
		t.Errorf("got %d files, %d bytes", res.Files, res.Bytes)
	}
	if !slices.Contains(items, "src/a/new\nline") || !slices.Contains(items, `src/b/back\#123`) {
		t.Errorf("items %q", items)
	}
	same(t, src, dst+"/src")
}

func TestRunTellsHowFarItIs(t *testing.T) {
	src, dst := filepath.Join(t.TempDir(), "big"), t.TempDir()
	const size = 24 << 20
	write(t, src, strings.Repeat("0123456789abcdef", size/16))
	var within bool
	if _, err := Run(context.Background(), Options{Sources: []string{src}, Dest: dst, BWLimit: "8m", Expect: size},
		Hooks{Progress: func(p Progress) {
			within = within || p.Done > 0 && p.Done < size && p.Percent > 0 && p.Percent < 100 && p.Total == size
		}}); err != nil {
		t.Fatal(err)
	}
	if !within {
		t.Error("nothing was told while one large file was copied")
	}
}

func TestParseProgress(t *testing.T) {
	for in, want := range map[string]Progress{
		"     167059168  93%  227.93MB/s    0:00:00 (xfr#11232, ir-chk=1031/13349)": {Done: 167059168, Percent: -1, Files: 11232},
		"          1,000  50%    1.95kB/s    0:00:00 (xfr#2, to-chk=0/12)":          {Done: 1000, Total: 2000, Percent: 50, Files: 2},
		"          1000   0%    0.00kB/s    0:00:00":                                {Done: 1000, Percent: -1},
	} {
		if got, ok := parseProgress(in); !ok || got != want {
			t.Errorf("%q: got %+v", in, got)
		}
	}
	if _, ok := parseProgress("a 50% b/s file"); ok {
		t.Error("a file's name was taken for progress")
	}
}

func TestFailures(t *testing.T) {
	src := tree(t)
	d := rsynctest.Start(t, t.TempDir(), "max connections = 0")
	ro := rsynctest.Start(t, t.TempDir(), "read only = yes", "auth users = nobody", "secrets file = /dev/null")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := rsynctest.Start(t, t.TempDir())
	gone.Down()
	for _, tt := range []struct {
		name  string
		o     Options
		code  int
		want  string
		retry bool
	}{
		{"daemon down", Options{Dest: gone.URL + "/x/"}, 10, "no connection", true},
		{"unknown module", Options{Dest: strings.Replace(d.URL, "b1000", "nope", 1)}, 5, "did not let us in", true},
		{"not allowed", Options{Dest: ro.URL, PasswordFile: secret}, 5, "did not let us in", true},
		{"missing path", Options{Dest: d.URL + "/x/y/z/"}, 11, "missing directory", true},
		{"missing source", Options{Sources: []string{src + "/nope"}, Dest: d.URL}, 23, "nope", true},
		{"bad option", Options{Dest: d.URL, Extra: []string{"--no-such-option"}}, 1, "refused its options", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Sources == nil {
				tt.o.Sources = []string{src}
			}
			_, err := Run(context.Background(), tt.o, Hooks{})
			var e *Error
			if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want exit %d and %q", err, tt.code, tt.want)
			}
			if Worthwhile(err) != tt.retry {
				t.Errorf("Worthwhile(%v) is %v", err, !tt.retry)
			}
		})
	}
}

// INCIDENTS rsnapshot PR 179, backintime#1506: 24 is a warning, 23 a failure
// that names the files.
// A file may be called what rsync says of another thing.
func TestAFileNamedLikeAWarningIsNone(t *testing.T) {
	var m messages
	m.line(`rsync: [sender] send_files failed to open "/d/--link-dest arg does not exist: /x": Permission denied (13)`)
	if m.failures != 1 || len(m.warnings) != 0 {
		t.Errorf("got %+v", m)
	}
	m.line("--link-dest arg does not exist: ../x")
	if m.failures != 1 || len(m.warnings) != 1 {
		t.Errorf("got %+v", m)
	}
}

func TestVanishedIsAWarningAndPartialAFailure(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	fake := func(script string) {
		if err := os.WriteFile(bin+"/rsync", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fake(`echo 'file has vanished: "/etc/x\#012y"' >&2
echo 'rsync warning: some files vanished before they could be transferred (code 24) at main.c(1394) [sender=3.5.0]' >&2; exit 24`)
	res, err := Run(context.Background(), Options{Sources: []string{"/a"}, Dest: "/b"}, Hooks{})
	if err != nil || !slices.Equal(res.Vanished, []string{"/etc/x\ny"}) {
		t.Errorf("got %v, %v", res, err)
	}
	fake(`for i in 1 2 3 4 5 6 7; do echo "rsync: [sender] send_files failed to open \"/etc/$i\": Permission denied (13)" >&2; done
echo 'rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) [sender=3.5.0]' >&2; exit 23`)
	_, err = Run(context.Background(), Options{Sources: []string{"/a"}, Dest: "/b"}, Hooks{})
	want := `rsync: some files could not be copied (exit 23); send_files failed to open "/etc/1": Permission denied (13); `
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "; and 2 more messages") || strings.Contains(err.Error(), "main.c") {
		t.Errorf("got %v", err)
	}
	fake(`echo 'rsync: [sender] link_stat "/etc/gone" failed: No such file or directory (2)' >&2; exit 23`)
	if res, err = Run(context.Background(), Options{Sources: []string{"/"}, FilesFrom: "/list", Dest: "/b"}, Hooks{}); err != nil || len(res.Vanished) != 1 {
		t.Errorf("a listed file that is gone: got %v, %v", res, err)
	}
	fake(`echo 'rsync: [sender] link_stat "/etc/gone" failed: No such file or directory (2)
rsync: [receiver] mkstemp "x" failed: No space left on device (28)' >&2; exit 23`)
	if _, err = Run(context.Background(), Options{Sources: []string{"/"}, FilesFrom: "/list", Dest: "/b"}, Hooks{}); err == nil {
		t.Error("a full disk was taken for a vanished file")
	}
	fake("exit 23")
	if _, err = Run(context.Background(), Options{Sources: []string{"/"}, FilesFrom: "/list", Dest: "/b"}, Hooks{}); err == nil {
		t.Error("a failure without a word was taken for success")
	}
	fake("exit 99")
	if _, err = Run(context.Background(), Options{Sources: []string{"/a"}, Dest: "/b"}, Hooks{}); err == nil {
		t.Error("an unknown status was taken for success")
	}
	fake("exec sleep 1000")
	_, err = Run(context.Background(), Options{Sources: []string{"/a"}, Dest: "/b", Stall: 200 * time.Millisecond}, Hooks{})
	if !errors.Is(err, process.ErrStalled) || !Worthwhile(err) {
		t.Errorf("stalled: got %v", err)
	}
}

func TestListReadsWhatRsyncPrints(t *testing.T) {
	src := tree(t)
	var got []string
	err := List(context.Background(), Options{Sources: []string{src + "/"}}, func(e Entry) {
		got = append(got, e.Mode[:1]+" "+e.Name+" "+e.Link)
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{"- a/new\nline ", "- a/one ", `- b/back\#123 `, "- b/link ", "d . ", "d a ", "d b ", "l b/arrow -> z x -> y"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestNamesFollowsRsyncsRules(t *testing.T) {
	src := tree(t)
	var b bytes.Buffer
	if err := Names(context.Background(), Options{Sources: []string{src}, Exclude: []string{"*one", "link"}}, &b); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(b.String(), "\x00"), "\x00")
	slices.Sort(got)
	want := []string{"src/", "src/a/", "src/a/new\nline", "src/b/", "src/b/arrow -> z", `src/b/back\#123`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestDecodeName(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", `a\#012b`: "a\nb", `a\#134#012`: `a\#012`, `a\#01`: `a\#01`, `a\#999`: `a\#999`, `\#`: `\#`,
	} {
		if got := DecodeName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	v, err := Version(context.Background())
	if err != nil || !strings.HasPrefix(v, "3.") {
		t.Errorf("got %q, %v", v, err)
	}
}
