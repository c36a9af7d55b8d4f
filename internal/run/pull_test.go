package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
)

// look is what the client answers at one look.
type look struct {
	id     string
	step   report.Step
	status report.Status
	copied report.CopyStatus
	err    error
}

// fakeClient answers looks in their order, the last one again and again.
type fakeClient struct {
	looks  []look
	seen   int
	said   []string
	refuse int // answers that cannot be delivered
}

func (c *fakeClient) Connect(string) string { return "" }

func (c *fakeClient) Look(context.Context) (Offer, error) {
	l := c.looks[min(c.seen, len(c.looks)-1)]
	c.seen++
	if l.err != nil {
		return Offer{}, l.err
	}
	// An hour ahead of this host: nothing compares the two clocks.
	start := time.Date(2026, 11, 22, 4, 0, 0, 0, time.Local)
	return Offer{ID: l.id, Copy: l.copied, Report: report.Run{
		Job: "ext", Host: "client7", Direction: "passive", Start: start, Step: l.step, Status: l.status, DataAge: 7,
	}}, nil
}

func (c *fakeClient) Answer(_ context.Context, o Offer, good bool) error {
	if c.refuse > 0 {
		c.refuse--
		return errors.New("refused")
	}
	c.said = append(c.said, fmt.Sprint(o.ID, " ", good))
	return nil
}

func newPull(t *testing.T, looks ...look) (*stage, *fakeClient, *Runner) {
	t.Helper()
	s := newStage(t)
	s.plan.Direction, s.plan.Include, s.plan.CopyRetries = pull, []string{"rsync://ext/backup"}, 1
	s.plan.Fetch = [][]string{{"rsync://ext/backup"}}
	s.plan.ReportPollRetries, s.plan.ReportPollWait = 4, time.Millisecond
	c := &fakeClient{looks: looks}
	r := s.runner()
	r.Client = func(*plan.Run) Client { return c }
	return s, c, r
}

var (
	ready    = look{id: "a", step: report.StepCopying, status: report.OK, copied: report.CopyCopying}
	early    = look{id: "a", step: report.StepPre, status: report.OK, copied: report.CopyInit}
	failed   = look{id: "a", step: report.StepPre, status: report.Failed, copied: report.CopyInit}
	given    = look{id: "a", step: report.StepCopying, status: report.Warning, copied: report.CopyFailed}
	answered = look{id: "a", step: report.StepCopying, status: report.OK, copied: report.CopyDone}
	next     = look{id: "b", step: report.StepCopying, status: report.OK, copied: report.CopyCopying}
	noOffer  = look{err: ErrNoOffer}
	offline  = look{err: errors.New("no route")}
)

func TestPull(t *testing.T) {
	for name, tt := range map[string]struct {
		looks  []look
		status report.Status
		why    string
		said   string
		made   int
		refuse int
		told   report.Step // as the database gets it
	}{
		"at once":                       {looks: []look{ready}, status: report.OK, said: "a true", made: 1, told: report.StepDone},
		"offline, then early":           {looks: []look{offline, noOffer, early, ready}, status: report.OK, said: "a true", made: 1, told: report.StepDone},
		"never there":                   {looks: []look{offline}, status: report.Failed, why: "not ready at any of 4 looks, 1ms apart: no route", told: report.StepInit},
		"never ready":                   {looks: []look{early}, status: report.Failed, why: "is at step PRE", told: report.StepPre},
		"fails while it is watched":     {looks: []look{early, failed}, status: report.Failed, why: "ext of client7 failed on the client at step PRE", said: "a false", told: report.StepPre},
		"failed before":                 {looks: []look{failed, noOffer, next}, status: report.OK, said: "a false b true", made: 1, told: report.StepDone},
		"failed before, and no more":    {looks: []look{failed, noOffer}, status: report.Failed, why: "failed on the client", said: "a false", told: report.StepPre},
		"failed before, and still so":   {looks: []look{failed}, status: report.Failed, why: "failed on the client", said: "a false", told: report.StepPre},
		"has given up":                  {looks: []look{early, given}, status: report.Failed, why: "it has not waited for this host", said: "a false", told: report.StepCopying},
		"fetched already":               {looks: []look{answered}, status: report.Failed, why: "is at step COPYING", told: report.StepCopying},
		"gives up meanwhile":            {looks: []look{ready, noOffer}, status: report.Failed, why: "has not waited for the end", said: "a false", told: report.StepCopying},
		"fails meanwhile":               {looks: []look{ready, failed}, status: report.Failed, why: "has not waited for the end", said: "a false", told: report.StepCopying},
		"begins anew meanwhile":         {looks: []look{ready, next}, status: report.Failed, why: "has not waited for the end", said: "a false", told: report.StepCopying},
		"cannot be told":                {looks: []look{ready}, status: report.Warning, made: 1, refuse: answerTries, told: report.StepDone},
		"can be told at the second try": {looks: []look{ready}, status: report.OK, said: "a true", made: 1, refuse: 1, told: report.StepDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c, r := newPull(t, tt.looks...)
			c.refuse = tt.refuse
			s.plan.Copies = s.plan.Copies[:1]
			out := r.Do(t.Context(), s.request(false))
			rep := out.Runs[0]
			if rep.Status != tt.status || !strings.Contains(rep.Error, tt.why) {
				t.Errorf("got %s, %s", rep.Status, rep.Error)
			}
			if said := strings.Join(c.said, " "); said != tt.said || s.made["hd"] != tt.made {
				t.Errorf("said %q, made %d", said, s.made["hd"])
			}
			if len(s.kept) > 0 {
				t.Errorf("kept: %+v", s.kept)
			}
			if s.final.Status != tt.status || s.final.Step != tt.told || s.last.Direction != pull || !s.last.Start.Equal(s.now) {
				t.Errorf("told %+v, remembered %+v", s.final, s.last)
			}
			if heard := tt.told != report.StepInit; heard && (s.final.Direction != "passive" || s.final.Start.Equal(s.now) || s.final.Host != "client7" || s.final.DataAge != 7) {
				t.Errorf("told %+v", s.final)
			}
		})
	}
}

// One copy of two fails: the client is told that, and what was copied stays.
func TestPullWithOneFailedCopy(t *testing.T) {
	s, c, r := newPull(t, ready)
	s.fails["atm"] = []error{errRefuse}
	rep := r.Do(t.Context(), s.request(false)).Runs[0]
	if rep.Status != report.Failed || strings.Join(c.said, " ") != "a false" || s.made["hd"] != 1 || s.made["atm"] != 0 {
		t.Errorf("got %+v, said %q, made %v", rep, c.said, s.made)
	}
}

// A run that is ended while it waits for its turn tells its client.
func TestPullEndedBeforeItsTurn(t *testing.T) {
	s, c, r := newPull(t, ready)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	r.Turn = func(ctx context.Context) (func(), error) {
		cancel(ErrInterrupted)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	out := r.Do(ctx, s.request(false))
	if rep := out.Runs[0]; rep.Status != report.Failed || strings.Join(c.said, " ") != "a false" || len(s.made) > 0 || rep.Copies[0].Status != report.CopyFailed {
		t.Errorf("got %+v, said %q", rep, c.said)
	}
}
