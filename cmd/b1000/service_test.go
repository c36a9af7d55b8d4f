package main

import (
	"testing"

	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/store"
	"b1000/internal/systemd"
)

func TestEveryEventHasAnID(t *testing.T) {
	if run.EventKey != systemd.MessageKey {
		t.Errorf("%s and %s", run.EventKey, systemd.MessageKey)
	}
	seen := map[string]run.Event{}
	for _, e := range run.Events() {
		id := systemd.MessageID(string(e))
		if len(id) != 32 || seen[id] != "" {
			t.Errorf("%s: %q, as %s", e, id, seen[id])
		}
		seen[id] = e
	}
}

func TestTheBoard(t *testing.T) {
	b, hide := openBoard(t.Context(), "", nil)
	defer hide()
	at := func(name, instance string, step report.Step, copies ...report.CopyStatus) report.Run {
		r := report.Run{Job: name, Instance: instance, Step: step, Status: report.OK}
		for i, s := range copies {
			r.Copies = append(r.Copies, report.Copy{Destination: []string{"hd", "atm"}[i], Status: s})
		}
		b.update(r)
		return r
	}
	want := func(text string) {
		t.Helper()
		if got := b.text(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	at("etc", "", report.StepInit, report.CopyInit, report.CopyInit)
	want("preparing")
	at("etc", "", report.StepPre, report.CopyInit, report.CopyInit)
	want("running pre")
	at("etc", "", report.StepCopying, report.CopyInit, report.CopyInit)
	want("copying")
	at("etc", "", report.StepCopying, report.CopyCopying, report.CopyInit)
	tell, end := b.progress(func(string, string) (func(store.Progress), func(error)) {
		return func(store.Progress) {}, func(error) {}
	})("etc", "hd")
	tell(store.Progress{Done: 1288490188, Total: 3113851290, Percent: 42})
	want("copying to hd: 42 %, 1.2 GiB of 2.9 GiB")
	end(nil)
	at("etc", "", report.StepCopying, report.CopyWarning, report.CopyCopying)
	want("waiting to try hd again, copying to atm")
	at("db", "a", report.StepCopying, report.CopyDone, report.CopyFailed)
	want("db:a: running post; etc: waiting to try hd again, copying to atm")
	etc := at("etc", "", report.StepDone)
	b.end(etc)
	want("running post")
	db := at("db", "a", report.StepPost)
	want("finishing")
	db.Status, db.Error = report.Failed, "oh dear"
	b.end(db)
	want("1 OK, 1 FAILED")
	b.ended = b.ended[1:]
	want("ended FAILED: oh dear")
}
