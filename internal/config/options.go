package config

import (
	"slices"
	"strings"
)

// Kind is what an option's value has to be.
type Kind string

// The kinds. Those from Words on may be continued over several lines.
const (
	Text     Kind = "text"
	Path     Kind = "path"     // absolute
	Bool     Kind = "bool"     // yes or no
	Int      Kind = "int"      // within Min and Max
	Duration Kind = "duration" // see ParseDuration
	Size     Kind = "size"     // see ParseSize
	Share    Kind = "share"    // see ParseShare
	Rate     Kind = "rate"     // as rsync's --bwlimit: KiB per second, or 1.5m
	Enum     Kind = "enum"     // one of Values
	Name     Kind = "name"     // see NamePattern
	Secret   Kind = "secret"   // never printed
	Calendar Kind = "calendar" // a calendar event of systemd.time(7)

	WordList Kind = "words"  // see Words
	PathList Kind = "paths"  // words that are absolute paths
	NameList Kind = "names"  // see Names
	EnumList Kind = "enums"  // names out of Values
	Regexps  Kind = "regexp" // regular expressions (RE2) separated by white space
	DestList Kind = "dests"  // names joined by "/" and ended by "&"
	ArgList  Kind = "args"   // arguments of a program, quoted as for a shell
	Script   Kind = "script" // a command for the shell
)

// Option is one option of one kind of section: what checks it and what documents
// it. In and Need name, separated by blanks, the directions of a job or the types
// of another section where it may stand and where it must; In is empty for all
// of them. Dynamic options may be the output of a command; Late ones may refer to
// run-time names.
type Option struct {
	Section, Name string
	Kind          Kind
	In, Need      string
	Default       string
	Values        string // of an Enum or EnumList, separated by blanks
	Min, Max      int    // of an Int
	Dynamic, Late bool
	Doc           string
}

// Kinds are the kinds of sections, in the order in which they are documented.
func Kinds() []string {
	return []string{"global", "job", "dest", "report", "stream", "storage", "monitor", "notify", "client"}
}

// Options are the options of one kind of section, in the order in which they are
// documented. "client" is not a section but a file of the storage server's
// clients_dir; see LoadClient.
func Options(section string) []Option { return slices.Clone(tables[section]) }

// Lookup finds an option by its name in lower case.
func Lookup(section, name string) (Option, bool) {
	if o := lookup(section, name); o != nil {
		return *o, true
	}
	return Option{}, false
}

// lookup is Lookup without a copy; nil where there is no such option.
func lookup(section, name string) *Option { return index[section][name] }

// index holds every option under its section and name. Nothing writes to it.
var index = indexed(tables)

func indexed(tables map[string][]Option) map[string]map[string]*Option {
	all := map[string]map[string]*Option{}
	for section, options := range tables {
		all[section] = map[string]*Option{}
		for i := range options {
			all[section][options[i].Name] = &options[i]
		}
	}
	return all
}

// tables holds every option under its kind of section. Nothing writes to it.
var tables = map[string][]Option{
	"global":  table("global", globalOptions),
	"job":     table("job", jobOptions, allowIn(stored, keepOptions)),
	"dest":    table("dest", destOptions, allowIn(remote, keepOptions)),
	"report":  table("report", reportOptions),
	"stream":  table("stream", streamOptions),
	"storage": table("storage", storageOptions, keepOptions),
	"monitor": table("monitor", monitorOptions),
	"notify":  table("notify", notifyOptions),
	"client":  table("client", clientOptions, keepOptions),
}

// table joins parts of a table and names their section.
func table(section string, parts ...[]Option) []Option {
	out := slices.Concat(parts...)
	for i := range out {
		out[i].Section = section
	}
	return out
}

// allowIn is a copy of the options for the given directions or types only.
func allowIn(in string, options []Option) []Option {
	out := slices.Clone(options)
	for i := range out {
		out[i].In = in
	}
	return out
}

// variantKey is the option that says which direction or type a section has.
func variantKey(section string) string {
	switch section {
	case "job":
		return "direction"
	case "dest", "report", "stream", "notify":
		return "type"
	}
	return ""
}

func (o *Option) allowed(variant string) bool {
	return o.In == "" || variant == "" || hasWord(o.In, variant)
}

func (o *Option) needed(variant string) bool { return o.Need == "*" || hasWord(o.Need, variant) }

// hasWord reports whether word is one of those in the list.
func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// canonical is the value as the table spells it.
func (o *Option) canonical(value string) string {
	if o.Kind == Enum {
		for v := range strings.FieldsSeq(o.Values) {
			if strings.EqualFold(v, value) {
				return v
			}
		}
	}
	return value
}

// list says that the option holds several values.
func (o *Option) list() bool {
	switch o.Kind {
	case WordList, PathList, NameList, EnumList, Regexps, DestList, ArgList:
		return true
	}
	return false
}

// Split takes the value of a list apart.
func (o Option) Split(value string) ([]string, error) {
	switch o.Kind {
	case WordList, PathList:
		return Words(value)
	case NameList, EnumList:
		return Names(value), nil
	case Regexps:
		return strings.Fields(value), nil
	}
	if value == "" {
		return nil, nil
	}
	return []string{value}, nil
}

const maxCount = 1000000

var globalOptions = []Option{
	{Name: "log_format", Kind: Text, Default: "%(asctime)-15s %(levelname)-7s [%(threadName)-10s] %(message)s", Doc: "how a line of the log looks, in the notation of Python's logging"},
	{Name: "log_level", Kind: Enum, Values: "DEBUG INFO WARNING ERROR FATAL", Default: "INFO", Doc: "the least severe messages that are logged"},
	{Name: "log_file", Kind: Path, Default: "/dev/stdout", Doc: "where the log goes when systemd did not start the program"},
	{Name: "backup_dir", Kind: Path, Doc: "directory for what pre scripts prepare"},
	{Name: "scripts_dir", Kind: Path, Doc: "directory of the scripts, to refer to as $scripts_dir"},
	{Name: "status_dir", Kind: Path, Default: "/var/lib/b1000/status", Doc: "directory where runs, locks and undelivered reports are kept"},
	{Name: "textfile_dir", Kind: Path, Doc: "textfile directory of node_exporter; without it no metrics are written"},
	{Name: "conf_d", Kind: Path, Doc: "directory of further *.cfg files; conf.d beside the first file where not set"},
	{Name: "parallel", Kind: Int, Min: 1, Max: 1000, Default: "4", Doc: "how many jobs and instances are at work at once"},
	{Name: "copy_retries", Kind: Int, Min: 0, Max: 1000, Default: "3", Doc: "how often a failed copy is tried again"},
	{Name: "copy_retry_min_sleep", Kind: Duration, Default: "60", Doc: "the least time between two attempts"},
}

var keepOptions = []Option{
	{Name: "keep", Kind: Int, Min: 1, Max: maxCount, Doc: "how many complete backups are kept"},
	{Name: "keep_daily", Kind: Int, Min: 1, Max: maxCount, Doc: "for how many days the last backup is kept"},
	{Name: "keep_weekly", Kind: Int, Min: 1, Max: maxCount, Doc: "for how many weeks the last backup is kept"},
	{Name: "keep_monthly", Kind: Int, Min: 1, Max: maxCount, Doc: "for how many months the last backup is kept"},
	{Name: "keep_yearly", Kind: Int, Min: 1, Max: maxCount, Doc: "for how many years the last backup is kept"},
	{Name: "keep_within", Kind: Duration, Doc: "every backup that is not older than this is kept"},
}
