package plan

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"b1000/internal/config"
)

// dynamicKeys may be the output of a command; a reference to one of them stands
// for that output.
func dynamicKeys() []string {
	return []string{"instances", "master_host", "master_instance", "data_age"}
}

// values expands the options of one job and instance. A command is run once and
// its output kept, so that all options of a run see the same.
type values struct {
	job     *config.Job
	runtime map[string]string
	now     time.Time
	sh      Shell
}

func newValues(job *config.Job, client, instance string, env Env, sh Shell) (*values, error) {
	v := &values{job: job, now: env.Now.Truncate(time.Second), sh: sh}
	if err := checkName(env.Host); err != nil {
		return nil, v.fault("host", err)
	}
	v.runtime = map[string]string{"name": job.Name, "host": env.Host, "instance": instance, "start_time": v.now.Format(startLayout)}
	if client != "" {
		v.runtime["client"] = client
	}
	maps.Copy(v.runtime, env.Known)
	return v, nil
}

// fault names job and option.
func (v *values) fault(key string, err error) error {
	return fmt.Errorf("job %q: %s: %w", v.job.Name, key, err)
}

// text expands an option, after the commands of the dynamic ones that it refers to.
func (v *values) text(ctx context.Context, key string) (string, error) {
	if err := v.resolve(ctx, v.job.Refs(key)); err != nil {
		return "", err
	}
	return v.job.Expand(key, v.runtime)
}

// resolve puts the values of the dynamic options among names into runtime.
func (v *values) resolve(ctx context.Context, names []string) error {
	for _, key := range dynamicKeys() {
		for _, name := range names {
			if strings.ToLower(name) != key || !v.job.Has(key) {
				continue
			}
			if _, done := v.runtime[name]; done {
				continue
			}
			value, err := v.dynamic(ctx, key)
			if err != nil {
				return err
			}
			v.runtime[name] = value
		}
	}
	return nil
}

// dynamic is the trimmed value of an option that may be a command; "" where it is
// not set. A command that prints nothing is an error.
func (v *values) dynamic(ctx context.Context, key string) (string, error) {
	if value, done := v.runtime[key]; done || !v.job.Has(key) {
		return value, nil
	}
	text, err := v.text(ctx, key)
	if err != nil {
		return "", err
	}
	command, isCommand := config.CommandOf(text)
	if isCommand {
		if text, err = v.sh(ctx, v.job.Name, command); err != nil {
			return "", v.fault(key, err)
		}
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", v.fault(key, fmt.Errorf("%s printed nothing", command))
	}
	v.runtime[key] = text
	return text, nil
}

// list expands an option and takes it apart.
func (v *values) list(ctx context.Context, key string) ([]string, error) {
	text, err := v.text(ctx, key)
	if err != nil {
		return nil, err
	}
	option, _ := config.Lookup("job", key)
	words, err := option.Split(text)
	if err != nil {
		return nil, v.fault(key, err)
	}
	return words, nil
}
