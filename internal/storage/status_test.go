package storage

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

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
	for _, want := range []string{"<th>web1", "quota 1.0 GiB", "<td>etc</td>", "storing etc", "never", "Admits nobody: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page:\n%s", want, text)
		}
	}
	if strings.Contains(text, "<script>") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("not safe for a browser: %v\n%s", res.Header, text)
	}
	var status Status
	_, text = s.get("/status.json")
	must(t, json.Unmarshal([]byte(text), &status))
	if len(status.Clients) != 2 || status.Clients[0].Last == nil || status.Clients[0].Last.Files != 3 || status.Clients[0].Backups != 1 || status.Clients[0].Received == 0 || len(status.Unusable) != 1 {
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
	if _, text := s.get("/metrics"); strings.Contains(text, `last_success_timestamp_seconds{client="web1"}`) {
		t.Errorf("still there:\n%s", text)
	}
}
