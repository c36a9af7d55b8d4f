package plan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"b1000/internal/config"
	"b1000/internal/report"
)

// Instances returns what a job is run for now, each by a run of its own: its
// instances in the order in which it names them; of a job with hosts these, or
// each instance of each (see report.PartName); "" alone where it has neither. A
// command that fails or prints nothing, a bad name and a name given twice are
// errors.
func Instances(ctx context.Context, job *config.Job, env Env, sh Shell) ([]string, error) {
	if len(job.Hosts) == 0 {
		return instances(ctx, job, "", env, sh)
	}
	var parts []string
	places := map[string]string{}
	for _, client := range job.Hosts {
		names, err := instances(ctx, job, client, env, sh)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			part := report.PartName(client, name)
			place := strings.TrimSuffix(client+"-"+name, "-")
			if other, taken := places[place]; taken {
				return nil, fmt.Errorf("job %q: %s and %s would both be stored as %s", job.Name, other, part, place)
			}
			places[place] = part
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// instances are those of a job, or of one of its clients.
func instances(ctx context.Context, job *config.Job, client string, env Env, sh Shell) ([]string, error) {
	if !job.Has("instances") {
		return []string{""}, nil
	}
	v, err := newValues(job, client, "", env, sh)
	if err != nil {
		return nil, err
	}
	text, err := v.dynamic(ctx, "instances")
	if err != nil {
		return nil, err
	}
	names := config.Names(text)
	seen := map[string]bool{}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, v.fault("instances", err)
		}
		if seen[name] {
			return nil, v.fault("instances", fmt.Errorf("%s is named twice", name))
		}
		seen[name] = true
	}
	if len(names) == 0 {
		return nil, v.fault("instances", errors.New("names no instance"))
	}
	return names, nil
}

// split takes apart what Instances names.
func split(job *config.Job, part string) (client, instance string, err error) {
	instance = part
	if len(job.Hosts) > 0 {
		client, instance, _ = strings.Cut(part, ":")
		if !slices.Contains(job.Hosts, client) {
			return "", "", fmt.Errorf("job %q: %q is none of its hosts", job.Name, client)
		}
	}
	if instance != "" {
		if err := checkName(instance); err != nil {
			return "", "", fmt.Errorf("job %q: instance: %w", job.Name, err)
		}
	}
	if instance == "" && job.Has("instances") {
		return "", "", fmt.Errorf("job %q: instance: none is named, and the job has several", job.Name)
	}
	return client, instance, nil
}

// client is the host that a pull run is expected to be of, until its report says
// what it calls itself: the one of the job's hosts, else the one that is
// contacted, else own.
func (r *Run) client(own string) string {
	if r.Client != "" {
		return r.Client
	}
	if l, err := config.ParseLocation(r.ReportSource); err == nil && config.ValidName(l.Host) && net.ParseIP(l.Host) == nil {
		return l.Host
	}
	return own
}

// resolvePull settles what only pull runs have.
func (r *Run) resolvePull(v *values, own string) error {
	if _, err := config.ParseLocation(r.ReportSource); err != nil {
		return v.fault("report_source", err)
	}
	r.Host = r.client(own)
	last := ""
	for _, word := range r.Include {
		l, err := config.ParseLocation(word)
		if err != nil {
			return v.fault("include", err)
		}
		if l.Place != last || last == "" {
			r.Fetch = append(r.Fetch, nil)
			last = l.Place
		}
		n := len(r.Fetch) - 1
		r.Fetch[n] = append(r.Fetch[n], word)
	}
	return nil
}
