package prometheus_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/node_exporter/collector"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a host with b1000 whose metrics a Prometheus watches.
type site struct {
	*testing.T
	dir, program, ctl string
	api               string
	timers            prometheus.Gauge // 1 when the timer of etc is active
}

// textfile is node_exporter's own collector.
type textfile struct{ collector.Collector }

func (textfile) Describe(chan<- *prometheus.Desc) {}

func (c textfile) Collect(ch chan<- prometheus.Metric) { _ = c.Update(ch) }

// newSite starts everything: a source of metrics as node_exporter is one, and
// Prometheus with our rules, which look twice a second and wait for nothing.
func newSite(t *testing.T) *site {
	t.Helper()
	server, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian: prometheus)")
	}
	s := &site{T: t, dir: t.TempDir()}
	for _, dir := range []string{"etc", "hd", "atm", "prom", "reports"} {
		must(t, os.Mkdir(filepath.Join(s.dir, dir), 0o755))
	}
	s.write("etc/hosts", "127.0.0.1 localhost\n")
	s.program = filepath.Join(s.dir, "b1000")
	s.ctl = s.program + "ctl"
	for _, program := range []string{s.program, s.ctl} {
		if out, err := exec.Command("go", "build", "-o", program, "b1000/cmd/"+filepath.Base(program)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	exporter := httptest.NewServer(s.exporter())
	t.Cleanup(exporter.Close)
	s.write("rules.yml", regexp.MustCompile(`(?m)^ +for: \w+\n`).ReplaceAllString(read(t, rules), ""))
	s.write("prometheus.yml", `global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [DIR/rules.yml]
scrape_configs: [{job_name: node, static_configs: [{targets: ["`+strings.TrimPrefix(exporter.URL, "http://")+`"]}]}]
`)
	cmd := exec.Command(server, "--config.file="+s.dir+"/prometheus.yml", "--storage.tsdb.path="+s.dir+"/data", "--web.listen-address=127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(log)
	for s.api == "" && lines.Scan() {
		if m := regexp.MustCompile(`msg="Listening on" address=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			s.api = "http://" + m[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	if s.api == "" {
		t.Fatal("prometheus does not listen")
	}
	return s
}

func (s *site) exporter() http.Handler {
	_, err := kingpin.CommandLine.Parse([]string{"--collector.textfile.directory=" + s.dir + "/prom"})
	must(s.T, err)
	c, err := collector.NewTextFileCollector(slog.New(slog.DiscardHandler))
	must(s.T, err)
	s.timers = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "node_systemd_unit_state", ConstLabels: prometheus.Labels{"name": "b1000@etc.timer", "state": "active", "type": ""},
	})
	s.timers.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(textfile{c}, s.timers)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

func (s *site) write(name, text string) {
	s.Helper()
	must(s.T, os.WriteFile(filepath.Join(s.dir, name), []byte(strings.ReplaceAll(text, "DIR", s.dir)), 0o644))
}

func (s *site) remove(name string) { must(s.T, os.RemoveAll(filepath.Join(s.dir, name))) }

func (s *site) rename(old, new string) {
	must(s.T, os.Rename(filepath.Join(s.dir, old), filepath.Join(s.dir, new)))
}

// config writes the configuration: the job etc, with lines in place of its own
// or beside them, and the text of more sections.
func (s *site) config(lines, more string) {
	own := map[string]string{
		"direction": "push", "type": "full", "dest": "hd", "report": "main", "include": "DIR/etc", "schedule": "*:00", "max_age": "1h",
	}
	for line := range strings.Lines(lines) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		own[key] = value
	}
	text := `[global]
status_dir = DIR/status
textfile_dir = DIR/prom
log_file = /dev/stdout
copy_retries = 0
[report:main]
type = file
path = DIR/reports
[dest:hd]
type = active
path = DIR/hd
[dest:atm]
type = active
path = DIR/atm
` + more + "[job:etc]\n"
	for key, value := range own {
		text += key + " = " + value + "\n"
	}
	s.write("b1000.cfg", text)
}

func (s *site) command(args ...string) *exec.Cmd {
	return exec.Command(s.program, append([]string{"-f", s.dir + "/b1000.cfg"}, args...)...)
}

// run runs b1000, which has to end with that status.
func (s *site) run(status int, args ...string) {
	s.Helper()
	s.end(status, s.command(args...))
}

// verify lets b1000ctl verify the last backups.
func (s *site) verify(status int) {
	s.Helper()
	s.end(status, exec.Command(s.ctl, "-f", s.dir+"/b1000.cfg", "verify"))
}

// stored writes into the file of the last backup, keeping its time.
func (s *site) stored(text string) {
	s.Helper()
	files, err := filepath.Glob(s.dir + "/hd/etc/*/*/etc/hosts")
	must(s.T, err)
	file := files[len(files)-1]
	info, err := os.Stat(file)
	must(s.T, err)
	must(s.T, os.WriteFile(file, []byte(text), 0o644))
	must(s.T, os.Chtimes(file, time.Time{}, info.ModTime()))
}

func (s *site) end(status int, cmd *exec.Cmd) {
	s.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	if exit != nil && exit.ExitCode() != status || exit == nil && status != 0 {
		s.Fatalf("%q: %v, want %d\n%s", cmd.Args, err, status, out)
	}
}

// firing are the alerts that fire.
func (s *site) firing() (names []string) {
	s.Helper()
	r, err := http.Get(s.api + "/api/v1/alerts")
	must(s.T, err)
	defer r.Body.Close()
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	must(s.T, json.NewDecoder(r.Body).Decode(&answer))
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names
}

// until waits until an alert fires or fires no more; meanwhile it calls again.
func (s *site) until(fires bool, alert string, again func()) {
	s.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if slices.Contains(s.firing(), alert) == fires {
			return
		}
		if again != nil {
			again()
		}
	}
	s.Fatalf("%s: want firing %v; firing are %q", alert, fires, s.firing())
}

// Every alert fires when its cause is there and clears when that is gone; but the
// one that needs a wrong clock.
func TestAlertsFireAndClear(t *testing.T) {
	s := newSite(t)
	cases := s.cases()
	for _, a := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, rules), -1) {
		if !slices.ContainsFunc(cases, func(c alertCase) bool { return c.alert == a[1] }) && a[1] != "B1000SuccessInFuture" {
			t.Errorf("%s: has no case", a[1])
		}
	}
	s.config("", "")
	s.run(0)
	for _, c := range cases {
		s.until(false, c.alert, nil)
		c.cause()
		s.until(true, c.alert, c.again)
		c.cure()
		s.until(false, c.alert, nil)
		t.Logf("%s: %s", c.alert, c.name)
	}
	if left := s.firing(); len(left) > 0 {
		t.Errorf("still firing: %q", left)
	}
}
