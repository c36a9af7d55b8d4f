// Package host puts together what a program works with on this host: its
// configuration, what it remembers, its stores, reports and log. The programs
// of this module differ in what they do with it.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"b1000/internal/config"
	"b1000/internal/database"
	"b1000/internal/delivery"
	"b1000/internal/mtls"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/state"
	"b1000/internal/store"
)

// Version is the version of all programs; the build may set it.
var Version = "0.1.0"

// Host is this host as its configuration describes it.
type Host struct {
	Config *config.Config
	Name   string // host name
	State  *state.Dir
}

// ErrConfig is returned by Load for a configuration that cannot be used.
var ErrConfig = errors.New("the configuration is not usable")

// Load reads the configuration and prints each of its faults to faults. A fault
// in one job leaves the others usable; one in [global] or in a whole file is
// ErrConfig.
func Load(path string, faults io.Writer) (*Host, error) {
	cfg, problems, err := config.Load(path)
	for _, p := range problems {
		fmt.Fprintln(faults, p)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; name another with -f, or write one", err)
	}
	if len(cfg.Fatal()) > 0 {
		return nil, ErrConfig
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	return &Host{Config: cfg, Name: name}, nil
}

// OpenState opens what this host remembers.
func (h *Host) OpenState() error {
	var err error
	h.State, err = state.Open(h.Config.Global.StatusDir)
	return err
}

// Store is the place behind a destination.
func (h *Host) Store(d *config.Dest) (store.Store, error) {
	if d.Type != "active" && d.Type != "restic" {
		return nil, fmt.Errorf("destination %q: type %s is not supported by this version", d.Name, d.Type)
	}
	return store.Open(store.Settings{
		Name: d.Name, Path: d.Path, PasswordFile: os.ExpandEnv(d.PasswordFile), Password: d.Password, Compress: d.Compress,
		Helper: beside("b1000d"), BWLimit: d.BWLimit, Split: d.Split, Extra: d.RsyncOptions, Host: h.Name, SpoolDir: h.Config.Global.StatusDir,
		KnownDir: filepath.Join(h.Config.Global.StatusDir, "known"),
		TLS:      mtls.Files{Cert: os.ExpandEnv(d.TLSCert), Key: os.ExpandEnv(d.TLSKey), CA: os.ExpandEnv(d.TLSCA)}, Repository: d.Repository, EnvironmentFile: os.ExpandEnv(d.EnvironmentFile),
	})
}

// Env is what a run that starts now is planned in.
func (h *Host) Env(start time.Time) plan.Env {
	machine, _ := os.ReadFile("/etc/machine-id") // a host without one is told from others by its name alone
	return plan.Env{Host: h.Name, Now: start, Machine: strings.TrimSpace(string(machine)), Shuffle: rand.Shuffle}
}

// scriptLimit is how long the command of a dynamic option may take.
const scriptLimit = time.Minute

// Shell runs the commands of dynamic options.
func (h *Host) Shell() plan.Shell { return run.Shell(scriptLimit) }

// Request is a job and instance that is to run.
func (h *Host) Request(j *config.Job, instance string, copyOnly bool) run.Request {
	return run.Request{
		Job: j.Name, Instance: instance, CopyOnly: copyOnly,
		Plan: func(ctx context.Context, start time.Time, kept *report.Run) (*plan.Run, error) {
			if len(j.Problems) > 0 {
				return nil, j.Problems[0]
			}
			p, err := plan.New(ctx, j, instance, h.known(start, kept), h.Shell())
			if err != nil {
				return nil, err
			}
			return p, supported(p)
		},
		Bare: func(start time.Time) *plan.Run {
			return h.bare(j, instance, start)
		},
	}
}

// bare is a run that cannot be planned. Of a job without faults it has the
// script to tell of that, if that needs nothing which could not be found out.
func (h *Host) bare(j *config.Job, instance string, start time.Time) *plan.Run {
	r := &plan.Run{
		Job: j.Name, Instance: instance, Host: h.Name, Direction: j.Direction, Type: j.Type, Start: start,
		BackupDir: j.BackupDir, Reports: usable(j.Reports), Settings: j,
	}
	if len(j.Hosts) > 0 && instance != "" {
		r.Client, r.Instance, _ = strings.Cut(instance, ":")
		r.Host = r.Client
	}
	known := map[string]string{"name": j.Name, "host": h.Name, "instance": r.Instance, "start_time": r.StartTime()}
	if r.Client != "" {
		known["client"] = r.Client
	}
	if text, err := j.Expand("on_failure", known); err == nil && len(j.Problems) == 0 {
		r.OnFailure = text
	}
	return r
}

// supported refuses what this version would leave out of a backup.
func supported(p *plan.Run) error {
	for _, s := range p.Streams {
		if s.Type != "command" && !database.IsType(s.Type) {
			return fmt.Errorf("job %q: stream %q: type %s is not supported by this version; nothing is backed up", p.Job, s.Name, s.Type)
		}
	}
	return nil
}

// known is the environment of a run; of one that was kept the masters and the
// data age are known.
func (h *Host) known(start time.Time, kept *report.Run) plan.Env {
	env := h.Env(start)
	if kept == nil {
		return env
	}
	env.Known = map[string]string{"data_age": fmt.Sprint(kept.DataAge)}
	if kept.MasterHost != "" {
		env.Known["master_host"] = kept.MasterHost
	}
	if kept.MasterInstance != "" {
		env.Known["master_instance"] = kept.MasterInstance
	}
	return env
}

// usable are the reports without faults.
func usable(all []*config.Report) (list []*config.Report) {
	for _, r := range all {
		if len(r.Problems) == 0 {
			list = append(list, r)
		}
	}
	return list
}

// Runner makes runs on this host, with its log and metrics.
func (h *Host) Runner(log *slog.Logger) *run.Runner {
	r := &run.Runner{
		Memory:  memory{h.State},
		Open:    func(c plan.Copy) (store.Store, error) { return h.Store(c.Dest) },
		Reports: func(p *plan.Run) run.Reporter { return delivery.New(p.Reports, h.State, log) },
		Answers: func(p *plan.Run) run.Answers { return newAnswers(p) },
		Client:  func(p *plan.Run) run.Client { return h.newClient(p) },
		Streams: h.streams,
		Log:     log, Now: time.Now, Program: "b1000 " + Version,
	}
	h.measure(r)
	return r
}
