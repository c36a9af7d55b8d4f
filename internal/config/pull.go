package config

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Location is a place that rsync fetches from.
type Location struct {
	Place string // module or host: what one rsync can fetch from at a time
	Host  string // without user and port
	Path  string // below the module, or on the host
}

var (
	daemonPlace = regexp.MustCompile(`^rsync://(?:[^@/\s]+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][-_.A-Za-z0-9]*)(?::\d+)?/[^/\s]+`)
	shellPlace  = regexp.MustCompile(`^(?:[^-/:@\s][^/:@\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][-_.A-Za-z0-9]*):`)
)

// errPassword is for a location, whose text is told.
var errPassword = errors.New("holds a password, which everybody would see; let the other host know this one by address, ssh key or certificate")

// ParseLocation reads rsync://[user@]host[:port]/module[/path] and
// [user@]host:path.
func ParseLocation(s string) (Location, error) {
	if holdsPassword(s) {
		return Location{}, errPassword
	}
	for _, form := range []*regexp.Regexp{daemonPlace, shellPlace} {
		m := form.FindStringSubmatch(s)
		if m == nil || form == shellPlace && (strings.Contains(s, "://") || strings.HasPrefix(s[len(m[0]):], ":")) {
			continue
		}
		l := Location{Place: m[0], Host: strings.Trim(m[1], "[]"), Path: s[len(m[0]):]}
		if l.Path == "" && form == shellPlace {
			break
		}
		if slices.Contains(strings.Split(l.Path, "/"), "..") {
			return l, fmt.Errorf("%q: a path with .. is not fetched from another host", s)
		}
		return l, nil
	}
	return Location{}, fmt.Errorf("%q is not on another host; write rsync://host/module or host:/path", s)
}

// Name is what the location is stored as: its last element, or "" for the
// contents of a directory, which is what a module alone and a slash at the end
// mean.
func (l Location) Name() string {
	if l.Path == "" || strings.HasSuffix(l.Path, "/") {
		return ""
	}
	return path.Base(l.Path)
}

// checkFetched is CheckInclude for a pull job.
func checkFetched(words []string, relative bool) error {
	seen := map[string]string{}
	for _, word := range words {
		if word == "" || strings.HasPrefix(word, "-") {
			return fmt.Errorf("%q is not a path", word)
		}
		l, err := ParseLocation(word)
		if err != nil {
			return err
		}
		name := l.Name()
		if name == "" && len(words) > 1 {
			return fmt.Errorf("%s means what is in there, which the others would be mixed up with; give it a job of its own", word)
		}
		if first, ok := seen[name]; ok && !relative && !IsGlob(name) {
			return fmt.Errorf("%s and %s both end in %s and would be merged; set relative = yes", first, word, name)
		}
		seen[name] = word
	}
	if len(words) == 0 {
		return errors.New("names nothing")
	}
	return nil
}

// Parted reports whether the job has several runs: one for each instance, or
// each client, or each instance of each client.
func (j *Job) Parted() bool { return j.Has("instances") || len(j.Hosts) > 0 }

// checkPull looks at what concerns pull jobs.
func (j *Job) checkPull() {
	s := j.section
	if name := twice(j.Hosts); name != "" {
		s.fault("hosts", name+" is named twice")
	}
	for _, key := range s.Keys() {
		if len(j.Hosts) == 0 && strings.Contains(s.Raw(key), "$") && slices.Contains(s.Refs(key), "client") {
			s.fault(key, "$client is known only to a job with hosts")
		}
	}
	if j.Direction != "pull" {
		return
	}
	if len(j.Hosts) > 1 && !slices.Contains(s.Refs("report_source"), "client") && s.Has("report_source") {
		s.fault("report_source", "is the same for all hosts; write $client for the name of each")
	}
	if len(j.Hosts) > 1 && !slices.Contains(s.Refs("include"), "client") && s.Has("include") {
		s.fault("include", "is the same for all hosts; write $client for the name of each")
	}
	for _, key := range []string{"report_source", "include"} {
		if s.runtimeDependent(key) && slices.ContainsFunc(strings.Fields(s.Raw(key)), holdsPassword) {
			s.fault(key, errPassword.Error())
		}
	}
	if s.Has("report_source") && !s.runtimeDependent("report_source") {
		if _, err := ParseLocation(s.Text("report_source")); err != nil {
			s.fault("report_source", err.Error())
		}
	}
	if j.TLSCert+j.TLSKey+j.TLSCA != "" {
		for _, key := range []string{"report_source", "include"} {
			for _, word := range strings.Fields(s.Raw(key)) {
				if !strings.HasPrefix(word, "rsync://") && !strings.HasPrefix(word, "$") && !holdsPassword(word) {
					s.fault(key, word+" is not reached by TLS; write rsync://host/module")
				}
			}
		}
	}
	for _, word := range j.Dests {
		for _, d := range word.Dests {
			if d.Type == "active" && !strings.HasPrefix(d.Path, "/") {
				s.fault("dest", fmt.Sprintf("%s is on another host; a pull job stores in a directory of this one, because rsync does not copy from one remote host to another", d.Name))
			}
		}
	}
}

// settleReportJobs says which pull jobs may take the report of a client's job of
// another name: those that leave report_job away and are alone in looking where
// they look.
func (c *Config) settleReportJobs() {
	lookers := map[string]int{}
	for _, j := range c.jobs {
		if j.Direction == "pull" {
			lookers[j.Raw("report_source")]++
		}
	}
	for _, j := range c.jobs {
		j.AnyReportJob = j.Direction == "pull" && !j.Has("report_job") && lookers[j.Raw("report_source")] == 1
	}
}
