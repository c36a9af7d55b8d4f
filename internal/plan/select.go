package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"b1000/internal/config"
)

// Selection is a job that is to run; Instance is one of what Instances names, or
// "" for all of that.
type Selection struct {
	Job      *config.Job
	Instance string
}

// Selected finds the jobs that command-line arguments name as job, job/instance
// or job:instance, each once and in the order of the arguments; a job that is
// named as a whole takes its single instances in. Without arguments it is every
// job by name. An unknown job, an instance of a job that has none, and no job at
// all are errors. Jobs with Problems are among the result.
func Selected(cfg *config.Config, args []string) ([]Selection, error) {
	var all []Selection
	var names []string
	for _, job := range cfg.Jobs() {
		all = append(all, Selection{Job: job})
		names = append(names, job.Name)
	}
	if len(args) == 0 {
		if len(all) == 0 {
			return nil, fmt.Errorf("%s: no job is configured; add a [job:NAME] section", cfg.Path)
		}
		return all, nil
	}
	var picked []Selection
	var errs []error
	whole := map[string]bool{}
	for _, arg := range args {
		s, err := selectOne(cfg, arg, names)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		picked = append(picked, s)
		if s.Instance == "" {
			whole[s.Job.Name] = true
		}
	}
	var out []Selection
	seen := map[Selection]bool{}
	for _, s := range picked {
		if whole[s.Job.Name] {
			s.Instance = ""
		}
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

func selectOne(cfg *config.Config, arg string, names []string) (Selection, error) {
	name, instance := arg, ""
	if at := strings.IndexAny(arg, "/:"); at >= 0 {
		name, instance = arg[:at], arg[at+1:]
		client, rest, both := strings.Cut(strings.ReplaceAll(instance, "/", ":"), ":")
		if !config.ValidName(client) || both && !config.ValidName(rest) {
			return Selection{}, fmt.Errorf("%q: %q is not an instance; write job/instance", arg, instance)
		}
		instance = strings.ReplaceAll(instance, "/", ":")
	}
	job := cfg.Job(name)
	switch {
	case job == nil && config.Closest(name, names) != "":
		return Selection{}, fmt.Errorf("job %q is not configured; did you mean %s?", name, config.Closest(name, names))
	case job == nil:
		return Selection{}, fmt.Errorf("job %q is not configured", name)
	case instance != "" && !job.Parted() && len(job.Problems) == 0:
		return Selection{}, fmt.Errorf("job %q has no instances; leave /%s away", name, instance)
	}
	return Selection{Job: job, Instance: instance}, listed(job, instance)
}

// listed refuses an instance that is not in the job's own list. What a command
// names is not known here.
func listed(job *config.Job, instance string) error {
	if instance == "" || len(job.Hosts) > 0 || len(job.Problems) > 0 {
		return nil
	}
	text, err := job.Expand("instances", nil)
	if _, command := config.CommandOf(text); command || err != nil {
		return nil
	}
	names := config.Names(text)
	if slices.Contains(names, instance) {
		return nil
	}
	return fmt.Errorf("job %q has no instance %s; it has %s", job.Name, instance, strings.Join(names, ", "))
}
