// Package config reads the configuration: its files, the grammar of the original
// program with line numbers, and typed settings with their defaults. It finds
// every fault in one pass and changes nothing; what is known only while a job
// runs is left to Job.Expand. It imports no package of this module.
package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LocalReports is the database that a job without report reports to.
const LocalReports = "/var/lib/b1000/reports.db"

// localReport is the name of its report.
const localReport = "local"

// Config is what Load has read.
type Config struct {
	Path   string   // as given to Load
	Files  []string // all files read, in their order
	Global Global

	sections []*Section // in the order of files and lines
	titles   map[string]*Section
	kinds    map[string][]*Section
	jobs     map[string]*Job
	dests    map[string]*Dest
	reports  map[string]*Report
	fatal    []Problem // those that no section owns
	creds    string
}

// Load reads path and the files of conf.d. The error says that path cannot be
// read at all; everything else is a Problem, sorted by file and line. The jobs
// without Problems may be run unless Config.Fatal returns any.
func Load(path string) (*Config, []Problem, error) {
	c := &Config{
		Path: path, titles: map[string]*Section{}, kinds: map[string][]*Section{}, jobs: map[string]*Job{}, dests: map[string]*Dest{}, reports: map[string]*Report{},
		creds: os.Getenv(credentials),
	}
	if err := c.addFile(path); err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	c.addConfD()
	global := c.section("global")
	each(len(c.sections), func(i int) {
		s := c.sections[i]
		if s != global {
			s.global = global
		}
		s.check()
	})
	c.Global = newGlobal(global)
	c.build()
	return c, c.problems(), nil
}

// addConfD reads the files beside the first one.
func (c *Config) addConfD() {
	global := c.section("global")
	dir := filepath.Join(filepath.Dir(c.Path), "conf.d")
	named := global.Has("conf_d")
	if named {
		if dir = global.Text("conf_d"); !filepath.IsAbs(dir) {
			return // Section.check tells
		}
	}
	files, err := confFiles(dir, named)
	if err != nil {
		c.fatal = append(c.fatal, Problem{File: c.Path, Line: global.LineOf("conf_d"), Section: "global", Key: "conf_d", Message: err.Error()})
	}
	for _, file := range files {
		if err := c.addFile(file); err != nil {
			c.Files = append(c.Files, file)
			c.fatal = append(c.fatal, Problem{File: file, Message: "cannot be read: " + err.Error()})
		}
	}
	if late := c.section("global"); late != global && late.Has("conf_d") {
		late.fault("conf_d", "only the first file may name it")
	}
}

// addFile reads one file into sections; the error says that it can't be read.
func (c *Config) addFile(path string) error {
	data, info, err := readFile(path)
	if err != nil {
		return err
	}
	c.Files = append(c.Files, path)
	found := scan(data)
	for _, f := range found.faults {
		c.fatal = append(c.fatal, Problem{File: path, Line: f.line, Message: f.message})
	}
	secret := false
	for _, raw := range found.sections {
		s := newSection(path, raw, c.creds)
		secret = secret || s.Has("password")
		c.addSection(s, raw.title)
	}
	if message := permissionFault(info, secret); message != "" {
		c.fatal = append(c.fatal, Problem{File: path, Message: message})
	}
	return nil
}

// newSection makes a Section of what was scanned.
func newSection(file string, raw scannedSection, creds string) *Section {
	s := &Section{File: file, Line: raw.line, values: raw.keys, creds: creds}
	s.Kind, s.Name, _ = strings.Cut(raw.title, ":")
	return s
}

// addSection keeps a section, or says why it cannot be one.
func (c *Config) addSection(s *Section, title string) {
	refuse := func(message string) {
		c.fatal = append(c.fatal, Problem{File: s.File, Line: s.Line, Section: title, Message: message})
	}
	single := s.Kind == "global" || s.Kind == "storage" || s.Kind == "monitor"
	kinds := slices.DeleteFunc(Kinds(), func(kind string) bool { return kind == "client" })
	switch {
	case !slices.Contains(kinds, s.Kind):
		refuse("unknown kind of section" + hint(s.Kind, kinds))
		return
	case single && title != s.Kind:
		refuse("has no name; write [" + s.Kind + "]")
		return
	case !single && !ValidName(s.Name):
		refuse("needs a name; write [" + s.Kind + ":NAME], NAME as " + NamePattern)
		return
	}
	if first := c.section(title); first != nil {
		first.fault("", fmt.Sprintf("given again in %s:%d; join the two or rename one", s.File, s.Line))
		s.fault("", fmt.Sprintf("already given in %s:%d", first.File, first.Line))
		first.Problems = append(first.Problems, s.Problems...)
		return
	}
	c.sections = append(c.sections, s)
	c.titles[title] = s
	c.kinds[s.Kind] = append(c.kinds[s.Kind], s)
}

func (c *Config) section(title string) *Section { return c.titles[title] }

// problems gathers all of them in the order of the files.
func (c *Config) problems() []Problem {
	all := slices.Clone(c.fatal)
	for _, s := range c.sections {
		all = append(all, s.Problems...)
	}
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(slices.Index(c.Files, a.File), slices.Index(c.Files, b.File)), cmp.Compare(a.Line, b.Line))
	})
	return all
}

// Fatal are the Problems with which no job may be run: those of [global], of a
// file as a whole, and of sections that cannot be told apart.
func (c *Config) Fatal() []Problem {
	all := slices.Clone(c.fatal)
	if global := c.section("global"); global != nil {
		all = append(all, global.Problems...)
	}
	return all
}

// Jobs are all jobs by name, those with Problems too.
func (c *Config) Jobs() []*Job { return sorted(c.jobs) }

// Dests are all destinations by name.
func (c *Config) Dests() []*Dest { return sorted(c.dests) }

// Reports are all reports by name, the default one too where a job uses it.
func (c *Config) Reports() []*Report { return sorted(c.reports) }

// Job returns a job, or nil.
func (c *Config) Job(name string) *Job { return c.jobs[name] }

// Dest returns a destination, or nil.
func (c *Config) Dest(name string) *Dest { return c.dests[name] }

// Report returns a report, or nil.
func (c *Config) Report(name string) *Report { return c.reports[name] }

// Sections returns the sections of one kind by name.
func (c *Config) Sections(kind string) []*Section {
	found := slices.Clone(c.kinds[kind])
	slices.SortFunc(found, func(a, b *Section) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// Section returns the section of a kind and name ("" for those without), or nil.
func (c *Config) Section(kind, name string) *Section {
	return c.section((&Section{Kind: kind, Name: name}).Title())
}

func sorted[T any](m map[string]*T) []*T {
	out := make([]*T, 0, len(m))
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, m[name])
	}
	return out
}
