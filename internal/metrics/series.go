package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Names of the series. All are gauges. One name has one help text, whatever the
// file: node_exporter leaves out a series whose texts differ.
const (
	running      = "b1000_job_running_since_timestamp_seconds"
	runStart     = "b1000_job_last_run_start_timestamp_seconds"
	runEnd       = "b1000_job_last_run_end_timestamp_seconds"
	runResult    = "b1000_job_last_run_result"
	runDuration  = "b1000_job_last_run_duration_seconds"
	stepDuration = "b1000_job_last_run_step_duration_seconds"
	copyDuration = "b1000_job_last_run_copy_duration_seconds"
	copySent     = "b1000_job_last_run_sent_bytes"
	success      = "b1000_job_last_success_timestamp_seconds"
	successBytes = "b1000_job_last_success_size_bytes"
	successFiles = "b1000_job_last_success_files"
	maxAge       = "b1000_job_max_age_seconds"
	snapshots    = "b1000_job_snapshots"
	lastPrune    = "b1000_job_last_prune_timestamp_seconds"
	lastVerify   = "b1000_job_last_verify_timestamp_seconds"
	damaged      = "b1000_job_damaged_files"
	keptRuns     = "b1000_job_kept_runs"
	build        = "b1000_build_info"
	valid        = "b1000_job_config_valid"
	timer        = "b1000_job_timer_info"
	undelivered  = "b1000_reports_undelivered"
)

// Series is a name that stands in a file, with its help text.
type Series struct{ Name, Help string }

// All are the series that there may be: what the manual has to tell of.
func All() []Series {
	return []Series{
		{running, "When the run that is on began; 0 when none is on, and a run that was killed stays."},
		{runStart, "When the last run that ended began."},
		{runEnd, "When the last run ended."},
		{runResult, "Result of the last run: 0 OK, 1 WARNING, 2 FAILED."},
		{runDuration, "How long the last run took."},
		{stepDuration, "How long a step of the last run took: pre, copying, post, on_failure."},
		{copyDuration, "How long the copy of the last run to a destination took, all its tries together."},
		{copySent, "Bytes that the last run sent to a destination."},
		{success, "Start of the last run whose copy is complete at a destination; 0 when there is none."},
		{successBytes, "Size of the last complete copy at a destination."},
		{successFiles, "Files in the last complete copy at a destination, directories not counted."},
		{maxAge, "How old the last complete copy may be."},
		{snapshots, "Complete backups at a destination when retention was last applied."},
		{lastPrune, "When retention was last applied at a destination without an error."},
		{lastVerify, "When stored data was last compared with its digests at a destination."},
		{damaged, "Files of the backup verified last that are not what their digests say, at a destination."},
		{keptRuns, "Runs that wait for copies to be tried again (b1000 -c)."},
		{build, "1, with the version of the program that wrote this."},
		{valid, "1 for a configured job that can be run, 0 for one with faults in its configuration."},
		{timer, "1 for a configured job with a schedule, with the name of its timer."},
		{undelivered, "Reports that wait to be delivered."},
	}
}

// help is the text of a series.
func help(name string) string {
	for _, s := range All() {
		if s.Name == name {
			return s.Help
		}
	}
	panic("metrics: no help text for " + name) // a fault of this package
}

// label is one label of a series.
type label struct{ name, value string }

// table collects the series of one file.
type table struct{ families map[string]*dto.MetricFamily }

func (t *table) add(name string, value float64, labels ...label) {
	f := t.families[name]
	if f == nil {
		f = &dto.MetricFamily{Name: &name, Help: new(help(name)), Type: dto.MetricType_GAUGE.Enum()}
		if t.families == nil {
			t.families = map[string]*dto.MetricFamily{}
		}
		t.families[name] = f
	}
	m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
	for _, l := range labels {
		m.Label = append(m.Label, &dto.LabelPair{Name: new(l.name), Value: new(l.value)})
	}
	f.Metric = append(f.Metric, m)
}

// encode is the text of a file: a line that says whose it is, then the series
// by name and labels, each once: of a series that is there twice node_exporter
// shows nothing at all.
func (t *table) encode(mark string) ([]byte, error) {
	b := bytes.NewBufferString(mark)
	names := make([]string, 0, len(t.families))
	for name := range t.families {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := t.families[name]
		slices.SortStableFunc(f.Metric, byLabels)
		f.Metric = slices.CompactFunc(f.Metric, func(a, b *dto.Metric) bool { return byLabels(a, b) == 0 })
		if _, err := expfmt.MetricFamilyToText(b, f); err != nil {
			return nil, fmt.Errorf("series %s: %w", name, err)
		}
	}
	return b.Bytes(), nil
}

// byLabels orders the series of one name.
func byLabels(a, b *dto.Metric) int {
	return slices.CompareFunc(a.Label, b.Label, func(a, b *dto.LabelPair) int {
		return cmp.Compare(a.GetValue(), b.GetValue())
	})
}

// table is what a job's file holds.
func (j *Job) table() *table {
	t := &table{}
	own := []label{{"backup_job", j.Name}, {"instance_name", j.Instance}}
	at := func(destination string) []label { return append(slices.Clip(own), label{"destination", destination}) }
	t.add(running, epoch(j.Running), own...)
	t.add(keptRuns, float64(j.Kept), own...)
	if j.MaxAge > 0 {
		t.add(maxAge, j.MaxAge.Seconds(), own...)
	}
	if r := j.Last; r != nil {
		t.add(runStart, epoch(r.Start), own...)
		t.add(runEnd, epoch(r.End), own...)
		t.add(runResult, result(r.Status), own...)
		t.add(runDuration, seconds(r.End.Sub(r.Start)), own...)
		names, took := steps(r)
		for i, name := range names {
			t.add(stepDuration, seconds(took[i]), append(slices.Clip(own), label{"step", name})...)
		}
		for _, c := range r.Copies {
			if c.Start.IsZero() || c.End.Before(c.Start) {
				continue
			}
			t.add(copyDuration, seconds(c.End.Sub(c.Start)), at(c.Destination)...)
			t.add(copySent, float64(c.BytesSent), at(c.Destination)...)
		}
	}
	for _, d := range j.Destinations {
		t.add(success, epoch(d.Success), at(d.Name)...)
		if !d.Success.IsZero() {
			t.add(successBytes, float64(d.Bytes), at(d.Name)...)
			t.add(successFiles, float64(d.Files), at(d.Name)...)
		}
		if d.Pruned != nil {
			t.add(snapshots, float64(d.Pruned.Snapshots), at(d.Name)...)
			if !d.Pruned.At.IsZero() {
				t.add(lastPrune, epoch(d.Pruned.At), at(d.Name)...)
			}
		}
		if !d.Checked.IsZero() {
			t.add(lastVerify, epoch(d.Checked), at(d.Name)...)
			t.add(damaged, float64(d.Damaged), at(d.Name)...)
		}
	}
	return t
}

// table is what the host's file holds.
func (h *Host) table() *table {
	t := &table{}
	t.add(build, 1, label{"version", h.Version})
	t.add(undelivered, float64(h.Undelivered))
	for _, j := range h.Jobs {
		ok := 0.0
		if j.Valid {
			ok = 1
		}
		t.add(valid, ok, label{"backup_job", j.Name})
		if j.Timer != "" {
			t.add(timer, 1, label{"backup_job", j.Name}, label{"name", j.Timer})
		}
	}
	return t
}

// epoch is a moment in UNIX seconds, to the millisecond; 0 for the zero time.
func epoch(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
