package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxNamed is how many paths an error or a result names.
const maxNamed = 10

// run is one call of Link.
type run struct {
	ctx      context.Context // lives as long as the call
	opt      Options
	includes []*include
	bases    []int // descriptors of opt.Bases
	target   int
	targetID inode
	root     bool
	modern   bool // listxattrat

	used   used
	unsure unsure
	copied bool // the target is the first base as well, see Accept
	groups groups
	rest   *restList
	out    *offering // of Offer, which has no target and no bases here

	tasks  chan *dir // directories that any worker may take
	active sync.WaitGroup
	done   atomic.Int64
	stop   atomic.Bool

	mu       sync.Mutex // what follows
	result   Result
	err      error   // what ended the run
	bad      []error // what could not be read
	badCount int
	reported int64
	telling  bool
}

// unsure are regular files of least bytes or more, in bases from one on, which are
// not taken for what they look like; none where least is 0.
type unsure struct {
	from  int
	least uint64
}

// include is a Source that has been checked.
type include struct {
	Source
	above string // the directory that Name is below; "/" or without a slash at the end
	mark  string // what stands before a name in the list: "usr/local/./"
}

// inode identifies a file.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Statx_t) inode {
	return inode{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
}

func open(ctx context.Context, opt Options) (*run, error) {
	if opt.Workers <= 0 {
		opt.Workers = min(4, runtime.NumCPU())
	}
	r := &run{ctx: ctx, opt: opt, target: -1, root: unix.Geteuid() == 0}
	if len(opt.Bases) == 0 {
		return nil, errors.New("bases are needed")
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if err := r.openTrees(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// prepare checks the options and makes what the walk needs.
func (r *run) prepare() error {
	if err := r.check(); err != nil {
		return err
	}
	r.rest = newRestList(r.opt.Rest)
	r.tasks = make(chan *dir, 2*r.opt.Workers)
	return nil
}

// openTrees opens the target and the bases.
func (r *run) openTrees() (err error) {
	if r.target, err = unix.Open(r.opt.Target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("target %s: %w", r.opt.Target, err)
	}
	var st unix.Statx_t
	if err := statFD(r.target, &st); err != nil {
		return fmt.Errorf("target %s: %w", r.opt.Target, err)
	}
	r.targetID = inodeOf(&st)
	r.modern = hasListAt(r.target)
	for _, p := range r.opt.Bases {
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("base %s: %w", p, err)
		}
		r.bases = append(r.bases, fd)
		if err := statFD(fd, &st); err != nil {
			return fmt.Errorf("base %s: %w", p, err)
		}
		if inodeOf(&st) == r.targetID && !r.copied {
			return fmt.Errorf("base %s is the target", p)
		}
	}
	return nil
}

// check looks at the options and works out the includes.
func (r *run) check() error {
	o := &r.opt
	if len(o.Sources) == 0 || o.Rest == nil {
		return errors.New("sources and rest are needed")
	}
	if len(o.BaseTimes) != 0 && len(o.BaseTimes) != len(o.Bases) {
		return errors.New("base times do not match the bases")
	}
	for _, s := range o.Sources {
		if !path.IsAbs(s.Path) || path.Clean(s.Path) != s.Path || strings.Contains(s.Path, "\x00") {
			return fmt.Errorf("source %q: the path is not absolute and clean", s.Path)
		}
		above := s.Path
		if s.Name != "." {
			var ok bool
			above, ok = strings.CutSuffix(s.Path, "/"+s.Name)
			if !ok || s.Name == "" {
				return fmt.Errorf("source %q: name %q is not its last part", s.Path, s.Name)
			}
			if above == "" {
				above = "/"
			}
		}
		mark := strings.TrimPrefix(above, "/")
		if mark != "" {
			mark += "/"
		}
		r.includes = append(r.includes, &include{Source: s, above: above, mark: mark + "./"})
	}
	return r.overlap()
}

// overlap drops an include that lies inside another one, and refuses two
// different things in one place.
func (r *run) overlap() error {
	var keep []*include
	for i, a := range r.includes {
		inside := false
		for j, b := range r.includes {
			if i == j || !within(a.Name, b.Name) {
				continue
			}
			if a.above != b.above {
				return fmt.Errorf("sources %s and %s: the same place in the snapshot", a.Path, b.Path)
			}
			inside = inside || a.Name != b.Name || j < i
		}
		if !inside {
			keep = append(keep, a)
		}
	}
	r.includes = keep
	return nil
}

// within tells whether name is of or below dir.
func within(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

func (r *run) close() {
	for _, fd := range append(r.bases, r.target) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// fail ends the run.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.stop.Store(true)
}

// failure is what has ended the run.
func (r *run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// stopped tells whether to give up; it looks at the context too.
func (r *run) stopped() bool {
	if r.stop.Load() {
		return true
	}
	if r.ctx.Err() != nil {
		r.fail(context.Cause(r.ctx))
		return true
	}
	return false
}

// unreadable takes note of what could not be read.
func (r *run) unreadable(p string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.badCount++; len(r.bad) < maxNamed {
		r.bad = append(r.bad, fmt.Errorf("%s: %w", p, err))
	}
}

// vanished takes note of what is no longer there.
func (r *run) vanished(p string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.result.Vanished++; len(r.result.VanishedPaths) < maxNamed {
		r.result.VanishedPaths = append(r.result.VanishedPaths, p)
	}
}

// finish closes the books: groups without a base go to rsync, and everything
// that went wrong is told.
func (r *run) finish() error {
	if r.err != nil {
		return r.err
	}
	k := worker{run: r}
	for _, x := range r.groups.leftOver() {
		k.nameToRest(x)
	}
	r.result.add(&k.n)
	if r.err != nil {
		return r.err
	}
	return r.finishList()
}

// finishList tells what went wrong on the way, and whether the list is whole.
func (r *run) finishList() error {
	if err := r.rest.flush(); err != nil {
		return fmt.Errorf("list for rsync: %w", err)
	}
	if r.badCount > len(r.bad) {
		r.bad = append(r.bad, fmt.Errorf("and %d more", r.badCount-len(r.bad)))
	}
	return errors.Join(r.bad...)
}

// tell reports progress, if it is time.
func (r *run) tell(n int64) {
	done := r.done.Add(n)
	if r.opt.Progress == nil {
		return
	}
	r.mu.Lock()
	if r.telling || done < r.reported+1000 {
		r.mu.Unlock()
		return
	}
	r.telling, r.reported = true, done
	r.mu.Unlock()
	r.opt.Progress(done)
	r.mu.Lock()
	r.telling = false
	r.mu.Unlock()
}
