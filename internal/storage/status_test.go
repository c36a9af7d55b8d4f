package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// get asks the status interface.
func (s *site) get(path string) (*http.Response, string) {
	s.t.Helper()
	web := httptest.NewServer(s.StatusHandler())
	defer web.Close()
	res, err := http.Get(web.URL + path)
	must(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(s.t, err)
	return res, string(text)
}

func TestTheStatusTellsOfClientsAndTheirBackups(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.MinFree = Share{Bytes: 1} })
	if _, text := s.get("/"); !strings.Contains(text, "Nobody is admitted") {
		t.Errorf("an empty clients_dir:\n%s", text)
	}
	st := s.client("web1", "quota = 1G")
	s.admit("web2")
	write(t, filepath.Join(s.ClientsDir, "web3"), "ssl_peer_cn = <b>web3</b>\nnonsense = <script>\n")
	src := source(t)
	must(t, whole(st, target(1), src))
	b, err := st.Begin(context.Background(), target(2))
	must(t, err)
	defer b.Close()

	res, text := s.get("/")
	for _, want := range []string{">web1", "of 1.0 GiB", "<td>etc</td>", "storing etc", "nothing is stored yet", "Some have stored nothing yet", "[client:web3] nonsense: unknown option", "web2 has stored nothing yet"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page:\n%s", want, text)
		}
	}
	if strings.Contains(text, "unfinished") {
		t.Errorf("what is being made is called unfinished:\n%s", text)
	}
	if strings.Contains(text, "<script>") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("not safe for a browser: %v\n%s", res.Header, text)
	}
	var status Status
	_, text = s.get("/status.json")
	must(t, json.Unmarshal([]byte(text), &status))
	if len(status.Clients) != 2 || len(status.Clients[0].Jobs) != 1 || status.Clients[0].Jobs[0].Files != 3 || status.Clients[0].Jobs[0].Backups != 1 || status.Clients[0].Received == 0 || len(status.Unusable) != 1 {
		t.Errorf("got %s", text)
	}
	_, text = s.get("/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	must(t, err)
	last := families["b1000_storage_last_success_timestamp_seconds"]
	if last == nil || len(last.Metric) != 1 || last.Metric[0].GetGauge().GetValue() != float64(target(1).Manifest.Start.Unix()+60) {
		t.Errorf("metrics:\n%s", text)
	}
	if res, text := s.get("/healthz"); res.StatusCode != 200 || text != "ok\n" {
		t.Errorf("health: %d %s", res.StatusCode, text)
	}
	for _, path := range []string{"/v1/list", "/../etc/passwd", "/favicon.ico"} {
		if res, _ := s.get(path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	s.MinFree = Share{Percent: 99}
	if res, text := s.get("/healthz"); res.StatusCode != 503 || !strings.Contains(text, "min_free keeps") {
		t.Errorf("health of a full disk: %d %s", res.StatusCode, text)
	}
	// Deleted behind the server's back it is gone after a while, at once where the server did it.
	s.admit("web1", "allow = backup list show restore delete")
	must(t, st.Delete(context.Background(), listed(t, st)[0]))
	if _, text := s.get("/metrics"); strings.Contains(text, `last_success_timestamp_seconds{client="web1"`) {
		t.Errorf("still there:\n%s", text)
	}
}

func TestABackupIsLateWhereTheNextShouldHaveCome(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, test := range []struct {
		name string
		days []int
		max  time.Duration
	}{
		{"too few to tell", []int{1, 2}, 0},
		{"every day", []int{1, 2, 3, 4}, 2 * day},
		{"every day, with a week's holiday", []int{1, 2, 3, 10, 11}, 2 * day},
		{"by hand", []int{1, 1, 1, 1}, time.Hour},
	} {
		var ends []time.Time
		for _, d := range test.days {
			ends = append(ends, noon.Add(time.Duration(d)*day))
		}
		if got := usually(ends); got != test.max {
			t.Errorf("%s: got %v, want %v", test.name, got, test.max)
		}
	}
	h := holding{jobs: []JobStatus{{Job: "etc", End: noon, MaxAge: int64(2 * day / time.Second)}}}
	for _, test := range []struct {
		own  time.Duration
		at   time.Duration
		late bool
	}{{0, day, false}, {0, 3 * day, true}, {7 * day, 3 * day, false}, {7 * day, 8 * day, true}} {
		got := h.status(&client{name: "web1", maxAge: test.own}, noon.Add(test.at))
		if got.Late != test.late || got.Jobs[0].Late != test.late {
			t.Errorf("max_age %v, %v old: late %v", test.own, test.at, got.Late)
		}
		if v := verdictOf(Status{Time: noon.Add(test.at), Clients: []ClientStatus{got}}); (v.Class == "warn") != test.late {
			t.Errorf("max_age %v, %v old: %+v", test.own, test.at, v)
		}
	}
}

func TestWhoWasRefusedIsShown(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.client("web1")
	must(t, os.Mkdir(s.Path+"/gone", 0o700))
	_, err := s.open(s.files("intruder", nil)).List(context.Background(), "")
	says(t, err, "does not admit the name in it")
	must(t, whole(st, target(1), source(t)))
	says(t, st.Delete(context.Background(), listed(t, st)[0]), "delete is not allowed")
	var status Status
	_, text := s.get("/status.json")
	must(t, json.Unmarshal([]byte(text), &status))
	if len(status.Lately) != 2 || status.Lately[0].From != "web1" || !strings.Contains(status.Lately[1].Why, `certificate of "intruder"`) || status.Refused != 2 || len(status.Orphans) != 1 || status.Orphans[0] != "gone" {
		t.Errorf("got %s", text)
	}
	for range 3 * mostLately {
		s.refuse("somebody", os.ErrPermission)
	}
	if got := s.Status(context.Background()); len(got.Lately) != mostLately {
		t.Errorf("%d are remembered", len(got.Lately))
	}
}

// What Prometheus reads, as a sample that its alerts are checked against.
func TestTheMetricsAreTheSample(t *testing.T) {
	t.Parallel()
	at := time.Unix(1764000000, 0)
	got := metrics(Status{
		Since: at, Disk: DiskStatus{Total: 1000, Free: 300, MinFree: 20}, Running: 2, Most: 32, Waiting: 1, Refused: 3, Expires: at, Unusable: []string{"x"},
		Clients: []ClientStatus{
			{
				Name: "web1", Incomplete: 1, Used: 400, UsedAt: at, Quota: 500, Received: 6, Sent: 7, Late: true, Making: []Making{{Job: "etc"}},
				Jobs: []JobStatus{{Job: "db", Instance: "3306", Backups: 5, End: at, Files: 10, Bytes: 100, Late: true}, {Job: "etc", Backups: 1, End: at}},
			},
			{Name: "web2", Restic: &ResticStatus{Snapshots: 4, Last: at}},
			{Name: "web3"},
		},
	})
	want, err := os.ReadFile("testdata/metrics.prom")
	if err != nil || string(got) != string(want) {
		t.Errorf("testdata/metrics.prom is another: %v\n%s", err, got)
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	cmd := exec.Command(tool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(got)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
