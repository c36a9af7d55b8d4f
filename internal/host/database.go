package host

import (
	"cmp"
	"fmt"

	"b1000/internal/config"
	"b1000/internal/database"
)

// streamOptions are the options of a stream section that are set or have a
// default, expanded with the run-time values known.
func streamOptions(s *config.Section, known map[string]string) (map[string]string, error) {
	if len(s.Problems) > 0 {
		return nil, s.Problems[0]
	}
	out := map[string]string{}
	for _, key := range s.Keys() {
		text, err := s.Expand(key, known)
		if err != nil {
			return nil, fmt.Errorf("stream %q: %s: %w", s.Name, key, err)
		}
		out[key] = text
	}
	return out, nil
}

// databaseOf is the database that expanded options describe.
func databaseOf(name, kind string, options map[string]string) (database.Database, error) {
	return database.New(name, kind, options, func(key string) []string {
		option, _ := config.Lookup("stream", key)
		words, _ := option.Split(options[key]) // looked at when the file was read
		return words
	})
}

// Target is where a stored stream is put back: a database, or a command.
type Target struct {
	Database database.Database // nil where Command is to be run
	Command  string            // for the shell; reads the stream
	Base     string            // the section's streams are stored as this, or below it
}

// Target returns what a stream section restores into. known are the run-time
// values of the backup, by name ($instance, $host, …).
func (h *Host) Target(section string, known map[string]string) (Target, error) {
	s := h.Config.Section("stream", section)
	if s == nil {
		var names []string
		for _, other := range h.Config.Sections("stream") {
			names = append(names, other.Name)
		}
		if near := config.Closest(section, names); near != "" {
			return Target{}, fmt.Errorf("no section [stream:%s]; did you mean %s?", section, near)
		}
		return Target{}, fmt.Errorf("no section [stream:%s]", section)
	}
	options, err := streamOptions(s, known)
	if err != nil {
		return Target{}, err
	}
	t := Target{Base: cmp.Or(options["file"], s.Name), Command: options["restore_command"]}
	switch kind := s.Text("type"); {
	case t.Command != "":
		return t, nil
	case database.IsType(kind):
		t.Database, err = databaseOf(s.Name, kind, options)
		return t, err
	}
	return Target{}, fmt.Errorf("stream %q: has no restore_command", s.Name)
}
