package reportfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
)

const sample = `[jobstatus:ext]
host = client7
name = ext
instance =
master_host =
master_instance =
direction = passive
start_time = 2014-08-20 15:40:04
step = COPYING
status = OK
data_age = 0

[dest:atm]
type = passive
path = pull://backup-2
status = COPYING
`

func sampleRun() report.Run {
	return report.Run{
		Job: "ext", Host: "client7", Direction: "passive",
		Start: time.Date(2014, 8, 20, 15, 40, 4, 0, time.Local),
		Step:  report.StepCopying, Status: report.OK,
		Copies: []report.Copy{{Destination: "atm", Type: "passive", Path: "pull://backup-2", Status: report.CopyCopying}},
	}
}

// inZone runs the test with the host in the named zone.
func inZone(t *testing.T, name string) {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Local
	time.Local = loc
	t.Cleanup(func() { time.Local = old })
}

func TestWriteIsTheOriginalsFormat(t *testing.T) {
	dir := t.TempDir()
	run := sampleRun()
	path, err := Write(dir, &run)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "ext--2014-08-20-15-40-04.b1k"); path != want {
		t.Errorf("path = %s, want %s", path, want)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != sample {
		t.Errorf("file:\n%s\nwant:\n%s", got, sample)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("mode = %v, want 0644", info.Mode())
	}
}

func TestWriteReplacesAndLeavesNothingElse(t *testing.T) {
	dir := t.TempDir()
	run := sampleRun()
	run.Instance, run.MasterHost, run.MasterInstance, run.DataAge = "3307", "db1", "payments", 12
	for _, step := range []report.Step{report.StepInit, report.StepPre, report.StepCopying} {
		run.Step = step
		if _, err := Write(dir, &run); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(dir, "ext-3307-2014-08-20-15-40-04.b1k")}; !reflect.DeepEqual(names, want) {
		t.Fatalf("directory holds %v, want %v", names, want)
	}
	f, err := os.Open(names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, run) {
		t.Errorf("got %+v, want %+v", got, run)
	}
	for range 2 {
		if err := Remove(dir, &run); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, err := os.Stat(names[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestWriteRefusesWhatBreaksTheGrammar(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*report.Run)
		want   string
	}{
		{"line break in a path", func(r *report.Run) { r.Copies[0].Path = "x\nstatus = DONE\n\n[dest:b]\ntype = passive\npath = y" }, "control character"},
		{"carriage return", func(r *report.Run) { r.Copies[0].Path = "x\ry" }, "control character"},
		{"comment in a path", func(r *report.Run) { r.Copies[0].Path = "x ;y" }, "comment"},
		{"nothing but a comment", func(r *report.Run) { r.Copies[0].Path = ";x" }, "comment"},
		{"outer space", func(r *report.Run) { r.Copies[0].Path = " x" }, "white space"},
		{"not UTF-8", func(r *report.Run) { r.Copies[0].Path = "\xff" }, "not UTF-8"},
		{"bracket in a destination", func(r *report.Run) { r.Copies[0].Destination = "a]" }, "section"},
		{"line break in a destination", func(r *report.Run) { r.Copies[0].Destination = "a\nb" }, "control character"},
		{"same destination twice", func(r *report.Run) { r.Copies = append(r.Copies, r.Copies[0]) }, "twice"},
		{"job that is a path", func(r *report.Run) { r.Job = "../ext" }, "section"},
		{"instance that is a path", func(r *report.Run) { r.Instance = "a/b" }, "instance"},
		{"host with a line break", func(r *report.Run) { r.Host = "a\nb" }, "control character"},
		{"unknown step", func(r *report.Run) { r.Step = "LATER" }, "step"},
		{"negative age", func(r *report.Run) { r.DataAge = -1 }, "data_age"},
		{"no direction", func(r *report.Run) { r.Direction = "" }, "direction"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			run := sampleRun()
			tc.change(&run)
			_, err := Write(dir, &run)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 {
				t.Errorf("directory holds %v, %v", left, err)
			}
		})
	}
}

func TestWriteIntoMissingDirectory(t *testing.T) {
	run := sampleRun()
	if _, err := Write(filepath.Join(t.TempDir(), "none"), &run); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v, want one that is fs.ErrNotExist", err)
	}
}

func TestRemoveStaysInTheDirectory(t *testing.T) {
	run := sampleRun()
	run.Job = "../ext"
	if err := Remove(t.TempDir(), &run); err == nil {
		t.Error("no error for a job that is a path")
	}
}

func TestParseReadsTheOriginalsVariants(t *testing.T) {
	want := sampleRun()
	for _, tc := range []struct{ name, text string }{
		{"as documented", sample},
		{"trailing space after an empty value", strings.ReplaceAll(sample, " =\n", " = \n")},
		{"blank line at the end", sample + "\n"},
		{"no line break at the end", strings.TrimSuffix(sample, "\n")},
		{"destinations first", sample[strings.Index(sample, "[dest"):] + "\n" + sample[:strings.Index(sample, "[dest")]},
		{"without the optional keys", strings.NewReplacer("instance =\n", "", "master_host =\n", "", "master_", "", "data_age = 0\n", "").Replace(sample)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	edit := func(old, with string) string {
		if !strings.Contains(sample, old) {
			t.Fatalf("sample has no %q", old)
		}
		return strings.Replace(sample, old, with, 1)
	}
	for _, tc := range []struct{ name, text, want string }{
		{"empty file", "", "without a jobstatus"},
		{"no jobstatus", sample[strings.Index(sample, "[dest"):], "without a jobstatus"},
		{"key before a section", "host = a\n" + sample, "line 1: key"},
		{"unknown section", sample + "[evil:x]\n", "line 17: unknown section"},
		{"section without name", sample + "[dest]\n", "line 17"},
		{"unclosed section", edit("[dest:atm]", "[dest:atm"), "line 13"},
		{"second jobstatus", sample + "[jobstatus:ext]\n", "line 17: a second jobstatus"},
		{"destination twice", sample + sample[strings.Index(sample, "[dest"):], "line 17: section [dest:atm] is given twice"},
		{"unknown key", edit("data_age = 0", "post = rm -rf /"), `line 11: unknown key "post"`},
		{"job key in a destination", edit("type = passive", "host = x"), `line 14: unknown key "host"`},
		{"key twice", edit("name = ext", "host = client8"), "line 3: key host is given twice"},
		{"missing key", edit("step = COPYING\n", ""), "has no step"},
		{"missing key at the end", edit("status = COPYING\n", ""), "has no status"},
		{"no key", edit("host = client7", "client7"), "line 2"},
		{"continued line", edit("host = client7", "host = client7\n  x = y"), `line 3: unknown key "  x"`},
		{"name of another job", edit("name = ext", "name = etc"), "line 3: name"},
		{"host is a path", edit("client7", "../../etc"), "line 2: host"},
		{"host begins with a dot", edit("client7", ".ssh"), "line 2: host"},
		{"host is an option", edit("client7", "--rsh=x"), "line 2: host"},
		{"host is empty", edit("client7", ""), "line 2: host"},
		{"host is long", edit("client7", strings.Repeat("a", 256)), "line 2: host"},
		{"instance is a path", edit("instance =", "instance = a/b"), "line 4: instance"},
		{"master host is a path", edit("master_host =", "master_host = .."), "line 5: master_host"},
		{"direction", edit("direction = passive", "direction = up"), "line 7: direction"},
		{"time", edit("2014-08-20 15:40:04", "2014-08-20T15:40:04"), "line 8: start_time"},
		{"time with fraction", edit("15:40:04", "15:40:04.5"), "line 8: start_time"},
		{"time of no day", edit("2014-08-20", "2014-02-30"), "line 8: start_time"},
		{"step", edit("step = COPYING", "step = copying"), "line 9: step"},
		{"status", edit("status = OK", "status = DONE"), "line 10: status"},
		{"age is no number", edit("data_age = 0", "data_age = x"), "line 11: data_age"},
		{"age is empty", edit("data_age = 0", "data_age ="), "line 11: data_age"},
		{"age is too large", edit("data_age = 0", "data_age = 2147483648"), "line 11: data_age"},
		{"age is negative", edit("data_age = 0", "data_age = -1"), "line 11: data_age"},
		{"destination type", edit("type = passive", "type = x"), "line 14: type"},
		{"path is long", edit("pull://backup-2", strings.Repeat("ż", 1025)), "line 15: path"},
		{"copy status", edit("status = COPYING", "status = OK"), "line 16: status"},
		{"control character", edit("backup-2", "backup\x00"), "line 15"},
		{"carriage returns", strings.ReplaceAll(sample, "\n", "\r\n"), "line 1"},
		{"large", sample + strings.Repeat("\n", MaxSize), "larger than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
			if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error is not one short line: %v", err)
			}
		})
	}
}

// A client in another zone may name a time that clocks here skipped; its file
// must be found again under the name it has.
func TestNameSurvivesSkippedHour(t *testing.T) {
	inZone(t, "Europe/Warsaw")
	run, err := Parse(strings.NewReader(strings.Replace(sample, "2014-08-20 15:40:04", "2014-03-30 02:30:00", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Name(&run), "ext--2014-03-30-02-30-00.b1k"; got != want {
		t.Errorf("name = %s, want %s", got, want)
	}
}

func TestNameKeepsTheRunsOwnZone(t *testing.T) {
	inZone(t, "America/New_York")
	run := sampleRun()
	run.Start = time.Date(2014, 8, 20, 15, 40, 4, 0, time.FixedZone("", 2*3600))
	if got, want := Name(&run), "ext--2014-08-20-15-40-04.b1k"; got != want {
		t.Errorf("name = %s, want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(sample + "\n[dest:b]\ntype = active\npath = /srv/a b\nstatus = DONE\n")
	f.Add("[jobstatus:x]\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		run, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if name := Name(&run); filepath.Base(name) != name || strings.HasPrefix(name, ".") {
			t.Errorf("name %q leaves its directory", name)
		}
		again, err := render(&run)
		if err != nil {
			t.Fatalf("accepted but not writable: %v", err)
		}
		got, err := Parse(strings.NewReader(again))
		if err != nil {
			t.Fatalf("own text refused: %v\n%s", err, again)
		}
		if !reflect.DeepEqual(got, run) {
			t.Errorf("got %+v, want %+v", got, run)
		}
	})
}
