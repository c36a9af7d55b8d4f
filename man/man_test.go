// Package man_test compares the manual with the programs: what one knows the
// other has to tell of, in both directions.
package man_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"b1000/internal/config"
	"b1000/internal/metrics"
	"b1000/internal/run"
	"b1000/internal/testhost"
)

// binaries names the variable with the directory of the programs.
const binaries = "B1000_TEST_PROGRAMS"

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "b1000-programs")
	if err == nil {
		defer os.RemoveAll(dir)
		err = testhost.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(binaries, dir)
	return m.Run()
}

func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*.[1-9]")
	if err != nil || len(all) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return all
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// compare tells what is known and not documented, and the other way round.
func compare(t *testing.T, page, what string, known, documented []string) {
	t.Helper()
	if !strings.HasSuffix(what, ".") {
		what += " "
	}
	for _, k := range known {
		if !slices.Contains(documented, k) {
			t.Errorf("%s: %s is not documented", page, what+k)
		}
	}
	for _, d := range documented {
		if !slices.Contains(known, d) {
			t.Errorf("%s: %s is documented, and there is none", page, what+d)
		}
	}
}

// mandoc says nothing about a page that is right. Of the pages of others it
// cannot know whether they are installed; of ours it is checked here.
func TestPagesAreCleanAndReferToPagesThatAreThere(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed (Debian package mandoc)")
	}
	all := pages(t)
	out, err := exec.Command("mandoc", append([]string{"-Tlint"}, all...)...).Output() // warnings about its own data base are on stderr
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "referenced manual not found") {
			t.Errorf("%v: %s", err, line)
		}
	}
	ours := regexp.MustCompile(`(?m)^\.Xr ((?:b1000|cpsbackup)\S*) (\d)`)
	for _, page := range all {
		for _, m := range ours.FindAllStringSubmatch(read(t, page), -1) {
			if !slices.Contains(all, m[1]+"."+m[2]) {
				t.Errorf("%s: refers to %s(%s), which is not there", page, m[1], m[2])
			}
		}
	}
}

func TestEachProgramHasAPage(t *testing.T) {
	programs, err := os.ReadDir(os.Getenv(binaries))
	if err != nil {
		t.Fatal(err)
	}
	all := pages(t)
	for _, p := range programs {
		if !slices.Contains(all, p.Name()+".1") && !slices.Contains(all, p.Name()+".8") {
			t.Errorf("%s has no page", p.Name())
		}
	}
}

// Every option of the configuration is documented in its section, with the
// directions or types that it is for, whether it has to be there, its default and
// the words that it may be.
func TestOptions(t *testing.T) {
	const page = "b1000.cfg.5"
	documented := options(read(t, page))
	for _, kind := range config.Kinds() {
		var known []string
		for _, o := range config.Options(kind) {
			known = append(known, o.Name)
			if d, ok := documented[kind][o.Name]; ok {
				t.Run(kind+"."+o.Name, func(t *testing.T) { d.check(t, page, o) })
			}
		}
		compare(t, page, "option "+kind+".", known, slices.Sorted(maps.Keys(documented[kind])))
	}
}

// documented is an option of the page.
type documented struct {
	in     string // what stands in parentheses, "" for nothing
	text   string // with the macros taken away
	shared bool   // by several kinds of sections, whose conditions differ
}

var (
	heading  = regexp.MustCompile(`^\.Ss (.*)`)
	kindName = regexp.MustCompile(`\[(\w+)|clients_dir`)
	item     = regexp.MustCompile(`^\.It Ic (\w+)(?: Pq (.*))?$`)
	macro    = regexp.MustCompile(`(?m)^\.[A-Z]\w+ ?`)
)

// options takes the page apart: kind of section, name, option.
func options(page string) map[string]map[string]*documented {
	all := map[string]map[string]*documented{}
	var kinds []string
	var last *documented
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if m := heading.FindStringSubmatch(line); m != nil {
			kinds, last = nil, nil
			for _, k := range kindName.FindAllStringSubmatch(m[1], -1) {
				if k[1] == "" {
					k[1] = "client"
				}
				kinds = append(kinds, k[1])
			}
		}
		if m := item.FindStringSubmatch(line); m != nil {
			last = &documented{in: strings.ReplaceAll(m[2], ",", ""), shared: len(kinds) > 1}
			for _, kind := range kinds {
				if all[kind] == nil {
					all[kind] = map[string]*documented{}
				}
				all[kind][m[1]] = last
			}
			continue
		}
		if strings.HasPrefix(line, ".El") && last != nil && !strings.Contains(last.text, ".Bl") {
			last = nil
		}
		if last != nil {
			last.text += line + "\n"
		}
	}
	return all
}

func (d *documented) check(t *testing.T, page string, o config.Option) {
	text := macro.ReplaceAllString(d.text, "")
	if !d.shared && d.in != o.In {
		t.Errorf("%s: option %s.%s is for %q, and is documented for %q", page, o.Section, o.Name, o.In, d.in)
	}
	if always := o.Need != "" && (o.Need == "*" || o.Need == o.In); always != strings.HasPrefix(text, "Required.\n") {
		t.Errorf("%s: option %s.%s: required is %v; \"Required.\" has to begin the text if and only if it is", page, o.Section, o.Name, always)
	}
	def := ""
	if _, after, ok := strings.Cut(text, "\nDefault: "); ok {
		def, _, _ = strings.Cut(after, "\n")
	} else if after, ok := strings.CutPrefix(text, "Default: "); ok {
		def = after
	}
	if def = strings.TrimSuffix(def, "."); def != o.Default {
		t.Errorf("%s: option %s.%s has the default %q, and %q is documented", page, o.Section, o.Name, o.Default, def)
	}
	for _, v := range strings.Fields(o.Values) {
		if !regexp.MustCompile(`(?m)(^|[\s'])` + regexp.QuoteMeta(v) + `([\s,.:;]|$)`).MatchString(text) {
			t.Errorf("%s: option %s.%s may be %s, which is not documented", page, o.Section, o.Name, v)
		}
	}
}

func TestMetrics(t *testing.T) {
	const page = "b1000.1"
	var known, documented []string
	for _, s := range metrics.All() {
		known = append(known, s.Name)
	}
	for _, m := range regexp.MustCompile(`(?m)^\.It Li (b1000_\w+)$`).FindAllStringSubmatch(read(t, page), -1) {
		documented = append(documented, m[1])
	}
	compare(t, page, "metric", known, documented)
}

// help is what a program prints when it is asked for help.
func help(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(os.Getenv(binaries), program), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &out)
	}
	return out.String()
}

// statuses are those of the EXIT STATUS of a page, with their texts.
func statuses(t *testing.T, page string) map[string]string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, page), "\n.Sh EXIT STATUS\n")
	section, _, _ = strings.Cut(section, "\n.Sh ")
	all := map[string]string{}
	for _, part := range strings.Split(section, "\n.It ")[1:] {
		number, text, _ := strings.Cut(part, "\n")
		all[number] = strings.Join(strings.Fields(macro.ReplaceAllString(text, "")), " ")
	}
	return all
}

func TestExitStatusesOfB1000(t *testing.T) {
	const page = "b1000.1"
	documented := statuses(t, page)
	var known []string
	for _, e := range run.Exits() {
		known = append(known, fmt.Sprint(e.Status))
		text, ok := documented[fmt.Sprint(e.Status)]
		if ok && !strings.HasPrefix(strings.ToLower(text), strings.ToLower(e.Meaning)) {
			t.Errorf("%s: exit status %d means %q, and %q is documented", page, e.Status, e.Meaning, text)
		}
	}
	compare(t, page, "exit status", known, slices.Sorted(maps.Keys(documented)))
}

// Of the other programs the help tells.
func TestExitStatusesOfTheOthers(t *testing.T) {
	table := regexp.MustCompile(`(?m)^ +(\d+)  \S`)
	for page, program := range map[string]string{"b1000d.8": "b1000d", "b1000-generator.8": "b1000-generator", "cpsbackup.1": "cpsbackup"} {
		_, text, _ := strings.Cut(help(t, program, "--help"), "exit status:\n")
		var known []string
		for _, m := range table.FindAllStringSubmatch(text, -1) {
			known = append(known, m[1])
		}
		compare(t, page, "exit status", known, slices.Sorted(maps.Keys(statuses(t, page))))
	}
}
