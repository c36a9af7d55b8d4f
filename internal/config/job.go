package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// newJob makes a job of its section; every fault ends up in its Problems.
func (c *Config) newJob(s *Section) *Job {
	j := &Job{
		Name: s.Name, File: s.File, Line: s.Line, section: s,
		Direction: s.Text("direction"), Type: s.Text("type"),
		Schedule: s.Text("schedule"), RandomizedDelay: s.Duration("randomized_delay"), Persistent: s.Bool("persistent"),
		MaxAge: s.Duration("max_age"), Parallel: s.Int("parallel"),
		Timeout: s.Duration("timeout"), PreTimeout: s.Duration("pre_timeout"),
		PostTimeout: s.Duration("post_timeout"), StallTimeout: s.Duration("stall_timeout"),
		BackupDir: c.Global.BackupDir, CopyRetries: c.Global.CopyRetries, CopyRetryMinSleep: c.Global.CopyRetryMinSleep,
		Keep: s.Keep(), HardLink: s.Bool("hardlink"), Relative: s.Bool("relative"),
		OneFileSystem: s.Bool("one_file_system"), ReadAllFIFOs: s.Bool("read_all_fifos"),
		MinFiles: int64(s.Int("min_files")), IONice: s.Text("ionice"), BWLimit: s.Text("bwlimit"),
		Hosts: s.Words("hosts"), ReportJob: s.Text("report_job"), ReportPollWait: s.Duration("report_poll_wait"), ReportPollRetries: s.Int("report_poll_retries"),
		Listen: s.Text("listen"), Share: s.Text("share"), OnDemand: s.Bool("on_demand"),
		TLSCert: s.Text("tls_cert"), TLSKey: s.Text("tls_key"), TLSCA: s.Text("tls_ca"),
	}
	if s.Has("copy_retries") {
		j.CopyRetries = s.Int("copy_retries")
	}
	if s.Has("copy_retry_min_sleep") {
		j.CopyRetryMinSleep = s.Duration("copy_retry_min_sleep")
	}
	if s.Has("nice") {
		if n, err := strconv.Atoi(s.Text("nice")); err == nil {
			j.Nice = &n
		}
	}
	for _, word := range s.Words("preserve") {
		j.Preserve.HardLinks = j.Preserve.HardLinks || word == "hardlinks"
		j.Preserve.ACLs = j.Preserve.ACLs || word == "acls"
		j.Preserve.XAttrs = j.Preserve.XAttrs || word == "xattrs"
	}
	c.addDests(j)
	c.addReports(j)
	c.addStreams(j)
	j.check()
	j.Problems = s.Problems
	return j
}

// addDests resolves dest: words separated by blanks and commas, names joined by
// "/" and ended by "&".
func (c *Config) addDests(j *Job) {
	s := j.section
	seen := map[string]bool{}
	places := map[string]string{}
	for _, word := range Names(s.Text("dest")) {
		plain, background := strings.CutSuffix(word, "&")
		names := strings.Split(plain, "/")
		if slices.ContainsFunc(names, func(name string) bool { return !ValidName(name) }) {
			s.fault("dest", fmt.Sprintf("%q: join names with / and put & right after the last one", word))
			continue
		}
		out := DestWord{Shuffle: len(names) > 1, Background: background}
		for _, name := range names {
			d := c.dests[name]
			switch {
			case d == nil:
				s.fault("dest", fmt.Sprintf("no section [dest:%s]%s", name, hint(name, slices.Sorted(maps.Keys(c.dests)))))
			case seen[name]:
				s.fault("dest", fmt.Sprintf("%s is named twice", name))
			case len(d.Problems) > 0:
				s.fault("dest", fmt.Sprintf("destination %s is at fault, see %s:%d", name, d.File, d.Problems[0].Line))
			case s.variant() != "" && (j.Direction == "passive") != (d.Type == "passive"):
				s.fault("dest", fmt.Sprintf("%s is of type %s; %s", name, d.Type, destWanted(j.Direction)))
			case d.Path != "" && places[strings.TrimRight(d.Path, "/")] != "":
				s.fault("dest", fmt.Sprintf("%s and %s are both %s; two copies need two places", places[strings.TrimRight(d.Path, "/")], name, d.Path))
			default:
				out.Dests = append(out.Dests, d)
				places[strings.TrimRight(d.Path, "/")] = name
				j.checkDelete(d)
			}
			seen[name] = true
		}
		j.Dests = append(j.Dests, out)
	}
}

func destWanted(direction string) string {
	if direction == "passive" {
		return "a passive job needs one of type passive"
	}
	return "that is for passive jobs only"
}

// checkDelete keeps --delete away from full backups, where it could only harm,
// and from exclude_regex, for which rsync gets a list of files: it then knows of
// no directory as a whole, and deletes nothing.
func (j *Job) checkDelete(d *Dest) {
	for _, option := range d.RsyncOptions {
		switch {
		case !isDelete(option):
		case j.Type == "full":
			j.section.fault("dest", fmt.Sprintf("rsync_options of %s has %s, which is for jobs of type sync", d.Name, option))
		case j.section.Has("exclude_regex"):
			j.section.fault("exclude_regex", fmt.Sprintf("with it %s, in rsync_options of %s, deletes nothing; use exclude", option, d.Name))
		}
	}
}

// addReports resolves report, or takes the file that is there without any.
func (c *Config) addReports(j *Job) {
	s := j.section
	names := s.Words("report")
	if len(names) == 0 {
		names = []string{localReport}
	}
	file := false
	for i, name := range names {
		r := c.reports[name]
		switch {
		case r == nil && ValidName(name):
			s.fault("report", fmt.Sprintf("no section [report:%s]%s", name, hint(name, slices.Sorted(maps.Keys(c.reports)))))
		case r == nil: // Section.check tells
		case slices.Contains(names[:i], name):
			s.fault("report", fmt.Sprintf("%s is named twice", name))
		case len(r.Problems) > 0:
			s.fault("report", fmt.Sprintf("report %s is at fault, see %s:%d", name, r.File, r.Problems[0].Line))
		default:
			file = file || r.Type == "file"
			j.Reports = append(j.Reports, r)
		}
	}
	if j.Direction == "passive" && !file {
		s.fault("report", "a passive job needs a report of type file, for the pulling host to read")
	}
}

// addStreams resolves streams.
func (c *Config) addStreams(j *Job) {
	var known []string
	for _, s := range c.Sections("stream") {
		known = append(known, s.Name)
	}
	for i, name := range j.section.Words("streams") {
		stream := c.Section("stream", name)
		switch {
		case stream == nil:
			j.section.fault("streams", fmt.Sprintf("no section [stream:%s]%s", name, hint(name, known)))
		case slices.Contains(j.section.Words("streams")[:i], name):
			j.section.fault("streams", fmt.Sprintf("%s is named twice", name))
		case len(stream.Problems) > 0:
			j.section.fault("streams", fmt.Sprintf("stream %s is at fault, see %s:%d", name, stream.File, stream.Problems[0].Line))
		default:
			j.Streams = append(j.Streams, stream)
		}
	}
}
