package state

import (
	"reflect"
	"testing"
	"time"

	"b1000/internal/report"
)

func TestLastKeepsGoodCopiesAcrossFailures(t *testing.T) {
	d := open(t)
	good := run("good", "etc", "", day)
	good.Step, good.Status, good.End = report.StepDone, report.OK, day.Add(time.Minute)
	good.Copies = []report.Copy{
		{Destination: "hd", Status: report.CopyDone, End: good.End, Files: 3, Bytes: 4, Location: "/srv/etc/x"},
		{Destination: "atm", Status: report.CopyDone, End: good.End},
	}
	must(t, d.SaveLast(&good))
	half := run("half", "etc", "", day.Add(time.Hour))
	half.Status, half.End = report.Failed, half.Start.Add(time.Minute)
	half.Copies = []report.Copy{{Destination: "hd", Status: report.CopyFailed}, {Destination: "atm", Status: report.CopyDone, End: half.End}}
	must(t, d.SaveLast(&half))
	none := run("none", "etc", "", day.Add(2*time.Hour))
	none.Step, none.Status, none.End, none.Copies = report.StepPre, report.Failed, none.Start, nil
	must(t, d.SaveLast(&none))
	got, ok, err := d.Last("etc", "")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := Last{Run: none, GoodEnd: good.End, Good: map[string]Good{
		"hd":  {ID: "good", Start: good.Start, End: good.End, Files: 3, Bytes: 4, Location: "/srv/etc/x"},
		"atm": {ID: "half", Start: half.Start, End: half.End},
	}}
	if !same(t, got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestGoodEnd(t *testing.T) {
	for _, tc := range []struct {
		name   string
		step   report.Step
		status report.Status
		over   bool
		copy   report.CopyStatus
		good   bool
	}{
		{"ok", report.StepDone, report.OK, true, report.CopyDone, true},
		{"complete with warnings", report.StepDone, report.Warning, true, report.CopyDone, true},
		{"not over", report.StepDone, report.OK, false, report.CopyDone, false},
		{"to be retried", report.StepCopying, report.Warning, true, report.CopyWarning, false},
		{"post still to come", report.StepCopying, report.Warning, true, report.CopyDone, false},
		{"failed after copying", report.StepDone, report.Failed, true, report.CopyDone, false},
		{"ok but a copy is not", report.StepDone, report.OK, true, report.CopyFailed, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t)
			r := run("x", "etc", "", day)
			r.Step, r.Status, r.Copies[0].Status = tc.step, tc.status, tc.copy
			if tc.over {
				r.End = day.Add(time.Minute)
			}
			must(t, d.SaveLast(&r))
			got, _, err := d.Last("etc", "")
			if err != nil || got.GoodEnd.IsZero() == tc.good {
				t.Errorf("good end = %v, %v, want one: %v", got.GoodEnd, err, tc.good)
			}
		})
	}
}

func TestLasts(t *testing.T) {
	d := open(t)
	if _, ok, err := d.Last("never", ""); ok || err != nil {
		t.Errorf("never run: %v, %v", ok, err)
	}
	for _, name := range [][2]string{{"b", ""}, {"a-b", "c"}, {"a", "b-c"}, {"a", ""}} {
		r := run("x", name[0], name[1], day)
		must(t, d.SaveLast(&r))
	}
	must(t, d.DropLast("b", ""), d.DropLast("b", ""))
	lasts, err := d.Lasts()
	must(t, err)
	var names []string
	for _, l := range lasts {
		names = append(names, l.Run.Name())
	}
	if want := []string{"a-b:c", "a", "a:b-c"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names = %v, want %v", names, want)
	}
}
