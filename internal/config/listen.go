package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ParseListen takes an address to listen on apart: 8730, :8730, 192.0.2.1:8730 or
// [2001:db8::1]:8730. host is "" for all addresses of both families. Names are
// refused: what they stand for may not be known yet when the host boots.
func ParseListen(text string) (host, port string, err error) {
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	host, port, err = net.SplitHostPort(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is not a port, or an address and a port such as 192.0.2.1:8730", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q is not a port, 1 to 65535", port)
	}
	if addr, err := netip.ParseAddr(host); host != "" && (err != nil || addr.Zone() != "") {
		return "", "", fmt.Errorf("%q is not an address; leave it out to listen on all", host)
	}
	return host, port, nil
}

// checkPassive looks at what a passive or pulling job says of its connection.
func (j *Job) checkPassive() {
	s := j.section
	if j.Listen != "" {
		if _, _, err := ParseListen(j.Listen); err != nil {
			s.fault("listen", err.Error())
		}
	}
	if j.OnDemand && j.Listen == "" {
		s.fault("on_demand", "needs listen, without which no connection is seen")
	}
	if j.Share != "" && j.Listen == "" {
		s.fault("share", "needs listen, without which nothing is served")
	}
	tls := [...]struct{ key, value string }{{"tls_cert", j.TLSCert}, {"tls_key", j.TLSKey}, {"tls_ca", j.TLSCA}}
	for _, t := range tls {
		any := j.TLSCert + j.TLSKey + j.TLSCA
		switch {
		case any == "":
		case t.value == "":
			s.fault(t.key, "missing; tls_cert, tls_key and tls_ca belong together")
		case j.Direction == "passive" && j.Listen == "":
			s.fault(t.key, "needs listen, without which nothing is served")
		}
	}
}
