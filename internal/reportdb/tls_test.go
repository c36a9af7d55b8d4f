package reportdb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/reportdb/mariadbtest"
)

// selfSigned makes a certificate for 127.0.0.1 that is its own authority, and
// returns the files of certificate and key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "database"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := selfSigned(t)
	other, _ := selfSigned(t)
	t.Setenv("SSL_CERT_FILE", cert) // the system's authorities, read when first needed
	server := mariadbtest.Start(t, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=ON")
	name, _ := server.Database(t)
	for _, tc := range []struct {
		name, tls, server string
		want              string // in the error, "" for none
	}{
		{"known to the system", "required", "127.0.0.1", ""},
		{"the same in another word", "yes", "127.0.0.1", ""},
		{"own authority", cert, "127.0.0.1", ""},
		{"not asked who it is", "skip-verify", "127.0.0.1", ""},
		{"plain", "", "127.0.0.1", "access denied for user admin"},
		{"unknown authority", other, "127.0.0.1", "tls: x509: certificate signed by unknown authority"},
		{"another name", cert, "localhost", "tls: x509: certificate is not valid for any names"},
		{"no certificate in the file", key, "127.0.0.1", "holds no certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := settingsFor(server, name)
			s.TLS, s.Server = tc.tls, tc.server
			db, err := Open(t.Context(), s)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error = %v, want one with %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var cipher string
			if err := db.db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(new(string), &cipher); err != nil || cipher == "" {
				t.Errorf("cipher %q, %v, want one", cipher, err)
			}
		})
	}
}
