package generator

import (
	"cmp"
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
func (p *part) mounts(job *config.Job, instance string) []string {
	var paths []string
	if job.Direction == "push" {
		paths = append(paths, p.guess.known(job, "include", instance)...)
	}
	paths = append(paths, p.guess.known(job, "require_mount", instance)...)
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
func (g *guess) known(job *config.Job, key, instance string) []string {
	raw := job.Raw(key)
	if raw == "" {
		return nil
	}
	a, errA := g.words(0, job, key, instance)
	b, errB := a, errA
	if strings.IndexByte(raw, '$') >= 0 {
		b, errB = g.words(1, job, key, instance)
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

// guess is what stands for the values that are not known, two of each. Made once
// for many jobs.
type guess [2]map[string]string

// words is an option taken apart, with one of the guesses.
func (g *guess) words(which int, job *config.Job, key, instance string) ([]string, error) {
	filler := string("ab"[which])
	if g[which] == nil {
		g[which] = map[string]string{}
		for _, name := range append(config.RuntimeNames(), "instances", "data_age", "master_host", "master_instance") {
			g[which][name] = filler
		}
	}
	g[which]["name"], g[which]["instance"] = job.Name, cmp.Or(instance, filler)
	text, err := job.Expand(key, g[which])
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
