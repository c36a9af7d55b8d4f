package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"b1000/internal/config"
)

// New plans one run of a job without Problems, for what Instances names. It runs the job's dynamic options,
// each once; every error names job and option.
func New(ctx context.Context, job *config.Job, part string, env Env, sh Shell) (*Run, error) {
	if len(job.Problems) > 0 {
		return nil, job.Problems[0]
	}
	client, instance, err := split(job, part)
	if err != nil {
		return nil, err
	}
	v, err := newValues(job, client, instance, env, sh)
	if err != nil {
		return nil, err
	}
	r := newRun(job, instance, env, v.now)
	r.Client = client
	if err := r.resolveDynamic(ctx, v); err != nil {
		return nil, err
	}
	if err := r.resolveTexts(ctx, v); err != nil {
		return nil, err
	}
	if err := r.resolveStreams(v); err != nil {
		return nil, err
	}
	r.Copies = copies(job, r.Exclude, env)
	if r.Direction == "pull" {
		if err := r.resolvePull(v, env.Host); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// newRun takes over what is settled already.
func newRun(job *config.Job, instance string, env Env, now time.Time) *Run {
	return &Run{
		Job: job.Name, Instance: instance, Host: env.Host, Direction: job.Direction, Type: job.Type, Start: now,
		BackupDir: job.BackupDir, Reports: job.Reports,
		Relative: job.Relative, OneFileSystem: job.OneFileSystem, HardLink: job.HardLink, ReadAllFIFOs: job.ReadAllFIFOs,
		MinFiles: job.MinFiles, Preserve: job.Preserve,
		Timeout: job.Timeout, PreTimeout: job.PreTimeout, PostTimeout: job.PostTimeout, StallTimeout: job.StallTimeout,
		CopyRetries: job.CopyRetries, CopyRetryMinSleep: job.CopyRetryMinSleep, MaxAge: job.MaxAge,
		Nice: job.Nice, IONice: job.IONice, BWLimit: job.BWLimit,
		ReportJob: cmp.Or(job.ReportJob, job.Name), AnyReportJob: job.AnyReportJob, ReportPollWait: job.ReportPollWait, ReportPollRetries: job.ReportPollRetries,
		Settings: job, machine: env.Machine,
	}
}

func (r *Run) resolveDynamic(ctx context.Context, v *values) error {
	for _, o := range []struct {
		key string
		to  *string
	}{{"master_host", &r.MasterHost}, {"master_instance", &r.MasterInstance}} {
		text, err := v.dynamic(ctx, o.key)
		if err != nil {
			return err
		}
		if text == "" {
			continue
		}
		if err := checkName(text); err != nil {
			return v.fault(o.key, err)
		}
		*o.to = text
	}
	age, err := v.dynamic(ctx, "data_age")
	if err != nil || age == "" {
		return err
	}
	if r.DataAge, err = strconv.ParseInt(age, 10, 64); err != nil || r.DataAge < 0 {
		return v.fault("data_age", fmt.Errorf("%q is not a number of seconds", age))
	}
	return nil
}

func (r *Run) resolveTexts(ctx context.Context, v *values) (err error) {
	for _, o := range []struct {
		key string
		to  *string
	}{{"pre", &r.Pre}, {"post", &r.Post}, {"before_commit", &r.BeforeCommit}, {"on_failure", &r.OnFailure}, {"report_source", &r.ReportSource}} {
		if *o.to, err = v.text(ctx, o.key); err != nil {
			return err
		}
	}
	for _, o := range []struct {
		key string
		to  *[]string
	}{
		{"include", &r.Include}, {"exclude", &r.Exclude}, {"exclude_regex", &r.ExcludeRegex},
		{"require_mount", &r.RequireMount}, {"read_fifo", &r.ReadFIFO},
	} {
		if *o.to, err = v.list(ctx, o.key); err != nil {
			return err
		}
	}
	if len(r.Include) > 0 {
		if err := config.CheckInclude(r.Include, r.Direction, r.Relative); err != nil {
			return v.fault("include", err)
		}
	} else if r.Direction != "passive" && r.Settings.Has("include") {
		return v.fault("include", errors.New("names nothing"))
	}
	for _, pattern := range r.ExcludeRegex {
		if _, err := regexp.Compile(pattern); err != nil {
			return v.fault("exclude_regex", err)
		}
	}
	return nil
}

// copies puts the destinations into the order in which they are started.
func copies(job *config.Job, exclude []string, env Env) []Copy {
	var out []Copy
	for _, word := range job.Dests {
		dests := append([]*config.Dest(nil), word.Dests...)
		if word.Shuffle && env.Shuffle != nil {
			env.Shuffle(len(dests), func(i, j int) { dests[i], dests[j] = dests[j], dests[i] })
		}
		for _, d := range dests {
			c := Copy{Dest: d, Background: word.Background, Keep: job.Keep, BWLimit: job.BWLimit}
			c.Exclude = append(append(c.Exclude, exclude...), d.Exclude...)
			if d.Keep.Set {
				c.Keep = d.Keep
			}
			if d.BWLimit != "" {
				c.BWLimit = d.BWLimit
			}
			out = append(out, c)
		}
	}
	return out
}

// checkName refuses what cannot be part of a path.
func checkName(name string) error {
	if !config.ValidName(name) {
		return fmt.Errorf("%q is not a name; it must look like %s", strings.ToValidUTF8(name, "?"), config.NamePattern)
	}
	return nil
}
