package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"b1000/internal/report"
)

// Offer is what a client says of a run that waits to be fetched.
type Offer struct {
	ID     string            // tells this run's offer from another's
	Report report.Run        // as the client tells it
	Copy   report.CopyStatus // how it stands with this host
}

// Client is the host that a pull run fetches from.
type Client interface {
	// Look returns the newest offer that has no answer. Where the client can be
	// asked and has none the error wraps ErrNoOffer.
	Look(context.Context) (Offer, error)
	// Answer tells the client how it went; after that the offer is none.
	Answer(ctx context.Context, o Offer, good bool) error
	// Connect is how the rsync daemon at a location is reached (see store.Fetch).
	Connect(location string) string
}

// ErrNoOffer is what Client.Look returns where nothing waits for this host.
var ErrNoOffer = errors.New("the client offers nothing")

// errGivenUp ends a copy that the client does not wait for any more: what has
// been fetched may be half of what was there.
var errGivenUp = errors.New("the client has not waited for the end; what was fetched may be incomplete and is no backup")

// Times that are not configured.
const (
	answerTries = 3
	answerPause = time.Second
)

// pull makes a pull run: it waits until the client has prepared its data,
// fetches, and tells the client.
func (t *task) pull(ctx context.Context) error {
	t.client = t.Client(t.plan)
	offer, err := t.ready(ctx)
	if err != nil {
		return err
	}
	err = t.fetch(ctx)
	if told := t.tellClient(ctx, offer, err == nil); told != nil {
		told = fmt.Errorf("the client could not be told how it went: %w", told)
		if err != nil {
			return errors.Join(err, told)
		}
		// The backup is good, but the client will fail.
		t.live.change(func(r *report.Run) { r.Warnings = append(r.Warnings, told.Error()) })
	}
	if err != nil {
		return err
	}
	return t.end(ctx, nil)
}

// ready looks until the client is ready to be fetched from.
//
// A client that has failed may have done so long before this run, and its next
// run may be about to begin: what is found at the first look is told, and the
// looking goes on. A run of the client that is seen to fail ends it.
func (t *task) ready(ctx context.Context) (Offer, error) {
	var last, failed error
	old := "" // the offer that had failed before
	for n := range max(1, t.plan.ReportPollRetries) {
		if n > 0 && !sleep(ctx, t.plan.ReportPollWait) {
			break
		}
		offer, err := t.client.Look(ctx)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			t.relay(offer)
			var isReady bool
			if isReady, err = offer.state(); isReady {
				return offer, nil
			}
		}
		if errors.Is(err, errClientFailed) {
			if n > 0 && offer.ID != old {
				return Offer{}, errors.Join(err, t.tellClient(ctx, offer, false))
			}
			if failed == nil {
				failed, old = err, offer.ID
				if told := t.tellClient(ctx, offer, false); told != nil {
					t.log.Warn("the client could not be told", "error", told)
				}
			}
		}
		if last == nil || last.Error() != err.Error() {
			t.log.Info("waiting for the client: " + err.Error())
		}
		last = err
	}
	switch {
	case ctx.Err() != nil:
		return Offer{}, errors.Join(context.Cause(ctx), failed, last)
	case failed != nil:
		return Offer{}, failed
	}
	return Offer{}, fmt.Errorf("the client was not ready at any of %d looks, %v apart: %w", max(1, t.plan.ReportPollRetries), t.plan.ReportPollWait, last)
}

// errClientFailed is a failure of the client, not of this host.
var errClientFailed = errors.New("failed on the client")

// state reports whether the client waits to be fetched from, and why not.
func (o Offer) state() (ready bool, why error) {
	r := o.Report
	switch {
	case r.Status == report.Failed:
		return false, fmt.Errorf("%s of %s %w at step %s", r.Name(), r.Host, errClientFailed, r.Step)
	case o.Copy == report.CopyFailed:
		return false, fmt.Errorf("%s of %s %w: it has not waited for this host", r.Name(), r.Host, errClientFailed)
	case r.Step == report.StepCopying && o.Copy != report.CopyDone:
		return true, nil
	}
	return false, fmt.Errorf("%s of %s is at step %s", r.Name(), r.Host, r.Step)
}

// fetch copies to every destination when it is this run's turn.
func (t *task) fetch(ctx context.Context) error {
	if t.Turn != nil {
		done, err := t.Turn(ctx)
		if err != nil {
			return t.failAll(err)
		}
		defer done()
	}
	t.logStep(report.StepCopying)
	t.live.change(func(rep *report.Run) { rep.Step = report.StepCopying })
	return t.copies(ctx)
}

// tellClient answers the client. What ends the run does not keep it from that.
func (t *task) tellClient(ctx context.Context, o Offer, good bool) (err error) {
	ctx = context.WithoutCancel(ctx)
	for n := range answerTries {
		if n > 0 {
			time.Sleep(answerPause)
		}
		if err = t.client.Answer(ctx, o, good); err == nil {
			return nil
		}
	}
	return err
}

// stillOffered finds out, before a copy is committed, whether the client has
// waited for it: one that has given up may have removed what it had prepared.
func (t *task) stillOffered(ctx context.Context) (err error) {
	if t.client == nil {
		return nil
	}
	for n := range answerTries {
		if n > 0 && !sleep(ctx, answerPause) {
			return context.Cause(ctx)
		}
		var now Offer
		now, err = t.client.Look(ctx)
		if err == nil {
			if ready, _ := now.state(); ready && now.ID == t.offer.ID {
				return nil
			}
			return errGivenUp
		}
		if errors.Is(err, ErrNoOffer) {
			return errGivenUp
		}
	}
	return fmt.Errorf("whether the client still waits cannot be found out: %w", err)
}

// relay takes over what the client says. The backup is stored under the host
// name that the job's hosts have for the client: no client can speak for
// another, whatever it calls itself. Only where the job names none it is the
// client that tells.
func (t *task) relay(o Offer) {
	before := t.live.now().ID
	t.live.change(func(r *report.Run) {
		t.offer = &o
		if t.plan.Client == "" {
			t.plan.Host = o.Report.Host
		}
		r.Host, r.ID, r.DataAge = t.plan.Host, t.plan.ID(), o.Report.DataAge
	})
	now := t.live.now()
	if now.ID == before {
		return
	}
	t.base = t.Log.With("thread", now.Name(), "job", now.Job, "instance", now.Part(), "run", now.ID)
	t.logStep(now.Step)
	t.log.Info(fmt.Sprintf("the client is %s, backup %s", now.Host, now.ID))
}

// tell tells the reports of a state.
func (t *task) tell(r report.Run) {
	if told, ok := t.told(r); ok {
		t.out.Update(told)
	}
}

// told is what the reports are told of a state: of a pull run what its client
// says, with this host's copies and, if it is worse, this host's status. Of a
// client that has not been heard of there is nothing to tell but the end.
func (t *task) told(r report.Run) (report.Run, bool) {
	if t.plan.Direction != pull {
		return r, true
	}
	if t.offer == nil {
		return r, r.Over()
	}
	c := t.offer.Report
	r.Job, r.Instance, r.Client, r.Direction = c.Job, c.Instance, "", c.Direction
	r.MasterHost, r.MasterInstance, r.DataAge, r.Start = c.MasterHost, c.MasterInstance, c.DataAge, c.Start
	if r.Step != report.StepDone {
		r.Step = c.Step
	}
	if r.Status == report.OK || r.Status == report.Warning && c.Status == report.Failed {
		r.Status = c.Status
	}
	return r, true
}
