// Package plan turns settings into runs: which jobs, which instances, which
// copies in which order, and where a backup is stored. It reads no clock, opens
// no file and runs no command; the caller hands in the moment, the host's name
// and a Shell. Generator, executor and b1000ctl read the same plan, so they
// cannot disagree. It may import config.
package plan

import (
	"context"
	"time"

	"b1000/internal/config"
)

// Shell runs the command of a dynamic option and returns its standard output.
// The caller sets limits and environment; the error carries the end of the
// command's standard error.
type Shell func(ctx context.Context, job, command string) (stdout string, err error)

// Env is what a plan is made in.
type Env struct {
	Host    string    // this host's name; one that cannot be part of a path is refused
	Now     time.Time // the one moment of the run
	Machine string    // tells this host from others of the same name (machine-id(5)); may be empty
	Shuffle func(n int, swap func(i, j int))
	// Known are values that an earlier part of the same run has found out, by
	// option (master_host, master_instance, data_age); their commands are not
	// run again. It may be nil.
	Known map[string]string
}

// Copy is one copy of a run.
type Copy struct {
	Dest       *config.Dest
	Background bool
	Exclude    []string // the job's, then the destination's
	Keep       config.Keep
	BWLimit    string // the destination's, else the job's
}

// Stream is one stream of a run; Options are those that are set or have a
// default, expanded.
type Stream struct {
	Name, Type string
	Options    map[string]string
	Section    *config.Section
}

// Run is one run of one job and instance with everything resolved, except globs
// in Include: what they match may be made by Pre.
type Run struct {
	Job, Instance              string
	Client                     string // pull: the one of the job's hosts that this run is for; "" where it has none
	Host                       string // names the backup; of a pull run the client, as far as it is known
	MasterHost, MasterInstance string
	DataAge                    int64 // seconds
	Direction, Type            string
	Start                      time.Time // local, to the second

	Pre, Post, OnFailure string // for sh -c; empty for none
	BeforeCommit         string // likewise
	Include, Exclude     []string
	ExcludeRegex         []string // each compiles
	RequireMount         []string
	ReadFIFO             []string
	Streams              []Stream
	BackupDir            string
	Copies               []Copy // in the order in which they are started
	Reports              []*config.Report

	Relative, OneFileSystem, HardLink, ReadAllFIFOs bool

	MinFiles                                       int64
	Preserve                                       config.Preserve
	Timeout, PreTimeout, PostTimeout, StallTimeout time.Duration // 0 for none
	CopyRetries                                    int
	CopyRetryMinSleep                              time.Duration
	MaxAge                                         time.Duration // 0 where not set; see MaxAge
	Nice                                           *int
	IONice, BWLimit                                string

	Fetch             [][]string // pull: Include, by what one rsync can fetch at a time
	ReportSource      string     // pull
	ReportJob         string     // pull: the client's job
	AnyReportJob      bool       // pull: where it has no report of that job, that of another one will do
	ReportPollWait    time.Duration
	ReportPollRetries int

	Settings *config.Job

	machine string
}
