// Package mtlstest is a certificate authority for tests.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is an authority that signs whatever it is asked to.
type CA struct {
	File string // its certificate, PEM

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority with files of its own.
func New(tb testing.TB, name string) *CA {
	tb.Helper()
	ca := &CA{dir: tb.TempDir(), key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	must(tb, err)
	ca.cert, err = x509.ParseCertificate(der)
	must(tb, err)
	ca.File = filepath.Join(ca.dir, "ca.pem")
	write(tb, ca.File, "CERTIFICATE", der)
	return ca
}

// Issue makes a certificate and its key, for either end of a connection. edit may
// be nil.
func (ca *CA) Issue(tb testing.TB, name string, edit func(*x509.Certificate)) (cert, key string) {
	tb.Helper()
	private := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, private.Public(), ca.key)
	must(tb, err)
	text, err := x509.MarshalPKCS8PrivateKey(private)
	must(tb, err)
	base := filepath.Join(ca.dir, template.SerialNumber.String())
	write(tb, base+".pem", "CERTIFICATE", der)
	write(tb, base+".key", "PRIVATE KEY", text)
	return base + ".pem", base + ".key"
}

// Expired makes a certificate one that was valid until an hour ago.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	return key
}

func serial(tb testing.TB) *big.Int {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(tb, err)
	return n
}

func write(tb testing.TB, path, kind string, der []byte) {
	must(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
