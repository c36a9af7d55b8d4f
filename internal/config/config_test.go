package config

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/invalid/*.want")

// place copies a sample to a fresh directory, readable by its owner alone.
func place(t *testing.T, sample string) string {
	t.Helper()
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), "b1000.cfg"), string(data))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string) (*Config, []Problem) {
	t.Helper()
	c, problems, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c, problems
}

func loadText(t *testing.T, text string) (*Config, []Problem) {
	t.Helper()
	return load(t, write(t, filepath.Join(t.TempDir(), "b1000.cfg"), text))
}

// lines prints problems without the directory that the test chose.
func lines(problems []Problem, dir string) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(strings.ReplaceAll(p.String(), dir+"/", "") + "\n")
	}
	return b.String()
}

func TestEverySampleLoadsWithoutProblem(t *testing.T) {
	samples, _ := filepath.Glob("testdata/valid/*.cfg")
	if len(samples) < 9 {
		t.Fatalf("only %d samples", len(samples))
	}
	for _, sample := range samples {
		t.Run(filepath.Base(sample), func(t *testing.T) {
			c, problems := load(t, place(t, sample))
			if len(problems) > 0 || len(c.Fatal()) > 0 || len(c.Jobs()) == 0 {
				t.Errorf("%d jobs, problems:\n%s", len(c.Jobs()), lines(problems, filepath.Dir(c.Path)))
			}
		})
	}
}

func TestEveryFaultIsFoundInOnePass(t *testing.T) {
	samples, _ := filepath.Glob("testdata/invalid/*.cfg")
	if len(samples) < 9 {
		t.Fatalf("only %d samples", len(samples))
	}
	for _, sample := range samples {
		t.Run(filepath.Base(sample), func(t *testing.T) {
			path := place(t, sample)
			_, problems := load(t, path)
			got := lines(problems, filepath.Dir(path))
			wantFile := strings.TrimSuffix(sample, ".cfg") + ".want"
			if *update {
				if err := os.WriteFile(wantFile, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wantFile)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) || got == "" {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestNoProblemTellsAPassword(t *testing.T) {
	for _, sample := range []string{"passwords", "references", "syntax"} {
		_, problems := load(t, place(t, "testdata/invalid/"+sample+".cfg"))
		if len(problems) == 0 {
			t.Errorf("%s: no problem found", sample)
		}
		for _, p := range problems {
			if strings.Contains(p.String(), "canary") || strings.Contains(p.String(), "ecret") && p.Key == "password" || strings.Contains(p.String(), "hunter2") {
				t.Errorf("%s: %s", sample, p)
			}
		}
	}
}

func TestAFaultStaysWhereItIs(t *testing.T) {
	const head = "[dest:hd]\ntype = active\npath = /srv\n[dest:bad]\ntype = active\n[report:bad]\ntype = file\n[stream:bad]\ntype = sqlite\n"
	job := func(name, rest string) string {
		return "[job:" + name + "]\ndirection = push\ntype = full\ninclude = /etc\n" + rest + "\n"
	}
	for _, tt := range []struct {
		name, text string
		bad        []string
		fatal      bool
	}{
		{"a job's fault is its own", head + job("a", "dest = hd") + job("b", "dest = hd\nnice = 99"), []string{"b"}, false},
		{"a destination's fault is its jobs'", head + job("a", "dest = hd") + job("b", "dest = hd bad"), []string{"b"}, false},
		{"a report's fault is its jobs'", head + job("a", "dest = hd") + job("b", "dest = hd\nreport = bad"), []string{"b"}, false},
		{"a stream's fault is its jobs'", head + job("a", "dest = hd") + job("b", "dest = hd\nstreams = bad"), []string{"b"}, false},
		{"a job given twice", head + job("a", "dest = hd") + job("b", "dest = hd") + job("b", "dest = hd"), []string{"b"}, false},
		{"global stops all", "[global]\nparallel = x\n" + head + job("a", "dest = hd"), nil, true},
		{"global given twice", "[global]\n[global]\n" + head + job("a", "dest = hd"), nil, true},
		{"a line that cannot be read", head + job("a", "dest = hd\noops"), nil, true},
		{"an unknown section", head + job("a", "dest = hd") + "[jbo:b]\n", nil, true},
		{"a job without a usable name", head + job("a", "dest = hd") + "[job:../b]\n", nil, true},
		{"the storage server's fault is not the jobs'", head + job("a", "dest = hd") + "[storage]\nport = 0\n", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := loadText(t, tt.text)
			var bad []string
			for _, j := range c.Jobs() {
				if len(j.Problems) > 0 {
					bad = append(bad, j.Name)
				}
			}
			if !slices.Equal(bad, tt.bad) || len(c.Fatal()) > 0 != tt.fatal || len(problems) == 0 {
				t.Errorf("bad jobs %q, fatal %v, want %q, %v; all: %v", bad, c.Fatal(), tt.bad, tt.fatal, problems)
			}
		})
	}
}

func TestLoadOfWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.cfg"), dir, "/dev/zero"} {
		if c, _, err := Load(path); err == nil || c != nil {
			t.Errorf("%s: no error", path)
		}
	}
	c, problems := loadText(t, "")
	if len(problems) > 0 || len(c.Jobs()) > 0 || c.Global.Parallel != 4 || c.Global.StatusDir != "/var/lib/b1000/status" {
		t.Errorf("an empty file: %+v, %v", c.Global, problems)
	}
}

func TestDefaultPath(t *testing.T) {
	if got := DefaultPath(func(string) string { return "" }); got != "/etc/b1000/b1000.cfg" {
		t.Errorf("got %s", got)
	}
	env := map[string]string{"B1000_CFG": "/tmp/x.cfg"}
	if got := DefaultPath(func(key string) string { return env[key] }); got != "/tmp/x.cfg" {
		t.Errorf("got %s", got)
	}
}
