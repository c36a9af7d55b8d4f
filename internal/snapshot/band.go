package snapshot

import (
	"encoding/binary"
)

// band is a source file of several names that is being offered. It is described
// once, with all its names, when they have been seen: the other side then
// links all of them to one file, or none.
type band struct {
	is    version
	bad   bool // it changes while it is looked at: its names go to rsync
	seen  uint32
	size  int64
	entry []byte
	names []name
}

// offerMember takes a name of a file that has several, k.sa.
func (k *worker) offerMember(d *dir, n []byte, size int64) {
	o := k.out
	id := inodeOf(&k.sa)
	o.bandMu.Lock()
	defer o.bandMu.Unlock()
	g := o.bands[id]
	if g == nil {
		g = &band{is: versionOf(&k.sa), size: size}
		var err error
		g.entry, err = describe(nil, &k.sa, k.here(d, n), &owner{}, maxInline)
		g.bad = err != nil
		o.bands[id] = g
	}
	g.bad = g.bad || g.is != versionOf(&k.sa)
	g.seen++
	switch {
	case g.bad:
		k.bandToRest(g)
		k.toRest(d, n)
	default:
		g.names = append(g.names, name{d.inc, k.full(d, n)})
	}
	if g.seen >= k.sa.Nlink {
		delete(o.bands, id)
		k.sendBand(g)
	}
}

// bandToRest hands the names seen so far to rsync.
func (k *worker) bandToRest(g *band) {
	for _, x := range g.names {
		k.n.Rest++
		k.rest.put(x.inc, nil, []byte(x.path))
	}
	g.names = nil
}

// sendBand offers a file of several names, if a frame can hold them.
func (k *worker) sendBand(g *band) {
	if len(g.names) == 0 {
		return
	}
	b := binary.AppendUvarint(append([]byte(nil), g.entry...), uint64(len(g.names)))
	for _, x := range g.names {
		if b = appendText(b, []byte(x.path)); len(b) > maxBody-binary.MaxVarintLen64 || len(x.path) > maxPath {
			k.bandToRest(g)
			return
		}
	}
	k.ask(frameGroup, &asked{band: g, held: len(b)}, b)
}

// leftBands offers the files that have names outside the sources.
func (k *worker) leftBands() {
	o := k.out
	o.bandMu.Lock()
	defer o.bandMu.Unlock()
	for id, g := range o.bands {
		delete(o.bands, id)
		if !k.stopped() {
			k.sendBand(g)
		}
	}
}
