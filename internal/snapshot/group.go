package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"golang.org/x/sys/unix"
)

// linkRoom is the number of links above which a base is not used for a group:
// a group must not be torn apart half way because the file system (ext4: 65000)
// allows no more.
const linkRoom = 60000

// used is the set of base inodes that are in the target. Each serves one file
// of the source: two files never become one.
type used struct {
	mu    sync.Mutex
	inode map[uint64]*roaring64.Bitmap // by device
}

// claim takes a base inode for good; false if it is taken.
func (u *used) claim(id inode) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.inode == nil {
		u.inode = map[uint64]*roaring64.Bitmap{}
	}
	b := u.inode[id.dev]
	if b == nil {
		b = roaring64.New()
		u.inode[id.dev] = b
	}
	return b.CheckedAdd(id.ino)
}

// has tells whether a base inode is taken.
func (u *used) has(id inode) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.inode[id.dev]
	return b != nil && b.Contains(id.ino)
}

// groups are the source files of several names that have not all been seen.
type groups struct {
	mu  sync.Mutex
	all map[inode]*group
}

// group is one source file. All its names become links of one base file, or
// all go to rsync. Which one is known when a name has been found in a base;
// the names seen before wait.
type group struct {
	mu    sync.Mutex
	is    version
	state verdict // waits: not known yet
	seen  uint32
	base  inode  // the base file
	at    string // a name of it in the target
	names []name // those that wait
}

// name is an entry by its path inside the snapshot.
type name struct {
	inc  *include
	path string
}

// version tells whether a file is as it was.
type version struct {
	size         uint64
	mtime, ctime unix.StatxTimestamp
	mode         uint16
}

func versionOf(st *unix.Statx_t) version {
	return version{st.Size, st.Mtime, st.Ctime, st.Mode}
}

// get returns the group of a file, which is new if it has none yet.
func (g *groups) get(id inode, st *unix.Statx_t) *group {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = map[inode]*group{}
	}
	x := g.all[id]
	if x == nil {
		x = &group{is: versionOf(st), state: waits}
		g.all[id] = x
	}
	return x
}

// forget drops a group whose names have all been seen.
func (g *groups) forget(id inode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, id)
}

// leftOver returns the names that still wait.
func (g *groups) leftOver() (names []name) {
	for _, x := range g.all {
		names = append(names, x.names...)
	}
	slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.path, b.path) })
	return names
}

// member decides about a name of a file that has several.
func (k *worker) member(d *dir, n []byte) verdict {
	id := inodeOf(&k.sa)
	g := k.groups.get(id, &k.sa)
	g.mu.Lock()
	defer g.mu.Unlock()
	if versionOf(&k.sa) != g.is {
		k.release(g)
		return toRest
	}
	if g.seen++; g.seen >= k.sa.Nlink {
		defer k.groups.forget(id)
	}
	switch g.state {
	case linked:
		if k.linkMember(g, d, n) != nil {
			g.state = toRest
		}
	case waits:
		k.seek(g, d, n)
	}
	if g.state == waits {
		if g.seen < k.sa.Nlink {
			g.names = append(g.names, name{d.inc, k.full(d, n)})
		} else {
			k.release(g)
		}
	}
	return g.state
}

// release hands the group to rsync, with the names that wait.
func (k *worker) release(g *group) {
	for _, x := range g.names {
		k.nameToRest(x)
	}
	g.names, g.state = nil, toRest
}

// nameToRest is toRest for a name that has waited. Its directory is there.
func (k *worker) nameToRest(x name) {
	where, last := cut(x.path)
	dst, err := descend(k.target, where, nil)
	if err != nil {
		k.fail(fmt.Errorf("target %s: %w", where, err))
		return
	}
	defer unix.Close(dst)
	if !k.standing(dst, cname(last)) {
		k.n.Rest++
		k.rest.put(x.inc, nil, []byte(x.path))
	}
}

// full returns the path of an entry inside the snapshot.
func (k *worker) full(d *dir, n []byte) string {
	p := k.path(d)
	if len(p) == 0 {
		return string(plain(n))
	}
	return string(p) + "/" + string(plain(n))
}

// seek looks for the base file of a group under this name.
func (k *worker) seek(g *group, d *dir, n []byte) {
	for i := range d.bases {
		if !k.same(d.bases[i], i, n, k.here(d, n)) || k.sb.Nlink+k.sa.Nlink > linkRoom || !k.used.claim(inodeOf(&k.sb)) || k.link(d, i, n) != nil {
			continue
		}
		g.state, g.base, g.at = linked, inodeOf(&k.sb), k.full(d, n)
		k.linkWaiting(g, d, n)
		return
	}
}

// linkWaiting links the names that waited to the one just linked. What cannot
// be linked goes to rsync. Nobody has changed the file between: its ctime is
// what it was.
func (k *worker) linkWaiting(g *group, d *dir, n []byte) {
	for _, x := range g.names {
		where, last := cut(x.path)
		to, err := descend(k.target, where, nil)
		if err == nil {
			err = k.linkTo(d.dst, n, to, cname(last), g.base)
			unix.Close(to)
		}
		if err == nil {
			k.n.Linked++
			k.n.LinkedBytes += sizeOf(&k.sa)
			continue
		}
		k.nameToRest(x)
	}
	g.names = nil
}

// linkMember links one more name to a group's base file, from the base if it has
// it under the same name, else from the target.
func (k *worker) linkMember(g *group, d *dir, n []byte) error {
	for i, fd := range d.bases {
		if fd >= 0 && statAt(fd, n, &k.sb) == nil && inodeOf(&k.sb) == g.base {
			return k.link(d, i, n)
		}
	}
	where, last := cut(g.at)
	from, err := descend(k.target, where, nil)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	return k.linkTo(from, cname(last), d.dst, n, g.base)
}

// cut splits a path before its last element.
func cut(p string) (dir, last string) {
	i := strings.LastIndexByte(p, '/')
	return p[:max(i, 0)], p[i+1:]
}
