// Package mtlstest is a certificate authority for tests.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Maker is an authority that signs whatever it is asked to.
type Maker struct {
	File string // its certificate, PEM

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CA is a Maker for one test.
type CA struct{ Maker }

// New makes an authority with files of its own.
func New(tb testing.TB, name string) *CA {
	tb.Helper()
	m, err := Make(tb.TempDir(), name)
	must(tb, err)
	return &CA{m}
}

// Make makes an authority whose files are in dir.
func Make(dir, name string) (Maker, error) {
	ca := Maker{dir: dir, File: filepath.Join(dir, "ca.pem")}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return ca, err
	}
	number, err := serial()
	if err != nil {
		return ca, err
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		return ca, err
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return ca, err
	}
	return ca, write(ca.File, "CERTIFICATE", der)
}

// Issue makes a certificate and its key, for either end of a connection. edit may
// be nil.
func (ca *CA) Issue(tb testing.TB, name string, edit func(*x509.Certificate)) (cert, key string) {
	tb.Helper()
	cert, key, err := ca.Sign(name, edit)
	must(tb, err)
	return cert, key
}

// Sign is Issue without a test.
func (ca Maker) Sign(name string, edit func(*x509.Certificate)) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	number, err := serial()
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, private.Public(), ca.key)
	if err != nil {
		return "", "", err
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	base := filepath.Join(ca.dir, template.SerialNumber.String())
	return base + ".pem", base + ".key", errors.Join(write(base+".pem", "CERTIFICATE", der), write(base+".key", "PRIVATE KEY", text))
}

// Address makes a certificate that of an address as well, where name is one.
func Address(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = []net.IP{ip}
		}
	}
}

// Expired makes a certificate one that was valid until an hour ago.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func serial() (*big.Int, error) { return rand.Int(rand.Reader, big.NewInt(1<<62)) }

func write(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
