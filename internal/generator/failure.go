package generator

import (
	"strings"

	"b1000/internal/unit"
)

// Unreadable are the units that say why the configuration at path, below root,
// cannot be read.
func Unreadable(path, root string, err error) *unit.Tree {
	t := &unit.Tree{}
	text := strings.ReplaceAll(err.Error(), path, below(root, path))
	addFailure(t, below(root, path), strings.Split(text, "\n"))
	return t
}

// addFailure adds the unit that fails with the faults. The message is its
// standard input, where nothing in it can become a command.
func addFailure(t *unit.Tree, source string, faults []string) {
	f := &unit.File{}
	f.Comment("Made by b1000-generator.")
	f.Section("Unit")
	f.Set("Description", "Configuration of backups")
	setSource(f, source)
	f.Section("Service")
	f.Set("Type", "oneshot")
	f.Set("SyslogIdentifier", "b1000")
	f.Set("SyslogLevel", "err")
	f.Set("StandardInput", "data")
	for _, fault := range faults {
		f.Set("StandardInputText", unit.Input(fault))
	}
	f.Set("StandardInputText", "Repair it, see that b1000ctl check is content, then: b1000ctl reload")
	f.Set("ExecStart", "/bin/sh -c 'cat >&2; exit 2'")
	t.File(ConfigService, f.String())
	t.Link("multi-user.target.wants/"+ConfigService, "../"+ConfigService)
}
