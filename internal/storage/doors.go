package storage

import (
	"fmt"
	"net"
	"sync"
)

// doors counts connections, so that nobody takes all that there can be: those of
// which nothing is known yet by their address, those of a client by its name.
type doors struct {
	mu      sync.Mutex
	unknown map[string]int
	all     int
	clients map[string]int
}

// How many connections there may be of which it is not known yet who they are:
// in all, and from one address.
const (
	mostUnknown     = 1024
	mostFromAddress = 64
)

func newDoors() *doors { return &doors{unknown: map[string]int{}, clients: map[string]int{}} }

// knock lets a connection try to say who it is; done has to be called after.
func (d *doors) knock(conn net.Conn) (done func(), err error) {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		host = conn.RemoteAddr().String()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.all >= mostUnknown:
		return nil, fmt.Errorf("who %d others are is not known yet", d.all)
	case d.unknown[host] >= mostFromAddress:
		return nil, fmt.Errorf("%d connections from there have not said yet who they are", d.unknown[host])
	}
	d.all++
	d.unknown[host]++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all--
		if d.unknown[host]--; d.unknown[host] == 0 {
			delete(d.unknown, host)
		}
	}), nil
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
