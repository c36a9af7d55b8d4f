package unit_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"b1000/internal/unit"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "Backup etc", "Backup etc"},
		{"a specifier is none", "100%n", "100%%n"},
		{"no second line", "a\nExecStart=/bin/sh", "a ExecStart=/bin/sh"},
		{"no continuation", `a\`, `a\.`},
		{"no control characters", "a\x00\x1b[31m\rb", "a  [31m b"},
		{"no bytes that are not UTF-8", "a\xffb", "a b"},
		{"other alphabets", "Größe ☂", "Größe ☂"},
		{"nothing around it", " a ", "a"},
	} {
		if got := unit.Text(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, tt := range []struct {
		in   []string
		want string
	}{
		{[]string{"/etc", "/srv/b"}, "/etc /srv/b"},
		{[]string{"/a b", `/q"q`}, `'/a b' '/q"q'`},
		{[]string{"/it's 100%"}, `'/it'"'"'s 100%%'`},
		{[]string{`/back\slash`}, `/back\slash`},
	} {
		if got := unit.Paths(tt.in); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
	for path, want := range map[string]bool{
		"/etc": true, "/a b": true, `/a\`: false, "/a\nb": false, "etc": false, "": false, "/\xff": false, "/" + strings.Repeat("a/", 3000): false,
	} {
		if got := unit.CanBePath(path); got != want {
			t.Errorf("CanBePath(%.20q) = %v", path, got)
		}
	}
}

func TestNamesOfUnits(t *testing.T) {
	for name, good := range map[string]bool{
		"b1000@etc.service": true, "b1000@my-job_1.x:3306.service": true, `a\x2db.timer`: true,
		"": false, ".service": false, "@a.service": false, "etc": false, "a/b.service": false, "a b.service": false, "é.service": false,
		"b1000@" + strings.Repeat("x", 239) + ".service": true, "b1000@" + strings.Repeat("x", 240) + ".service": false,
	} {
		if err := unit.CheckName(name); (err == nil) != good {
			t.Errorf("%.40q: %v", name, err)
		}
	}
}

func tree() *unit.Tree {
	t := &unit.Tree{}
	t.Link("timers.target.wants/b.timer", "../b.timer")
	t.File("b.timer", "[Timer]\n")
	t.File("a.service.d/x.conf", "[Unit]\n")
	return t
}

func TestATreeIsMadeOnceAndInOrder(t *testing.T) {
	dir := t.TempDir()
	if err := tree().Make(dir); err != nil {
		t.Fatal(err)
	}
	if missing, changed := tree().Differences(dir); len(missing)+len(changed) > 0 {
		t.Errorf("missing %q, changed %q", missing, changed)
	}
	var b strings.Builder
	tree().WriteTo(&b)
	if want := "a.service.d/x.conf\n    [Unit]\n\nb.timer\n    [Timer]\n\ntimers.target.wants/b.timer -> ../b.timer\n\n"; b.String() != want {
		t.Errorf("printed:\n%s", b.String())
	}
	os.WriteFile(filepath.Join(dir, "b.timer"), []byte("mine\n"), 0o644)
	os.Remove(filepath.Join(dir, "timers.target.wants/b.timer"))
	missing, changed := tree().Differences(dir)
	if !slices.Equal(missing, []string{"timers.target.wants/b.timer"}) || !slices.Equal(changed, []string{"b.timer"}) {
		t.Errorf("missing %q, changed %q", missing, changed)
	}
}

func TestATreeIsMadeAsAWholeOrNotAtAll(t *testing.T) {
	for _, there := range []string{"b.timer", "timers.target.wants", "a.service.d"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, there), []byte("mine\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := tree().Make(dir); err == nil {
			t.Errorf("%s is in the way, and no error", there)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s is in the way: left %v, %v", there, entries, err)
		}
		if data, _ := os.ReadFile(filepath.Join(dir, there)); string(data) != "mine\n" {
			t.Errorf("%s was overwritten with %q", there, data)
		}
	}
	if err := tree().Make(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// Files with the same text are one where they can be, and whole where not.
func TestFilesWithTheSameTextAreOne(t *testing.T) {
	tree := &unit.Tree{}
	tree.File("a.timer", "[Timer]\n")
	tree.Same("b.timer", "[Timer]\n", "a.timer")
	tree.Same("c.timer", "[Timer]\n", "not-there.timer")
	dir := t.TempDir()
	if err := tree.Make(dir); err != nil {
		t.Fatal(err)
	}
	var inode []os.FileInfo
	for _, name := range []string{"a.timer", "b.timer", "c.timer"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		info, err2 := os.Stat(filepath.Join(dir, name))
		if err := errors.Join(err, err2); err != nil || string(text) != "[Timer]\n" {
			t.Fatalf("%s: %q, %v", name, text, err)
		}
		inode = append(inode, info)
	}
	if !os.SameFile(inode[0], inode[1]) || os.SameFile(inode[0], inode[2]) {
		t.Error("a and b are to be one file, c another")
	}
	if err := tree.Make(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if missing, changed := tree.Differences(dir); len(missing)+len(changed) > 0 {
		t.Errorf("a second Make has left missing %q, changed %q", missing, changed)
	}
}

// A link that somebody has put there leads nowhere.
func TestATreeIsNotMadeThroughALink(t *testing.T) {
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(other, filepath.Join(dir, "b.timer")); err != nil {
		t.Fatal(err)
	}
	if err := tree().Make(dir); err == nil {
		t.Error("no error")
	}
	if _, err := os.Lstat(other); !errors.Is(err, os.ErrNotExist) {
		t.Error("written through the link")
	}
}

// Whatever the text, systemd reads one line of it and nothing else.
func FuzzValuesStayOnTheirLine(f *testing.F) {
	for _, s := range []string{"", "a", "%", `\`, "\n", "\x00", "\xff", "a\u2028b", `"'`, " ", "\u00a0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, got := range map[string]string{"Text": unit.Text(s), "Input": unit.Input(s), "Paths": paths(s)} {
			if strings.IndexFunc(got, unicode.IsControl) >= 0 || strings.HasSuffix(got, `\`) && !strings.HasSuffix(got, `\\`) {
				t.Errorf("%s(%q) = %q", what, s, got)
			}
			if strings.Contains(strings.ReplaceAll(got, "%%", ""), "%") {
				t.Errorf("%s(%q) = %q: a specifier", what, s, got)
			}
		}
	})
}

func paths(s string) string {
	if !unit.CanBePath("/" + s) {
		return ""
	}
	return unit.Paths([]string{"/" + s})
}

// systemd-analyze reads the paths as they were meant.
func TestSystemdReadsPathsAsTheyAreMeant(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	file := &unit.File{}
	file.Comment("made\nby a test")
	file.Section("Unit")
	file.Set("Description", unit.Text(`100% "quoted" \ é`))
	file.Set("RequiresMountsFor", unit.Paths([]string{"/a b", `/it's "q"`, `/back\slash`, "/100%"}))
	file.Section("Service")
	file.Set("Type", "oneshot")
	file.Set("StandardInput", "data")
	file.Set("StandardInputText", unit.Input("100% \\n \"x\" \x1b é\xff"))
	file.Set("ExecStart", "/bin/true")
	path := filepath.Join(t.TempDir(), "made.service")
	if err := os.WriteFile(path, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "made.service") {
		t.Errorf("%v: %s\n%s", err, out, file)
	}
}

// Two workers make a large tree, and clear it away again where something is in
// the way at its end.
func TestALargeTreeIsMadeAsAWholeOrNotAtAll(t *testing.T) {
	large := &unit.Tree{}
	for i := range 1000 {
		name := fmt.Sprintf("b@%04d.timer", i)
		large.File(name, name+" at the root\n")
		large.File(name+".d/x.conf", name+" in a directory\n")
		large.Link("y.target.wants/"+name, "../"+name)
	}
	dir := t.TempDir()
	if err := large.Make(dir); err != nil {
		t.Fatal(err)
	}
	if missing, changed := large.Differences(dir); len(missing)+len(changed) > 0 {
		t.Errorf("missing %q, changed %q", missing, changed)
	}
	for _, there := range []string{"b@0999.timer", "b@0000.timer.d", "y.target.wants", "b@0500.timer"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, there), []byte("mine\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := large.Make(dir); err == nil {
			t.Errorf("%s is in the way, and no error", there)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s is in the way: left %d, %v", there, len(entries), err)
		}
	}
}

func TestAPathThatIsTooLongIsRefused(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, path := range []string{long, long + "/" + long, "a/" + strings.Repeat(long, 3)} {
		dir := t.TempDir()
		tree := &unit.Tree{}
		tree.File(path, "")
		if err := tree.Make(dir); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("%d bytes: %v", len(path), err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("left %v, %v", entries, err)
		}
	}
}
