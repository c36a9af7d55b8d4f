package storage

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// rooms shares out the places of transfers that are served at once. One client
// gets half of them at most; of those that wait the one with the fewest is next,
// so that a client with a hundred transfers does not keep others out.
type rooms struct {
	mu      sync.Mutex
	total   int
	used    int
	running map[string]int // by client
	waiting []*waiter      // in the order of their coming
}

type waiter struct {
	client string
	turn   chan struct{}
}

func newRooms(total int) *rooms { return &rooms{total: total, running: map[string]int{}} }

// share is what one client may have.
func (r *rooms) share() int { return (r.total + 1) / 2 }

// enter waits for a place until ctx ends. leave gives it back; it may be called
// several times.
func (r *rooms) enter(ctx context.Context, client string) (leave func(), ok bool) {
	w := &waiter{client: client, turn: make(chan struct{})}
	r.mu.Lock()
	r.waiting = append(r.waiting, w)
	r.next()
	r.mu.Unlock()
	select {
	case <-w.turn:
	case <-ctx.Done():
		if r.withdraw(w) {
			return nil, false
		}
	}
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used--
		if r.running[client]--; r.running[client] == 0 {
			delete(r.running, client)
		}
		r.next()
	}), true
}

// withdraw takes back a wish, if it has not been granted.
func (r *rooms) withdraw(w *waiter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.waiting {
		if other == w {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// next lets in who is next, as long as there is room.
func (r *rooms) next() {
	for r.used < r.total {
		best := -1
		for i, w := range r.waiting {
			if n := r.running[w.client]; n < r.share() && (best < 0 || n < r.running[r.waiting[best].client]) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		w := r.waiting[best]
		r.waiting = append(r.waiting[:best], r.waiting[best+1:]...)
		r.used++
		r.running[w.client]++
		close(w.turn)
	}
}

// count tells how many are served and how many wait.
func (r *rooms) count() (used, waiting int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used, len(r.waiting)
}

// roomLimit is how long a client waits for a place before it is told to ask
// again.
const roomLimit = 15 * time.Second

// room waits for a place among the transfers that are served at once.
func (s *Server) room(ctx context.Context, c *client) (free func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	free, ok := s.rooms.enter(ctx, c.name)
	if !ok {
		used, waiting := s.rooms.count()
		return nil, &refusal{status: http.StatusServiceUnavailable, after: 1,
			text: fmt.Sprintf("%d transfers are being served already (max_clients = %d, half of them for one client at most), and %d wait", used, s.Transfers, waiting+1)}
	}
	return free, nil
}
