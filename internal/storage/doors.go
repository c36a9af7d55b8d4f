package storage

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
)

// doors counts connections, so that nobody takes all that there can be: those of
// which nothing is known yet by their address, those of a client by its name.
type doors struct {
	mu      sync.Mutex
	unknown map[string]*queueOf // by address
	all     int
	clients map[string]int
}

// queueOf are the connections from one address of which it is not known yet who
// they are.
type queueOf struct {
	busy int
	line []chan struct{} // of those that wait, first come first
}

// How many connections there may be of which it is not known yet who they are:
// in all, those that are asked at once of one address, and those that wait there.
// Many hosts may be behind one address.
const (
	mostUnknown     = 2048
	mostFromAddress = 64
	mostInLine      = 512
)

func newDoors() *doors { return &doors{unknown: map[string]*queueOf{}, clients: map[string]int{}} }

// knock lets a connection try to say who it is, as soon as it is its turn among
// those from its address; done has to be called after.
func (d *doors) knock(ctx context.Context, conn net.Conn) (done func(), err error) {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		host = conn.RemoteAddr().String()
	}
	turn, err := d.join(host)
	if err != nil {
		return nil, err
	}
	if turn != nil {
		select {
		case <-turn:
		case <-ctx.Done():
			if d.withdraw(host, turn) {
				return nil, fmt.Errorf("%d others from there have not said in time who they are", mostFromAddress)
			}
		}
	}
	return sync.OnceFunc(func() { d.leave(host) }), nil
}

// join takes a place among those from an address, or one in their line.
func (d *doors) join(host string) (turn chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= mostUnknown {
		return nil, fmt.Errorf("who %d others are is not known yet", d.all)
	}
	q := d.unknown[host]
	if q == nil {
		q = &queueOf{}
		d.unknown[host] = q
	}
	switch {
	case q.busy < mostFromAddress:
		q.busy++
	case len(q.line) < mostInLine:
		turn = make(chan struct{})
		q.line = append(q.line, turn)
	default:
		return nil, fmt.Errorf("%d connections from there have not said yet who they are", q.busy+len(q.line))
	}
	d.all++
	return turn, nil
}

// withdraw leaves the line, unless its turn has come.
func (d *doors) withdraw(host string, turn chan struct{}) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.unknown[host]
	at := slices.Index(q.line, turn)
	if at < 0 {
		return false
	}
	q.line = slices.Delete(q.line, at, at+1)
	d.all--
	return true
}

// leave gives the place to who is next.
func (d *doors) leave(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	q := d.unknown[host]
	if len(q.line) > 0 {
		close(q.line[0])
		q.line = slices.Delete(q.line, 0, 1)
		return
	}
	if q.busy--; q.busy == 0 {
		delete(d.unknown, host)
	}
}

// enter counts a connection of a client, of which there may be most.
func (d *doors) enter(client string, most int) (done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.clients[client] >= most {
		return nil, fmt.Errorf("client %s has %d connections already", client, d.clients[client])
	}
	d.clients[client]++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.clients[client]--; d.clients[client] == 0 {
			delete(d.clients, client)
		}
	}), nil
}
