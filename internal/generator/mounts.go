package generator

import (
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/config"
	"b1000/internal/unit"
)

// mounts are the directories whose mount points a job cannot do without, sorted:
// what it includes, require_mount, and its destination where that is local and
// the only one. Where there are several, one that is missing must not keep the
// others from getting their copy.
func mounts(job *config.Job, instance string) []string {
	var paths []string
	if job.Direction == "push" {
		paths = append(paths, known(job, "include", instance)...)
	}
	paths = append(paths, known(job, "require_mount", instance)...)
	var dests []*config.Dest
	for _, word := range job.Dests {
		dests = append(dests, word.Dests...)
	}
	if len(dests) == 1 {
		if dir := localDir(dests[0]); dir != "" {
			paths = append(paths, dir)
		}
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return !unit.CanBePath(p) })
	slices.Sort(paths)
	return slices.Compact(paths)
}

// localDir is the directory behind a destination, "" for those elsewhere.
func localDir(d *config.Dest) string {
	place := d.Path
	if d.Type == "restic" {
		place = strings.TrimPrefix(d.Repository, "local:")
	}
	if d.Type != "passive" && filepath.IsAbs(place) {
		return filepath.Clean(place)
	}
	return ""
}

// needsNetwork reports whether a job reaches for another host by itself.
func needsNetwork(job *config.Job) bool {
	if job.Direction == "pull" {
		return true
	}
	for _, word := range job.Dests {
		for _, d := range word.Dests {
			if d.Type != "passive" && localDir(d) == "" {
				return true
			}
		}
	}
	return false
}

// known are the paths of an option as far as they are known before the job runs:
// of /srv/$start_time/*.db that is /srv. Two expansions with different values
// for what is not known tell.
func known(job *config.Job, key, instance string) []string {
	if !job.Has(key) {
		return nil
	}
	a, errA := words(job, key, instance, "a")
	b, errB := a, errA
	if len(job.Refs(key)) > 0 {
		b, errB = words(job, key, instance, "b")
	}
	if errA != nil || errB != nil || len(a) != len(b) {
		return nil
	}
	var out []string
	for i := range a {
		dir := a[i]
		if same := common(a[i], b[i]); len(same) < max(len(a[i]), len(b[i])) {
			dir = upToSlash(same)
		}
		if at := strings.IndexAny(dir, `*?[\`); at >= 0 {
			dir = upToSlash(dir[:at])
		}
		if filepath.IsAbs(dir) {
			out = append(out, filepath.Clean(dir))
		}
	}
	return out
}

// words is an option taken apart, with filler for what is not known.
func words(job *config.Job, key, instance, filler string) ([]string, error) {
	runtime := map[string]string{"name": job.Name, "instance": instance}
	for _, name := range append(config.RuntimeNames(), "instances", "data_age", "master_host", "master_instance") {
		if runtime[name] == "" {
			runtime[name] = filler
		}
	}
	text, err := job.Expand(key, runtime)
	if err != nil {
		return nil, err
	}
	return config.Words(text)
}

// common is what two strings begin with alike.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

func upToSlash(path string) string { return path[:strings.LastIndexByte(path, '/')+1] }
