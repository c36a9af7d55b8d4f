// Package grafana_test checks the dashboards that come with b1000.
package grafana_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dashboard is what the tests look at of one.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ RefID, Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// boards are the dashboards and who writes what they show: files that tests of
// those hold against what they write.
var boards = map[string]string{
	"b1000.json":         "../../internal/metrics/testdata/*.prom",
	"b1000-storage.json": "../../internal/storage/testdata/metrics.prom",
}

func load(t *testing.T, name string) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, name)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// samples are series that are written, as a host of Prometheus has them.
func samples(t *testing.T, written string) (series []string) {
	t.Helper()
	files, err := filepath.Glob(written)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for line := range strings.Lines(read(t, file)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !strings.Contains(name, "{") {
				name += "{}"
			}
			series = append(series, strings.Replace(strings.Replace(name, "{", `{instance="web1",`, 1), ",}", "}", 1))
		}
	}
	if len(series) < 20 {
		t.Fatalf("%d samples", len(series))
	}
	return series
}

// evaluate has promtool evaluate expressions over series: want are the samples,
// by expression.
func evaluate(t *testing.T, series map[string]string, want map[string][]string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	var b strings.Builder
	b.WriteString("tests:\n- interval: 5m\n  input_series:\n")
	for name, value := range series {
		fmt.Fprintf(&b, "  - {series: %q, values: %q}\n", name, value)
	}
	b.WriteString("  promql_expr_test:\n")
	for expr, all := range want {
		fmt.Fprintf(&b, "  - eval_time: 10h\n    expr: %q\n    exp_samples:\n", strings.NewReplacer("$instance", ".*", "$backup_job", ".*", "$client", ".*").Replace(expr))
		for _, s := range all {
			labels, value, _ := strings.Cut(s, " ")
			fmt.Fprintf(&b, "    - {labels: %q, value: %s}\n", labels, value)
		}
	}
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

func TestPanels(t *testing.T) {
	for name := range boards {
		t.Run(name, func(t *testing.T) { panels(t, load(t, name)) })
	}
}

func panels(t *testing.T, d dashboard) {
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: its number is there twice, or it is empty", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if places[[2]int{x, y}] != "" || x >= 24 {
					t.Fatalf("%s is upon %q or out of the grid", p.Title, places[[2]int{x, y}])
				}
				places[[2]int{x, y}] = p.Title
			}
		}
	}
	if len(d.Panels) < 8 {
		t.Errorf("%d panels", len(d.Panels))
	}
}

// Every query is of series and labels that are written, and finds some.
func TestEveryQueryFindsSomething(t *testing.T) {
	for name, written := range boards {
		t.Run(name, func(t *testing.T) { queries(t, load(t, name), samples(t, written)) })
	}
}

func queries(t *testing.T, d dashboard, all []string) {
	series, known := map[string]string{}, map[string]bool{}
	for _, s := range all {
		series[s] = "1x200"
		known[s[:strings.IndexByte(s, '{')]] = true
		for _, label := range regexp.MustCompile(`(\w+)=`).FindAllStringSubmatch(s, -1) {
			known[label[1]] = true
		}
	}
	want := map[string][]string{}
	check := func(where, text string, words *regexp.Regexp) {
		for _, m := range words.FindAllStringSubmatch(text, -1) {
			for word := range strings.FieldsFuncSeq(m[len(m)-1], func(r rune) bool { return strings.ContainsRune(", ", r) }) {
				if !known[word] {
					t.Errorf("%s: nobody writes %s", where, word)
				}
			}
		}
	}
	names := regexp.MustCompile(`\bb1000_\w+`)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			check(p.Title, q.Expr, names)
			check(p.Title, q.Expr, regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`))
			check(p.Title, q.Expr, regexp.MustCompile(`(\w+)=~`))
			check(p.Title, q.LegendFormat, regexp.MustCompile(`{{(\w+)}}`))
			want["count("+q.Expr+") > bool 0"] = []string{"{} 1"}
		}
	}
	for _, v := range d.Templating.List {
		check(v.Name, v.Definition, names)
	}
	evaluate(t, series, want)
}

// The state of a job is that of b1000ctl status.
func TestStates(t *testing.T) {
	const fresh, old = "36000x200", "600x200" // max_age is two hours
	var state string
	for _, p := range load(t, "b1000.json").Panels {
		if p.Title == "Jobs" {
			state = p.Targets[0].Expr
		}
	}
	series := map[string]string{}
	var want []string
	for _, tt := range []struct {
		name                     string
		hd, atm, result, running string // values; "" for none
		state                    int
	}{
		{"ok", fresh, fresh, "0x200", "0x200", 0},
		{"warned", fresh, fresh, "1x200", "0x200", 1},
		{"half", fresh, "0x200", "0x200", "0x200", 1},
		{"failed", fresh, fresh, "2x200", "0x200", 2},
		{"failed-first", "0x200", "0x200", "2x200", "0x200", 2},
		{"running", fresh, fresh, "2x200", fresh, 3},
		{"behind", fresh, old, "0x200", "0x200", 4},
		{"hangs", old, old, "0x200", old, 4},
		{"never", "0x200", "0x200", "", "0x200", 5},
	} {
		labels := fmt.Sprintf(`{instance="web1",backup_job=%q`, tt.name)
		series["b1000_job_max_age_seconds"+labels+"}"] = "7200x200"
		series["b1000_job_running_since_timestamp_seconds"+labels+"}"] = tt.running
		series["b1000_job_last_success_timestamp_seconds"+labels+`,destination="hd"}`] = tt.hd
		series["b1000_job_last_success_timestamp_seconds"+labels+`,destination="atm"}`] = tt.atm
		if tt.result != "" {
			series["b1000_job_last_run_result"+labels+"}"] = tt.result
		}
		want = append(want, fmt.Sprintf("%s} %d", labels, tt.state))
	}
	evaluate(t, series, map[string][]string{state: want})
}
