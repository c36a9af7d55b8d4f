// Package prometheus_test checks the alerts that come with b1000.
package prometheus_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	rules = "b1000.rules.yml"
	tests = "b1000.rules.test.yml"

	storageRules = "b1000-storage.rules.yml"
	storageTests = "b1000-storage.rules.test.yml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// written are the names of the series that b1000 writes.
func written(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../../internal/metrics/testdata/*.prom")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples of metrics: %v", err)
	}
	files = append(files, "../../internal/storage/testdata/metrics.prom")
	names := map[string]bool{}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(read(t, file), -1) {
			names[m[1]] = true
		}
	}
	return names
}

func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rules, storageRules}, {"test", "rules", tests, storageTests}} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// A rule over a series that nobody writes never fires.
func TestEverySeriesIsWritten(t *testing.T) {
	names := written(t)
	for _, file := range []string{rules, tests, storageRules, storageTests} {
		used := regexp.MustCompile(`\bb1000_\w+`).FindAllString(read(t, file), -1)
		if len(used) == 0 {
			t.Errorf("%s: names no series", file)
		}
		for _, name := range used {
			if !names[name] {
				t.Errorf("%s: nobody writes %s", file, name)
			}
		}
	}
}

// Each alert is shown to fire and to be silent.
func TestEveryAlertIsTested(t *testing.T) {
	cases := read(t, tests) + read(t, storageTests)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, rules)+read(t, storageRules), -1)
	if len(alerts) < 20 {
		t.Fatalf("%d alerts are found", len(alerts))
	}
	for _, a := range alerts {
		fires := regexp.MustCompile(`alertname: ` + a[1] + `\n\s+exp_alerts:\n\s+- exp_labels`)
		silent := regexp.MustCompile(`eval_time: \w+, alertname: ` + a[1] + `}`)
		if !fires.MatchString(cases) {
			t.Errorf("%s: no case in which it fires", a[1])
		}
		if n := len(silent.FindAllString(cases, -1)); n < 2 { // one is the case in which all is well
			t.Errorf("%s: %d cases in which it is silent", a[1], n)
		}
	}
}
