package database

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// escape makes one element of a path of a database's name: what could be taken
// for something else is written as %XX.
func escape(name string) string {
	e := strings.ReplaceAll(url.PathEscape(name), "+", "%2B")
	if strings.HasPrefix(e, ".") {
		e = "%2E" + e[1:]
	}
	return e
}

// partMark stands in the name of a dump that holds some tables only.
const partMark = "+tables"

// stored is the name that the dump of a database is stored as.
func (s Settings) stored(db, suffix string) string {
	switch {
	case s.One:
		return s.Base
	case len(s.Only) > 0:
		suffix = partMark + suffix
	}
	return path.Join(s.Base, escape(db)+suffix)
}

// place reads a stored name back: what stands below whatever base is the
// database. Of the one dump that has a name of its own the settings tell.
func (s Settings) place(stored, as, suffix, global string) (Place, error) {
	base := path.Base(stored)
	p := Place{}
	name, ok := strings.CutSuffix(base, suffix)
	switch {
	case global != "" && base == globalMark+global:
		if as != "" {
			return p, s.fault(fmt.Errorf("%s: holds users, which cannot be restored under another name", stored))
		}
		return Place{Global: true}, nil
	case s.One && stored == s.Base:
		p.From, p.Part = s.DBs[0], len(s.Only) > 0
	case ok && name != "" && !strings.HasPrefix(name, globalMark):
		name, p.Part = strings.CutSuffix(name, partMark)
		var err error
		if p.From, err = url.PathUnescape(name); err != nil {
			return p, s.fault(fmt.Errorf("%s: is not the name of a dump: %w", stored, err))
		}
	case as == "":
		return p, s.fault(fmt.Errorf("%s: does not tell which database it is of; say --as NAME", stored))
	}
	p.DB = cmp.Or(as, p.From)
	return p, nil
}
