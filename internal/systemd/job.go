package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Job is a start or a stop of a unit that the service manager is busy with.
type Job struct {
	Unit   string
	Joined bool // the unit was being started already, by somebody else

	stop    bool
	before  string     // invocation of the unit before
	held    *dbus.Conn // that keeps the unit loaded; nil for none
	manager *Manager
	path    dbus.ObjectPath
	result  <-chan string
}

// Result is how a service stands when nothing is going on with it any more.
type Result struct {
	Unit   string
	Word   string // Result= of the service: success, exit-code, signal, timeout … (systemd.exec(5), $SERVICE_RESULT)
	Status int    // exit status; -1 where a signal ended it or it never ran
}

// Start has a unit started. Where it is being started already, that is joined,
// as systemctl start does. Where it is being stopped, or the host goes down, it
// is an error: nobody's stop is undone.
func (m *Manager) Start(ctx context.Context, unit string) (*Job, error) {
	before, err := m.properties(ctx, unit, unitIface)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", unit, err)
	}
	switch load := value[string](before, "LoadState"); load {
	case "loaded":
	case "not-found":
		return nil, fmt.Errorf("%s: there is no such unit; install %s.service", unit, unitPrefix)
	default:
		return nil, fmt.Errorf("%s: the unit is %s; systemctl status %s tells more", unit, load, unit)
	}
	j, err := m.begin(ctx, "StartUnit", unit, "fail")
	if err != nil {
		return nil, err
	}
	j.before = invocation(before)
	j.Joined = value[string](before, "ActiveState") == "activating"
	return j, nil
}

// Stop has a unit stopped.
func (m *Manager) Stop(ctx context.Context, unit string) (*Job, error) {
	j, err := m.begin(ctx, "StopUnit", unit, "replace")
	if j != nil {
		j.stop = true
	}
	return j, err
}

func (m *Manager) begin(ctx context.Context, method, unit, mode string) (*Job, error) {
	result := make(chan string, 1)
	var path dbus.ObjectPath
	conn, err := m.connection(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", unit, err)
	}
	// Held as long as this connection lasts, or it would be forgotten with its
	// result as soon as it has ended. Without a bus that is not possible.
	var held *dbus.Conn
	if m.call(ctx, "RefUnit", nil, unit) == nil {
		held = conn
	}
	m.mu.Lock() // so that its end is not heard of before it is waited for
	defer m.mu.Unlock()
	// Whoever gives up now would not know whether it has begun.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	err = conn.Object(busName, busPath).CallWithContext(ctx, managerIface+"."+method, 0, unit, mode).Store(&path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", unit, err)
	}
	m.waiting[path] = result
	return &Job{Unit: unit, manager: m, path: path, result: result, held: held}, nil
}

// How often a job is looked at: whether its end has been missed, and whether
// what goes on after it is over.
const (
	missedEvery = 5 * time.Second
	settleEvery = 100 * time.Millisecond
)

// Wait waits for the end of the job and of all that goes on with its unit. The
// result of a run that ended, well or not, comes without an error. An error is
// the cause of ctx, or says why the unit has not run.
func (j *Job) Wait(ctx context.Context) (Result, error) {
	word, err := j.removed(ctx)
	if err != nil {
		return Result{Unit: j.Unit, Status: -1}, err
	}
	unit, err := j.settled(ctx)
	if err != nil {
		return Result{Unit: j.Unit, Status: -1}, err
	}
	res, err := j.manager.result(ctx, j.Unit)
	now := invocation(unit)
	switch {
	case err != nil:
		return res, fmt.Errorf("%s: %w", j.Unit, err)
	case j.stop:
		return res, nil
	case now == "" && !j.isHeld() && (word == "" || word == "done" || word == "canceled"):
		return res, fmt.Errorf("%s: %w", j.Unit, ErrMissed)
	case j.Joined || now != j.before:
		return res, nil
	case word == "done":
		return res, fmt.Errorf("%s: was not run: a condition of the unit is not met; systemctl status %s tells which", j.Unit, j.Unit)
	}
	return res, fmt.Errorf("%s: was not run: %s; systemctl status %s tells more", j.Unit, word, j.Unit)
}

// ErrMissed says that a unit may have run, and that systemd does not know any
// more how it ended: it forgets units that have ended well and that nobody
// holds, and without a bus, or while the bus starts again, nobody can hold one.
var ErrMissed = errors.New("how it ended is not known to systemd any more")

// isHeld reports whether the unit cannot have been forgotten.
func (j *Job) isHeld() bool {
	j.manager.mu.Lock()
	defer j.manager.mu.Unlock()
	return j.held != nil && j.held == j.manager.conn && j.held.Connected()
}

// invocation tells one run of a unit from another; "" where there has been none
// since the unit was loaded.
func invocation(unit map[string]dbus.Variant) string {
	return string(bytes.Trim(value[[]byte](unit, "InvocationID"), "\x00"))
}

// removed waits until the service manager is through with the job. The word for
// its end is "" where that was missed, while the connection was broken.
func (j *Job) removed(ctx context.Context) (string, error) {
	look := time.NewTicker(missedEvery)
	defer look.Stop()
	for {
		select {
		case word := <-j.result:
			return word, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-look.C:
		}
		p, err := j.manager.properties(ctx, j.Unit, unitIface)
		if err != nil {
			continue // the bus or the service manager starts again
		}
		if now, ok := p["Job"].Value().([]any); ok && len(now) == 2 && now[1] != j.path {
			select { // it may just have been heard of
			case word := <-j.result:
				return word, nil
			default:
				return "", nil
			}
		}
	}
}

// settled waits until the unit is neither starting nor stopping: a start that
// somebody stops is over before its end.
func (j *Job) settled(ctx context.Context) (map[string]dbus.Variant, error) {
	for {
		p, err := j.manager.properties(ctx, j.Unit, unitIface)
		if state := value[string](p, "ActiveState"); err == nil && state != "activating" && state != "deactivating" {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(settleEvery):
		}
	}
}

// result reads how a service has ended.
func (m *Manager) result(ctx context.Context, unit string) (Result, error) {
	const exited = 1 // CLD_EXITED
	p, err := m.properties(ctx, unit, serviceIface)
	r := Result{Unit: unit, Word: value[string](p, "Result"), Status: -1}
	if value[int32](p, "ExecMainCode") == exited {
		r.Status = int(value[int32](p, "ExecMainStatus"))
	}
	return r, err
}

// String says how the service ended: "b1000@etc.service: exit status 1".
func (r Result) String() string {
	if r.Status > 0 {
		return fmt.Sprintf("%s: exit status %d", r.Unit, r.Status)
	}
	return r.Unit + ": " + r.Word
}
