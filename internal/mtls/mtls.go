// Package mtls holds the TLS settings of both ends of a connection between two
// hosts: TLS 1.3 with a certificate on either side, who is admitted, and what a
// refusal means. It knows no protocol above TLS and may import no package of
// this module.
package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Files are the PEM files of one end: its certificate (with intermediate ones
// after it), its private key, and the authority that the other end's certificate
// must come from.
type Files struct{ Cert, Key, CA string }

// Set reports whether anything is named at all.
func (f Files) Set() bool { return f != Files{} }

// Identity is one end's certificate, key and authority, read again when the
// files change. It may be used by several goroutines.
type Identity struct {
	files  Files
	report func(error)

	mu     sync.Mutex
	loaded loaded
	seen   [3]stamp // of the files that were last tried
}

type loaded struct {
	cert tls.Certificate
	ca   *x509.CertPool
}

// stamp tells a file from the one that was there before, also from one of the
// same moment and size that another has been renamed over.
type stamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

// Open reads the files; an error names the one at fault. Later, when they have
// changed and are at fault, the pair that was read before stays in use, and
// report is told; it may be nil.
func Open(f Files, report func(error)) (*Identity, error) {
	if f.Cert == "" || f.Key == "" || f.CA == "" {
		return nil, errors.New("tls_cert, tls_key and tls_ca belong together; set all three")
	}
	seen := f.stamps()
	l, err := f.load()
	if err != nil {
		return nil, err
	}
	return &Identity{files: f, report: report, loaded: l, seen: seen}, nil
}

func (f Files) load() (loaded, error) {
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return loaded{}, fmt.Errorf("tls_cert %s, tls_key %s: %w", f.Cert, f.Key, err)
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return loaded{}, fmt.Errorf("tls_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return loaded{}, fmt.Errorf("tls_ca: %s holds no certificate", f.CA)
	}
	return loaded{cert: cert, ca: pool}, nil
}

func (f Files) stamps() (s [3]stamp) {
	for i, path := range []string{f.Cert, f.Key, f.CA} {
		if info, err := os.Stat(path); err == nil {
			s[i] = stamp{modified: info.ModTime(), size: info.Size()}
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				s[i].inode = st.Ino
			}
		}
	}
	return s
}

// current is what the files hold now, or held when they were last in order.
func (i *Identity) current() loaded {
	i.mu.Lock()
	defer i.mu.Unlock()
	seen := i.files.stamps()
	if seen == i.seen {
		return i.loaded
	}
	i.seen = seen
	l, err := i.files.load()
	if err == nil {
		i.loaded = l
	} else if i.report != nil {
		i.report(fmt.Errorf("certificates have changed and are not usable; the former ones stay in use: %w", err))
	}
	return i.loaded
}

// Certificate is this end's own; nil where it cannot be told.
func (i *Identity) Certificate() *x509.Certificate { return i.current().cert.Leaf }

// Server are the settings of the end that is connected to. It admits peers whose
// certificate comes from the authority and bears one of the names; no names
// admit nobody.
func (i *Identity) Server(names []string) *tls.Config {
	return i.Admitting(func(cert *x509.Certificate) error {
		if Named(cert, names) == nil {
			return fmt.Errorf("certificate of %s: not admitted; wanted is %s", Title(cert), orNobody(names))
		}
		return nil
	})
}

// Admitting are the settings of an end that finds out for each peer whether it
// is admitted: admit gets a certificate that is valid and comes from the
// authority.
func (i *Identity) Admitting(admit func(*x509.Certificate) error) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := i.current()
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{now.cert},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: now.ca, SessionTicketsDisabled: true,
			VerifyConnection: func(s tls.ConnectionState) error { return admit(s.PeerCertificates[0]) },
		}, nil
	}}
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, " or ")
}

// Client are the settings of the end that connects to host. The certificate that
// it is shown must come from the authority and be that host's, by a name or
// address in it or by its common name.
func (i *Identity) Client(host string) *tls.Config {
	now := i.current()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host,
		// Also where it cannot please the server, which can then say whose it is.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &now.cert, nil },
		InsecureSkipVerify:   true, // VerifyConnection does it, and knows the common name too
		VerifyConnection: func(s tls.ConnectionState) error {
			cert := s.PeerCertificates[0]
			chain := x509.VerifyOptions{Roots: now.ca, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			for _, c := range s.PeerCertificates[1:] {
				chain.Intermediates.AddCert(c)
			}
			if _, err := cert.Verify(chain); err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
			}
			if Named(cert, []string{host}) == nil && cert.VerifyHostname(host) != nil {
				return fmt.Errorf("certificate of %s: not that of %s", Title(cert), host)
			}
			return nil
		},
	}
}

// Named are those of the names that a certificate bears, as its common name or
// one of its DNS names. Letters of either case are equal; there are no wildcards.
func Named(cert *x509.Certificate, names []string) (found []string) {
	for _, name := range names {
		for _, own := range append([]string{cert.Subject.CommonName}, cert.DNSNames...) {
			if name != "" && strings.EqualFold(name, own) {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

// Title names a certificate in messages.
func Title(cert *x509.Certificate) string {
	switch {
	case cert.Subject.CommonName != "":
		return fmt.Sprintf("%q", cert.Subject.CommonName)
	case len(cert.DNSNames) > 0:
		return fmt.Sprintf("%q", cert.DNSNames[0])
	}
	return "nobody by name, number " + cert.SerialNumber.String()
}
