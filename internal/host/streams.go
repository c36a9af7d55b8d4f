package host

import (
	"context"
	"strings"

	"b1000/internal/plan"
	"b1000/internal/stream"
)

// streams are where the streams of a run come from.
func (h *Host) streams(ctx context.Context, p *plan.Run) (list []stream.Source, err error) {
	for _, s := range p.Streams {
		if s.Type != "command" {
			dumps, err := dumps(ctx, s)
			if err != nil {
				return nil, err
			}
			list = append(list, dumps...)
			continue
		}
		list = append(list, stream.Source{
			Name: StreamFile(s), Args: stream.Shell(s.Options["command"]), Program: "command",
			Compress: s.Options["compress"] == "zstd", AllowEmpty: s.Section.Bool("allow_empty"), Timeout: s.Section.Duration("timeout"),
		})
	}
	return list, nil
}

// dumps are the streams of one section that describes a database: one for each
// database that is there now.
func dumps(ctx context.Context, s plan.Stream) (list []stream.Source, err error) {
	db, err := databaseOf(s.Name, s.Type, s.Options)
	if err != nil {
		return nil, err
	}
	found, err := db.Dumps(ctx)
	if err != nil {
		return nil, err // which names the stream
	}
	for _, d := range found {
		source := stream.Source{
			Name: d.Name, Write: d.Write, Program: s.Type,
			AllowEmpty: s.Section.Bool("allow_empty"), Timeout: s.Section.Duration("timeout"),
		}
		list = append(list, source)
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
