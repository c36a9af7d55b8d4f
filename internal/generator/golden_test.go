package generator_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"b1000/internal/config"
	"b1000/internal/generator"
	"b1000/internal/unit"
)

var update = flag.Bool("update", false, "rewrite what testdata wants")

// Each file of testdata is a case: what it shows, the files below /, and the
// units that are to come of them.
func TestUnitsOfEachCase(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range cases {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			want := &txtar.File{}
			for i, f := range archive.Files {
				if f.Name == "want" {
					want = &archive.Files[i]
					continue
				}
				place := filepath.Join(root, f.Name)
				if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(place, f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := made(t, unitsBelow(root))
			if *update {
				archive.Files = append(archive.Files[:len(archive.Files)-1], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want.Data) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want.Data)
			}
		})
	}
}

func unitsBelow(root string) *unit.Tree {
	path := filepath.Join(root, "etc/b1000/b1000.cfg")
	cfg, _, err := config.Load(path)
	if err != nil {
		return generator.Unreadable(path, root, err)
	}
	return generator.Units(cfg, root)
}

// made writes a tree and prints what is there then.
func made(t *testing.T, tree *unit.Tree) string {
	t.Helper()
	dir := t.TempDir()
	if err := tree.Make(dir); err != nil {
		t.Fatal(err)
	}
	read := &unit.Tree{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			read.Link(name, target)
			return err
		}
		data, err := os.ReadFile(path)
		read.File(name, string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	read.WriteTo(&b)
	return b.String()
}

// A name or path of the configuration must not become a directive, and no unit
// may have the name of one that the package ships.
func FuzzNothingOfTheConfigurationBecomesADirective(f *testing.F) {
	for _, s := range []string{"etc", "", "@", ".service", "a%n", "x\n[Service]\nExecStart=/bin/sh", "-", "config", "a\\", "é", strings.Repeat("a", 300)} {
		f.Add(s, s)
	}
	shipped := map[string]bool{}
	entries, err := os.ReadDir("../../units")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		shipped[e.Name()] = true
	}
	known := map[string]bool{}
	for _, key := range strings.Fields("Description SourcePath RequiresMountsFor Wants After OnCalendar OnActiveSec AccuracySec Persistent Type SyslogIdentifier SyslogLevel StandardInput StandardInputText ExecStart") {
		known[key] = true
	}
	f.Fuzz(func(t *testing.T, name, path string) {
		root := t.TempDir()
		file := filepath.Join(root, "b1000.cfg")
		text := "[dest:d]\ntype = active\npath = /" + path + "\n[job:" + name + "]\ndirection = push\ntype = full\ndest = d\nschedule = daily\ninclude = \"/" + path + "\"\ninstances = " + name + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		tree := generator.Units(cfg, root)
		for _, e := range tree.Entries() {
			base, _, _ := strings.Cut(e.Path, ".d/")
			base = filepath.Base(base)
			if base == "timers.target" {
				checkWants(t, e.Text)
				continue
			}
			if err := unit.CheckName(base); err != nil || shipped[base] || !strings.HasPrefix(base, "b1000") {
				t.Errorf("unit %q: %v", base, err)
			}
			for line := range strings.SplitSeq(e.Text, "\n") {
				key, _, set := strings.Cut(line, "=")
				if line != "" && line[0] != '#' && line[0] != '[' && (!set || !known[key]) {
					t.Errorf("%s: line %q", e.Path, line)
				}
			}
			if n := strings.Count(e.Text, "\n["); e.Text != "" && n > 2 {
				t.Errorf("%s: %d sections:\n%s", e.Path, n, e.Text)
			}
		}
		if err := tree.Make(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}

// checkWants demands a drop-in that only names units of ours.
func checkWants(t *testing.T, text string) {
	t.Helper()
	_, body, _ := strings.Cut(text, "\n[Unit]\n")
	for line := range strings.Lines(body) {
		name, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "Wants=")
		if !found || unit.CheckName(name) != nil || !strings.HasPrefix(name, "b1000@") {
			t.Errorf("a target is to start %q", line)
		}
	}
}

func TestThousandsOfJobsHaveAllTheirUnits(t *testing.T) {
	cfg, problems, err := config.Load(manyJobs(t, 2000))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	dir := t.TempDir()
	tree := generator.Units(cfg, "")
	if err := tree.Make(dir); err != nil {
		t.Fatal(err)
	}
	if missing, changed := tree.Differences(dir); len(tree.Entries()) != 4001 || len(missing)+len(changed) > 0 {
		t.Errorf("%d entries, missing %d, changed %d", len(tree.Entries()), len(missing), len(changed))
	}
}
