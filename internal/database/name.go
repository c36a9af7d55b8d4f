package database

import (
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

// stored is the name that the dump of a database is stored as.
func (s Settings) stored(db, suffix string) string {
	if s.One {
		return s.Base
	}
	return path.Join(s.Base, escape(db)+suffix)
}

// place reads a stored name back: what stands below whatever base is the
// database. Of the one dump that has a name of its own the settings tell.
func (s Settings) place(stored, as, suffix, global string) (Place, error) {
	base := path.Base(stored)
	if global != "" && base == globalMark+global {
		if as != "" {
			return Place{}, s.fault(fmt.Errorf("%s: holds users, which cannot be restored under another name", stored))
		}
		return Place{Global: true}, nil
	}
	p := Place{}
	switch text, ok := strings.CutSuffix(base, suffix); {
	case s.One && stored == s.Base:
		p.From = s.DBs[0]
	case ok && text != "" && !strings.HasPrefix(text, globalMark):
		name, err := url.PathUnescape(text)
		if err != nil {
			return Place{}, s.fault(fmt.Errorf("%s: is not the name of a dump: %w", stored, err))
		}
		p.From = name
	case as == "":
		return Place{}, s.fault(fmt.Errorf("%s: does not tell which database it is of; say --as NAME", stored))
	}
	p.DB = p.From
	if as != "" {
		p.DB = as
	}
	return p, nil
}
