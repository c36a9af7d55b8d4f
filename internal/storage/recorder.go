package storage

import (
	"context"
	"sync"
)

// recorder orders those who write to the logs of digests: each log has one writer
// at a time, one backup after the other is recorded, and what is about to be
// deleted is recorded no more.
type recorder struct {
	turn chan struct{} // held by what is being recorded

	mu      sync.Mutex
	logs    map[string]*logLock   // by the directory of the job
	running map[string]*recording // by the directory of the backup
}

type logLock struct {
	held  chan struct{}
	users int // that have it, or wait for it
}

// recording is a backup whose digests are being taken, or are to be.
type recording struct {
	dir    string
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

func newRecorder() *recorder {
	return &recorder{turn: make(chan struct{}, 1), logs: map[string]*logLock{}, running: map[string]*recording{}}
}

// lock waits for the log of a job until ctx ends.
func (r *recorder) lock(ctx context.Context, job string) (unlock func(), err error) {
	r.mu.Lock()
	l := r.logs[job]
	if l == nil {
		l = &logLock{held: make(chan struct{}, 1)}
		r.logs[job] = l
	}
	l.users++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(r.logs, job)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// enter registers a backup that is to be recorded. From now on drop ends it.
func (r *recorder) enter(ctx context.Context, dir string) *recording {
	me := &recording{dir: dir, done: make(chan struct{})}
	me.ctx, me.cancel = context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[dir] = me
	return me
}

// record waits for its turn and for the log of the job, and then calls take,
// unless the backup is dropped before, which is no error.
func (r *recorder) record(me *recording, job string, take func(context.Context) error) error {
	defer r.leave(me)
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-me.ctx.Done():
		return nil
	}
	unlock, err := r.lock(me.ctx, job)
	if err != nil {
		return nil
	}
	defer unlock()
	if err := take(me.ctx); me.ctx.Err() == nil {
		return err
	}
	return nil
}

func (r *recorder) leave(me *recording) {
	me.cancel()
	r.mu.Lock()
	if r.running[me.dir] == me {
		delete(r.running, me.dir)
	}
	r.mu.Unlock()
	close(me.done)
}

// drop ends the recording of a backup that is about to be deleted, and returns
// when nothing is written for it any more.
func (r *recorder) drop(dir string) {
	r.mu.Lock()
	old := r.running[dir]
	r.mu.Unlock()
	if old != nil {
		old.cancel()
		<-old.done
	}
}
