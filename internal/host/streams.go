package host

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"b1000/internal/config"
	"b1000/internal/database"
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

// Streams says, for people, what a run would store as streams, a line each.
// Nothing is asked of a database for that.
func Streams(p *plan.Run) (list []string) {
	for _, s := range p.Streams {
		if s.Type == "command" {
			list = append(list, fmt.Sprintf("%s: what is written by %s", StreamFile(s), s.Options["command"]))
			continue
		}
		what := cmp.Or(s.Options["path"], s.Options["db"], "all databases")
		if tables := s.Options["tables"]; tables != "" {
			what += " (" + tables + ")"
		}
		list = append(list, fmt.Sprintf("%s: %s by %s", StreamFile(s), what, s.Type))
	}
	for _, path := range p.ReadFIFO {
		list = append(list, "what comes out of "+path)
	}
	if p.ReadAllFIFOs {
		list = append(list, "what comes out of each FIFO that is there then")
	}
	return list
}

// DumpPrograms tells what the streams of a job need on this host and lack.
func (*Host) DumpPrograms(j *config.Job) (errs []error) {
	for _, s := range j.Streams {
		if err := database.Missing(s.Text("type")); err != nil {
			errs = append(errs, fmt.Errorf("stream %q: %w", s.Name, err))
		}
	}
	return errs
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
