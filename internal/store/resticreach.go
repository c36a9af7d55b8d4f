package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"b1000/internal/mtls"
)

// reachLimit is how long the server of a repository may take to answer.
const reachLimit = 20 * time.Second

// reach connects to the server of a rest: repository and looks at its
// certificate, and lets it look at ours. What is wrong with them restic would
// not say: it would try again for a quarter of an hour.
func (s *resticStore) reach(ctx context.Context) error {
	place, ok := strings.CutPrefix(s.Repository, "rest:")
	if !ok {
		return nil
	}
	u, err := url.Parse(place)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("restic: repository %s names no host; write rest:https://host:port/path/", s.Repository)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reachLimit, fmt.Errorf("no answer within %v", reachLimit))
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	if os.Getenv("HTTPS_PROXY") != "" || os.Getenv("https_proxy") != "" {
		return nil // who is behind it is not to be reached from here
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return s.unreachable(ctx, err)
	}
	defer raw.Close()
	if u.Scheme != "https" {
		return nil
	}
	config, err := s.tlsConfig(u.Hostname())
	if err != nil {
		return err
	}
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return s.unreachable(ctx, mtls.Explain(err))
	}
	return s.admitted(ctx, c, u)
}

// admitted asks for anything: with TLS 1.3 a server refuses a certificate only
// after the handshake, in place of its first answer.
func (s *resticStore) admitted(ctx context.Context, c *tls.Conn, u *url.URL) error {
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(end)
	}
	_, err := fmt.Fprintf(c, "HEAD %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", (&url.URL{Path: "/" + strings.Trim(u.Path, "/") + "/config"}).EscapedPath(), u.Host)
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		return s.unreachable(ctx, mtls.Explain(err))
	}
	return nil // anything else restic finds out by itself
}

func (s *resticStore) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("restic: %s cannot be reached: %w", s.Repository, err)
}

// tlsConfig is what restic does: the system's authorities, unless there is tls_ca.
func (s *resticStore) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.TLS.CA != "" {
		text, err := os.ReadFile(s.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate", s.TLS.CA)
		}
	}
	if s.TLS.Cert != "" {
		cert, err := tls.LoadX509KeyPair(s.TLS.Cert, s.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert %s, tls_key %s: %w", s.TLS.Cert, s.TLS.Key, err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return config, nil
}
