// Package generator turns a configuration into units: a timer for each job that
// has a schedule, a socket for each passive one that listens, and for each job
// and known instance the drop-in that its service needs. It runs no command,
// opens no network and reads no file; the services themselves are instances of
// b1000@.service and b1000-passive@.service, which the package ships. It may
// import config, plan and unit.
package generator

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/unit"
)

// ConfigService is the unit that fails at boot with what is wrong with the
// configuration as a whole.
const ConfigService = "b1000-config.service"

const dropIn = "50-b1000.conf"

// Service is the unit that runs a job, or one instance of it; instance may be
// empty.
func Service(job, instance string) string { return serviceName(job, instance) + ".service" }

// Timer is the unit that starts a job.
func Timer(job string) string { return "b1000@" + job + ".timer" }

func serviceName(job, instance string) string {
	if instance != "" {
		job += ":" + instance
	}
	return "b1000@" + job
}

// Units are the units of a configuration, those of its good jobs also where
// others are at fault. A job with Problems is started once at boot, beside its
// schedule, so that its service fails with the message. Where the configuration
// as a whole is at fault the timers stay, so that jobs run again as soon as that
// is repaired, and [ConfigService] tells.
//
// The configuration was read below the directory root, which is left out of the
// paths in the units; "" or "/" where that is the host's own.
func Units(cfg *config.Config, root string) *unit.Tree {
	t := &unit.Tree{}
	var faults []string
	fault := func(p config.Problem) {
		p.File = below(root, p.File)
		faults = append(faults, p.String())
	}
	for _, p := range cfg.Fatal() {
		fault(p)
	}
	var wants wanted
	for _, part := range ofJobs(cfg.Jobs(), root) {
		t.Add(&part.tree)
		wants.timers = append(wants.timers, part.wants.timers...)
		wants.sockets = append(wants.sockets, part.wants.sockets...)
		for _, p := range part.faults {
			fault(p)
		}
	}
	wants.add(t)
	if len(faults) > 0 {
		addFailure(t, below(root, cfg.Path), faults)
	}
	return t
}

// part are the units of some jobs, and why others have none.
type part struct {
	tree   unit.Tree
	wants  wanted
	guess  guess
	file   unit.File // the one that is being written
	timers map[schedules]timer
	faults []config.Problem
}

// ofJobs makes the units of jobs, on all processors where they are many: systemd
// waits.
func ofJobs(jobs []*config.Job, root string) []part {
	const few = 100
	parts := make([]part, 1)
	if len(jobs) > few {
		parts = make([]part, runtime.GOMAXPROCS(0))
	}
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			p := &parts[i]
			for _, job := range jobs[i*len(jobs)/len(parts) : (i+1)*len(jobs)/len(parts)] {
				if err := p.addJob(job, below(root, job.File)); err != nil {
					p.faults = append(p.faults, config.Problem{File: job.File, Line: job.Line, Section: "job:" + job.Name, Message: err.Error()})
				}
			}
		})
	}
	wg.Wait()
	return parts
}

// below is a path as it is called within root.
func below(root, path string) string {
	if rest, ok := strings.CutPrefix(path, strings.TrimRight(root, "/")+"/"); ok {
		return "/" + rest
	}
	return path
}

// addJob adds the units of one job; the error says why that cannot be done.
func (p *part) addJob(job *config.Job, source string) error {
	if err := unit.CheckName(Service(job.Name, "")); err != nil {
		return err
	}
	broken := len(job.Problems) > 0
	schedule := schedule(job)
	if schedule != "" || broken {
		p.addTimer(job, schedule, source)
	}
	if broken {
		p.addDropIn(job, "", source, nil)
		return nil
	}
	p.addDropIn(job, "", source, p.mounts(job, ""))
	errs := []error{p.addPassive(job, source)}
	for _, instance := range instances(job) {
		if err := unit.CheckName(Service(job.Name, instance)); err != nil {
			errs = append(errs, err)
			continue
		}
		p.addDropIn(job, instance, source, p.mounts(job, instance))
	}
	return errors.Join(errs...)
}

// schedule is the job's, "" where it has none or that is itself at fault.
func schedule(job *config.Job) string {
	if slices.ContainsFunc(job.Problems, func(p config.Problem) bool { return p.Key == "schedule" }) {
		return ""
	}
	return job.Schedule
}

// stopAfter is TimeoutStopSec of b1000@.service; afterPost is added to the time
// that post may take.
const (
	stopAfter = 10 * time.Minute
	afterPost = time.Minute
)

func (p *part) addDropIn(job *config.Job, instance, source string, mounts []string) {
	f := p.header(job, source)
	f.Section("Unit")
	title := "Backup " + unit.Text(job.Name)
	if instance != "" {
		title += ", instance " + unit.Text(instance)
	}
	if len(job.Problems) > 0 {
		title += " (its configuration is at fault)"
	}
	f.Set("Description", title)
	setSource(f, source)
	if len(mounts) > 0 {
		f.Set("RequiresMountsFor", unit.Paths(mounts))
	}
	if len(job.Problems) == 0 && needsNetwork(job) {
		f.Set("Wants", "network-online.target")
		f.Set("After", "network-online.target")
	}
	if stop := job.PostTimeout + afterPost; stop > stopAfter {
		f.Section("Service")
		f.Set("TimeoutStopSec", seconds(stop))
	}
	p.tree.File(Service(job.Name, instance)+".d/"+dropIn, f.String())
}

// header begins a file with where it comes from.
func (p *part) header(job *config.Job, source string) *unit.File {
	f := &p.file
	f.Reset()
	f.Comment("Made by b1000-generator from " + source + ", [job:" + job.Name + "]")
	return f
}

// setSource names the file that "systemctl status" warns about when it has
// changed.
func setSource(f *unit.File, source string) {
	if unit.CanBePath(source) {
		f.Set("SourcePath", unit.Text(source))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// instances are those that are known without running a command.
func instances(job *config.Job) []string {
	if !job.Has("instances") || slices.ContainsFunc(job.Refs("instances"), func(ref string) bool { return ref == "host" || ref == "start_time" }) {
		return nil
	}
	refuse := func(context.Context, string, string) (string, error) {
		return "", errors.New("a generator runs no command")
	}
	names, err := plan.Instances(context.Background(), job, plan.Env{Host: "host"}, refuse)
	if err != nil {
		return nil
	}
	return names
}
