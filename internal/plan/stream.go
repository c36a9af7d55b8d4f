package plan

import "fmt"

// resolveStreams expands the options of the job's streams with the run-time
// options of this run.
func (r *Run) resolveStreams(v *values) error {
	for _, s := range r.Settings.Streams {
		out := Stream{Name: s.Name, Type: s.Text("type"), Options: map[string]string{}, Section: s}
		for _, key := range s.Keys() {
			text, err := s.Expand(key, v.runtime)
			if err != nil {
				return v.fault("streams", fmt.Errorf("%s: %s: %w", s.Name, key, err))
			}
			out.Options[key] = text
		}
		r.Streams = append(r.Streams, out)
	}
	return nil
}
