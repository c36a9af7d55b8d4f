// Package report holds what is told of a backup: plain types that every other
// package may use, and their text. It imports no package of this module, does
// no I/O and decides nothing: the result of a run is computed once, by
// internal/run, and only carried from here on.
package report

import "time"

// Step is how far a run has come. The words are the original's (column
// jobs.step and key "step" of a report file).
type Step string

// The steps of a run, in their order.
const (
	StepInit    Step = "INIT"
	StepPre     Step = "PRE"
	StepCopying Step = "COPYING"
	StepPost    Step = "POST"
	StepDone    Step = "DONE"
)

// Status is how a run stands (column jobs.status).
type Status string

// A WARNING run is complete, or will be retried; a FAILED one is over and not good.
const (
	OK      Status = "OK"
	Warning Status = "WARNING"
	Failed  Status = "FAILED"
)

// CopyStatus is how one copy of a run stands (column copies.status).
type CopyStatus string

// The states of a copy. CopyWarning means failed and to be retried; CopyFailed
// means failed for good; CopyDone means committed at the destination.
const (
	CopyInit    CopyStatus = "INIT"
	CopyCopying CopyStatus = "COPYING"
	CopyDone    CopyStatus = "DONE"
	CopyWarning CopyStatus = "WARNING"
	CopyFailed  CopyStatus = "FAILED"
)

// Run is one run of one job and instance, from its start until now.
type Run struct {
	ID             string    `json:"id"`
	Job            string    `json:"job"`
	Instance       string    `json:"instance,omitempty"`
	Client         string    `json:"client,omitempty"` // pull: which of the job's hosts
	Host           string    `json:"host"`
	MasterHost     string    `json:"master_host,omitempty"`
	MasterInstance string    `json:"master_instance,omitempty"`
	Direction      string    `json:"direction"` // push, passive, pull
	Type           string    `json:"type,omitempty"`
	Start          time.Time `json:"start"` // to the second
	End            time.Time `json:"end,omitzero"`
	Step           Step      `json:"step"`
	Status         Status    `json:"status"`
	DataAge        int64     `json:"data_age"`        // seconds
	Error          string    `json:"error,omitempty"` // why the run is FAILED, one or several lines
	Warnings       []string  `json:"warnings,omitempty"`
	Scripts        []Script  `json:"scripts,omitempty"`
	Copies         []Copy    `json:"copies"`
}

// ScriptState says what became of a pre, post or on_failure script.
type ScriptState string

// A script that was not run says why in Script.Reason.
const (
	ScriptOK      ScriptState = "ok"
	ScriptFailed  ScriptState = "failed"
	ScriptSkipped ScriptState = "skipped"
)

// Script is one of the scripts around the copies.
type Script struct {
	Name   string      `json:"name"` // pre, post, on_failure
	State  ScriptState `json:"state"`
	Reason string      `json:"reason,omitempty"`
	Start  time.Time   `json:"start,omitzero"`
	End    time.Time   `json:"end,omitzero"`
}

// Copy is one run's copy to one destination.
type Copy struct {
	Destination string     `json:"destination"`
	Type        string     `json:"type"` // active, passive, restic
	Path        string     `json:"path"` // the destination's path as configured
	Location    string     `json:"location,omitempty"`
	Status      CopyStatus `json:"status"`
	Start       time.Time  `json:"start,omitzero"`
	End         time.Time  `json:"end,omitzero"`
	Attempts    int        `json:"attempts,omitempty"`
	Files       int64      `json:"files,omitempty"` // entries that are not directories
	Bytes       int64      `json:"bytes,omitempty"` // sum of the sizes of the regular files
	BytesSent   int64      `json:"bytes_sent,omitempty"`
	Error       string     `json:"error,omitempty"`
	Warnings    []string   `json:"warnings,omitempty"`
}

// Good reports whether the copy is committed at its destination.
func (c *Copy) Good() bool { return c.Status == CopyDone }

// Over reports whether the run has ended, well or not.
func (r *Run) Over() bool { return !r.End.IsZero() }

// Name is the run's job, or job:part where the job has several.
func (r *Run) Name() string { return JobName(r.Job, r.Part()) }

// Part is which of its job's runs this is; "" where the job has but one.
func (r *Run) Part() string { return PartName(r.Client, r.Instance) }

// PartName names one of a job's runs: by its instance, its client, or both as
// client:instance.
func PartName(client, instance string) string {
	if client == "" {
		return instance
	}
	return JobName(client, instance)
}

// JobName is "job", or "job:instance" where instance is not empty.
func JobName(job, instance string) string {
	if instance == "" {
		return job
	}
	return job + ":" + instance
}
