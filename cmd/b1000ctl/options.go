package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"b1000/internal/config"
)

// optionDoc is one option of the configuration, in JSON.
type optionDoc struct {
	Section string   `json:"section"`
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	For     []string `json:"for"`      // the directions or types that it is for; empty for all
	Needed  []string `json:"required"` // those that must have it
	Default string   `json:"default"`
	Values  []string `json:"values"` // of an enumeration
	Doc     string   `json:"doc"`
}

func (a *app) optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "options [SECTION]", Short: "What can stand in the configuration",
		Long: `Prints every option of the configuration, or those of one kind of section, with
its default and what it means. A "!" marks those that must be there.` + statusHelp,
		Example:   "  b1000ctl options job\n  b1000ctl options dest --json",
		Args:      takes(0, 1, ""),
		ValidArgs: config.Kinds(),
		RunE:      do(a.options),
	}
}

func (a *app) options(_ context.Context, args []string) error {
	kinds := config.Kinds()
	if len(args) == 1 {
		if !slices.Contains(kinds, args[0]) {
			return usage("section %q is not known; there is %s", args[0], strings.Join(kinds, ", "))
		}
		kinds = args
	}
	all := []optionDoc{}
	for _, kind := range kinds {
		for _, o := range config.Options(kind) {
			all = append(all, optionDoc{kind, o.Name, string(o.Kind), words(o.In), words(o.Need), o.Default, words(o.Values), o.Doc})
		}
	}
	return a.print(all, func(w io.Writer) {
		for _, kind := range kinds {
			fmt.Fprintf(w, "[%s]\n", kind)
			var rows [][]string
			for _, o := range all {
				if o.Section == kind {
					rows = append(rows, o.row())
				}
			}
			table(w, rows)
			fmt.Fprintln(w)
		}
	})
}

// row is the option for people.
func (o optionDoc) row() []string {
	name, doc := "  "+o.Name, o.Doc
	if len(o.Needed) > 0 {
		name = "! " + o.Name
	}
	if len(o.For) > 0 {
		doc = strings.Join(o.For, ", ") + ": " + doc
	}
	if len(o.Values) > 0 {
		doc += " (" + strings.Join(o.Values, ", ") + ")"
	}
	if o.Default != "" {
		doc += " [" + o.Default + "]"
	}
	return []string{name, doc}
}

// words is never nil: JSON has a list for it.
func words(s string) []string { return append([]string{}, strings.Fields(s)...) }
