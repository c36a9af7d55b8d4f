package host

import (
	"context"
	"fmt"
	"strings"

	"b1000/internal/plan"
	"b1000/internal/stream"
)

// streams are where the streams of a run come from.
func (h *Host) streams(_ context.Context, p *plan.Run) (list []stream.Source, err error) {
	for _, s := range p.Streams {
		if s.Type != "command" {
			return nil, fmt.Errorf("stream %q: type %s is not supported by this version", s.Name, s.Type)
		}
		list = append(list, stream.Source{
			Name: StreamFile(s), Args: stream.Shell(s.Options["command"]), Program: "command",
			Compress: s.Options["compress"] == "zstd", AllowEmpty: s.Section.Bool("allow_empty"), Timeout: s.Section.Duration("timeout"),
		})
	}
	return list, nil
}

// StreamFile is the name under which a stream is stored.
func StreamFile(s plan.Stream) string {
	name := s.Options["file"]
	if name == "" {
		name = s.Name
	}
	if s.Options["compress"] == "zstd" && !strings.HasSuffix(name, stream.Suffix) {
		name += stream.Suffix
	}
	return name
}
