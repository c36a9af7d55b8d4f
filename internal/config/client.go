package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// LoadClient reads one file of the storage server's clients_dir. It is named
// after the client and holds options of kind "client" without a section header,
// as ssl_peer_cn = web1. The error says that it cannot be read; a client with
// Problems must not be admitted.
func LoadClient(path string) (*Section, []Problem, error) {
	data, info, err := readFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("client: %w", err)
	}
	const header = "[client]\n"
	found := scan(append([]byte(header), data...))
	if len(found.sections) == 0 { // a file that is not text
		found.sections = []scannedSection{{title: "client", line: 1}}
	}
	for i := range found.sections[0].keys {
		found.sections[0].keys[i].line--
	}
	s := newSection(path, found.sections[0], os.Getenv(credentials))
	s.Kind, s.Name = "client", filepath.Base(path)
	for _, f := range found.faults {
		s.Problems = append(s.Problems, Problem{File: path, Line: f.line - 1, Message: f.message})
	}
	for _, other := range found.sections[1:] {
		s.Problems = append(s.Problems, Problem{File: path, Line: other.line - 1, Section: other.title, Message: "a client's file has no sections"})
	}
	if !ValidName(s.Name) {
		s.fault("", "a client's file is named as "+NamePattern)
	}
	if message := permissionFault(info, false); message != "" {
		s.Problems = append(s.Problems, Problem{File: path, Message: message})
	}
	s.check()
	return s, s.Problems, nil
}
