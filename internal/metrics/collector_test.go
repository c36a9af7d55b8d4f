package metrics_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/node_exporter/collector"

	"b1000/internal/metrics"
	"b1000/internal/report"
)

// served is the directory that the collector reads: a link that each test
// points to its own, as the collector's flags are read once for a process.
var served string

// program is the b1000 that was built for these tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "metrics")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		served, program = filepath.Join(dir, "served"), filepath.Join(dir, "b1000")
		if _, err := kingpin.CommandLine.Parse([]string{"--collector.textfile.directory=" + served}); err != nil {
			panic(err)
		}
		if out, err := exec.Command("go", "build", "-o", program, "b1000/cmd/b1000").CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// textfile is node_exporter's own collector.
type textfile struct{ collector.Collector }

func (textfile) Describe(chan<- *prometheus.Desc) {}

func (c textfile) Collect(ch chan<- prometheus.Metric) {
	if err := c.Update(ch); err != nil {
		panic(err)
	}
}

// scrape is what node_exporter serves of a directory, in the text format, by
// series; and what it complains of. Like its own handler it goes on after errors.
func scrape(t *testing.T, dir string) (series map[string]string, log string) {
	t.Helper()
	_ = os.Remove(served)
	must(t, os.Symlink(dir, served))
	var logged bytes.Buffer
	c, err := collector.NewTextFileCollector(slog.New(slog.NewTextHandler(&logged, nil)))
	must(t, err)
	r := prometheus.NewRegistry()
	must(t, r.Register(textfile{c}))
	families, err := r.Gather()
	if err != nil {
		fmt.Fprintln(&logged, err)
	}
	return lines(t, families), logged.String()
}

// lines are series and values, without what says when a file was written.
func lines(t *testing.T, families []*dto.MetricFamily) map[string]string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range families {
		if f.GetName() == "node_textfile_mtime_seconds" {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]string{}
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			all[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return all
}

// written are the series of a file as they stand in it, their labels in the
// collector's order.
func written(t *testing.T, path string) map[string]string {
	t.Helper()
	_, err := os.Stat(path)
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "one.prom"), []byte(read(t, path)), 0o644))
	all, _ := scrape(t, dir)
	delete(all, "node_textfile_scrape_error")
	return all
}

func filled(t *testing.T) metrics.Dir {
	t.Helper()
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	must(t, dir.WriteJob(full()))
	for _, j := range [][2]string{{"web", ""}, {"mysqldb", "3306"}, {"a-b", ""}, {"a", "b"}} {
		must(t, dir.WriteJob(metrics.Job{
			Name: j[0], Instance: j[1], Running: start, Last: &report.Run{Start: start, End: start},
			Destinations: []metrics.Destination{{Name: "hd"}},
		}))
	}
	writeHost(t, dir, host())
	return dir
}

// node_exporter serves every series that is in the files, and finds no fault.
func TestNodeExporterServesEverySeries(t *testing.T) {
	dir := filled(t)
	got, log := scrape(t, dir.Path)
	if got["node_textfile_scrape_error"] != "0" || log != "" {
		t.Errorf("error %s: %s", got["node_textfile_scrape_error"], log)
	}
	delete(got, "node_textfile_scrape_error")
	want := 0
	for _, name := range names(t, dir.Path) {
		for series, value := range written(t, filepath.Join(dir.Path, name)) {
			want++
			if got[series] != value {
				t.Errorf("%s: served %q, written %q", series, got[series], value)
			}
		}
	}
	if len(got) != want || want < 40 {
		t.Errorf("%d series are served of %d", len(got), want)
	}
}

// A file of somebody else that is damaged or half written hides none of ours;
// one that has a name of ours with another text hides that name's at most.
func TestBadFilesBesideOurs(t *testing.T) {
	const name = "b1000_job_snapshots"
	other := "# HELP " + name + " mine\n# TYPE " + name + " gauge\n" + name + "{backup_job=\"x\"} 1\n"
	for _, tt := range []struct {
		name, file, text string
		error            string // node_textfile_scrape_error
		lost             string // the name whose series may be hidden
	}{
		{"damaged", "a.prom", name + "{", "1", ""},
		{"binary", "z.prom", "\x00\x01\x02", "1", ""},
		{"same name, another text, after ours", "z.prom", other, "1", ""},
		{"same name, another text, before ours", "a.prom", other, "1", name},
		{"same name, no text", "a.prom", name + "{backup_job=\"x\"} 1\n", "0", name},
		{"being written", ".b1000-web.prom.new", "b1000_job_sn", "0", ""},
		{"an empty one", "a.prom", "", "0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filled(t)
			want, _ := scrape(t, dir.Path)
			delete(want, "node_textfile_scrape_error")
			must(t, os.WriteFile(filepath.Join(dir.Path, tt.file), []byte(tt.text), 0o644))
			got, log := scrape(t, dir.Path)
			if got["node_textfile_scrape_error"] != tt.error {
				t.Errorf("error %s, want %s: %s", got["node_textfile_scrape_error"], tt.error, log)
			}
			for series, value := range want {
				if hidden := tt.lost != "" && strings.HasPrefix(series, tt.lost+"{"); got[series] != value && !hidden {
					t.Errorf("%s: served %q, want %q", series, got[series], value)
				}
			}
		})
	}
}

// promtool is Prometheus's own check of names, units and texts.
func TestPromtoolFindsNoFault(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	dir := filled(t)
	for _, name := range names(t, dir.Path) {
		cmd := exec.Command(tool, "check", "metrics")
		cmd.Stdin = strings.NewReader(read(t, filepath.Join(dir.Path, name)))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
