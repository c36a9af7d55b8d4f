package metrics

import (
	"bytes"
	"os"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// readFile reads the series of a file, by name.
func readFile(path string) (map[string]*dto.MetricFamily, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// takeOver fills in what is to stay as it was from the job's earlier file.
func (j *Job) takeOver(before map[string]*dto.MetricFamily) {
	if j.MaxAgeUnknown {
		if v, ok := valueOf(before[maxAge], ""); ok {
			j.MaxAge = time.Duration(v * float64(time.Second))
		}
	}
	for i := range j.Destinations {
		d := &j.Destinations[i]
		if n, ok := valueOf(before[snapshots], d.Name); ok && d.Pruned == nil {
			d.Pruned = &Pruned{Snapshots: int(n)}
		}
		if at, ok := valueOf(before[lastPrune], d.Name); ok && d.Pruned != nil && d.Pruned.At.IsZero() {
			d.Pruned = &Pruned{Snapshots: d.Pruned.Snapshots, At: moment(at)}
		}
		if at, ok := valueOf(before[lastVerify], d.Name); ok && d.Checked.IsZero() {
			d.Checked = moment(at)
			n, _ := valueOf(before[damaged], d.Name)
			d.Damaged = int64(n)
		}
	}
}

// valueOf is the value of a series at a destination, "" for one that has none.
func valueOf(f *dto.MetricFamily, destination string) (float64, bool) {
	for _, m := range f.GetMetric() {
		at := ""
		for _, l := range m.GetLabel() {
			if l.GetName() == "destination" {
				at = l.GetValue()
			}
		}
		if at == destination && m.GetGauge() != nil {
			return m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

func moment(seconds float64) time.Time { return time.UnixMilli(int64(seconds*1000 + 0.5)) }
