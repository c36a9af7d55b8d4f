package generator

import (
	"slices"

	"b1000/internal/unit"
)

// wanted are the units that are started at boot, by the target that starts them.
type wanted struct{ timers, sockets []string }

// add adds what makes the targets start them: a drop-in of the target instead of
// a link for each unit in its .wants directory. To systemd it is the same, and
// ten thousand links less are a fifth of the time that a generator needs.
func (w wanted) add(t *unit.Tree) {
	addWants(t, "timers.target", w.timers)
	addWants(t, "sockets.target", w.sockets)
}

func addWants(t *unit.Tree, target string, units []string) {
	if len(units) == 0 {
		return
	}
	slices.Sort(units)
	f := &unit.File{}
	f.Comment("Made by b1000-generator.")
	f.Section("Unit")
	for _, name := range units {
		f.Set("Wants", name)
	}
	t.File(target+".d/"+dropIn, f.String())
}
