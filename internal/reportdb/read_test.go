package reportdb

import (
	"database/sql"
	"reflect"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
)

func testRoundTrip(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	want := doneRun()
	write(t, db, &want, &want)
	got := one(t, db)
	if !got.Start.Equal(want.Start) || !got.End.Equal(want.End) {
		t.Errorf("start, end = %v, %v, want %v, %v", got.Start, got.End, want.Start, want.End)
	}
	got.Start, got.End = want.Start, want.End
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func testFilter(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	base := time.Date(2014, 8, 20, 0, 0, 0, 0, time.Local)
	for i, name := range []string{"a web1 etc", "b web1 db:1", "c web2 db:2", "d web2 etc"} {
		f := strings.Fields(name)
		job, instance, _ := strings.Cut(f[2], ":")
		write(t, db, &report.Run{ID: f[0], Host: f[1], Job: job, Instance: instance, Direction: "push",
			Start: base.Add(time.Duration(i) * time.Hour), Step: report.StepInit, Status: report.OK,
			Copies: []report.Copy{{Destination: f[0], Type: "active", Path: "/", Status: report.CopyInit}}})
	}
	for _, tc := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all", Filter{}, "dcba"},
		{"job", Filter{Job: "db"}, "cb"},
		{"instance", Filter{Job: "db", Instance: "1"}, "b"},
		{"host", Filter{Host: "web2"}, "dc"},
		{"since", Filter{Since: base.Add(2 * time.Hour)}, "dc"},
		{"limit", Filter{Limit: 3}, "dcb"},
		{"since and limit", Filter{Since: base.Add(time.Hour), Limit: 1}, "d"},
		{"nothing", Filter{Job: "none"}, ""},
	} {
		got := ""
		for _, r := range runs(t, db, tc.filter) {
			got += r.ID
			if len(r.Copies) != 1 || r.Copies[0].Destination != r.ID {
				t.Errorf("%s: copies of %s = %+v", tc.name, r.ID, r.Copies)
			}
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func testZones(t *testing.T, s Settings, _ *sql.DB) {
	warsaw := inZone(t, "Europe/Warsaw")
	york, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, s)
	r := doneRun()
	here, there := r, r
	here.ID, here.Start = "here", time.Date(2014, 8, 20, 15, 0, 0, 0, warsaw)
	there.ID, there.Host, there.Start = "there", "ny1", time.Date(2014, 8, 20, 15, 0, 0, 0, york)
	here.End, there.End = here.Start.Add(time.Hour), there.Start.Add(time.Hour).UTC()
	write(t, db, &here, &there)
	got := runs(t, db, Filter{Since: here.Start.Add(time.Hour)})
	if len(got) != 1 || got[0].ID != "there" || !got[0].Start.Equal(there.Start) || !got[0].End.Equal(there.End) {
		t.Errorf("since: got %+v, want only %+v", got, there)
	}
	if got := runs(t, db, Filter{}); len(got) != 2 || got[0].ID != "there" || !got[1].Start.Equal(here.Start) {
		t.Errorf("all: got %+v, want there, here", got)
	}
}
