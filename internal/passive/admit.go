package passive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// lookupLimit is how long the address of an admitted host is looked for.
const lookupLimit = 10 * time.Second

// lookup resolves a host by this host's resolver, in both families.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// hostsAt are the admitted hosts that have an address. The error says why there
// are none. Names are resolved each time: addresses change.
func (s *Server) hostsAt(ctx context.Context, remote net.Addr) ([]string, error) {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("%v is no address of TCP", remote)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	client := plainAddr(tcp.AddrPort().Addr())
	var hosts []string
	var errs []error
	for _, host := range s.Hosts {
		addrs, err := s.addresses(ctx, host)
		if err != nil {
			errs = append(errs, fmt.Errorf("the address of %s: %w", host, err))
		}
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return plainAddr(a) == client }) {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) > 0 {
		return hosts, nil
	}
	return nil, errors.Join(append([]error{fmt.Errorf("that is not the host that may fetch, %s", named(s.Hosts))}, errs...)...)
}

func (s *Server) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return s.Lookup(ctx, host)
}

// plainAddr is an address in the one form that can be compared: no IPv4 within
// IPv6, no zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func named(hosts []string) string {
	if len(hosts) == 0 {
		return "which is nobody"
	}
	text := hosts[0]
	for _, h := range hosts[1:] {
		text += " or " + h
	}
	return text
}
