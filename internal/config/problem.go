package config

import (
	"fmt"
	"strings"
)

// Problem is one fault of the configuration. Line is 0 where the file as a whole
// is at fault, Section and Key are empty where none is. No message ever holds
// the value of a password.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Section string `json:"section,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

// String is "file:line: [section] key: message" without the parts that are empty.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Section != "" {
		fmt.Fprintf(&b, "[%s] ", p.Section)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Message
}

// Error makes a Problem an error with the same text.
func (p Problem) Error() string { return p.String() }
