package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Authority is a small certificate authority: a directory with ca.pem, ca.key, and
// NAME.pem and NAME.key of each certificate. Keys can be read by their owner only;
// no file is ever written over, but for a certificate that is renewed.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// Lifetimes. A certificate that is not renewed in time stops backups, which is
// why all that looks at certificates warns before; see [Soon].
const (
	authorityLife   = 20 * 365 * 24 * time.Hour
	certificateLife = 3 * 365 * 24 * time.Hour
	backdate        = time.Hour // for hosts whose clock is slow
)

// authorityName is what the authority's files are called.
const authorityName = "ca"

var certName = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]{0,63}$`)

// NewAuthority makes an authority, in a directory that is made when missing.
func NewAuthority(dir, title string, now time.Time) (Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, err
	}
	a := Authority{dir: dir, key: key}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: title}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if a.cert, err = sign(template, template, key.Public(), key); err != nil {
		return Authority{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Authority{}, err
	}
	return a, writePair(dir, authorityName, a.cert, key)
}

// OpenAuthority reads an authority.
func OpenAuthority(dir string) (Authority, error) {
	a := Authority{dir: dir}
	var err error
	if a.cert, err = ReadCert(filepath.Join(dir, authorityName+".pem")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w\nhint: b1000ctl cert ca makes an authority", err)
		}
		return a, err
	}
	if a.key, err = readKey(filepath.Join(dir, authorityName+".key")); err != nil {
		return a, err
	}
	if own, ok := a.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !own.Equal(a.key.Public()) || !a.cert.IsCA {
		return a, fmt.Errorf("%s: ca.pem and ca.key do not belong together, or are not those of an authority", dir)
	}
	return a, nil
}

// Request is a certificate that is wanted.
type Request struct {
	Name   string   // common name, and what the files are called
	Names  []string // further DNS names and addresses
	Server bool     // for the end that is connected to; else for the one that connects
}

// Issue makes a certificate and its key.
func (a Authority) Issue(r Request, now time.Time) (Files, error) {
	if !certName.MatchString(r.Name) || r.Name == authorityName {
		return Files{}, fmt.Errorf("%q cannot be the name of a certificate; write letters, digits, and - _ . between them, 64 at most, and not %q", r.Name, authorityName)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, err
	}
	use := x509.ExtKeyUsageClientAuth
	if r.Server {
		use = x509.ExtKeyUsageServerAuth
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: r.Name}, ExtKeyUsage: []x509.ExtKeyUsage{use}, KeyUsage: x509.KeyUsageDigitalSignature}
	for _, name := range append([]string{r.Name}, r.Names...) {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if certName.MatchString(name) {
			template.DNSNames = append(template.DNSNames, name)
		} else {
			return Files{}, fmt.Errorf("%q is neither a host's name nor an address", name)
		}
	}
	cert, err := a.sign(template, key.Public(), now)
	if err != nil {
		return Files{}, err
	}
	return a.Files(r.Name), writePair(a.dir, r.Name, cert, key)
}

// Files are those of a certificate of that name.
func (a Authority) Files(name string) Files {
	return Files{Cert: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+".key"), CA: filepath.Join(a.dir, authorityName+".pem")}
}

// Renew makes a certificate anew, for the same key and names. The old one stays
// valid until its own end.
func (a Authority) Renew(name string, now time.Time) error {
	f := a.Files(name)
	old, err := ReadCert(f.Cert)
	if err != nil {
		return err
	}
	if name == authorityName {
		template := *old
		template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(authorityLife)
		renewed, err := sign(&template, &template, a.key.Public(), a.key)
		if err != nil {
			return err
		}
		return replaceCert(f.Cert, renewed)
	}
	if err := old.CheckSignatureFrom(a.cert); err != nil {
		return fmt.Errorf("%s: is not of this authority; the one that made it has to renew it", f.Cert)
	}
	template := &x509.Certificate{
		Subject: old.Subject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, ExtKeyUsage: old.ExtKeyUsage, KeyUsage: old.KeyUsage,
	}
	renewed, err := a.sign(template, old.PublicKey, now)
	if err != nil {
		return err
	}
	return replaceCert(f.Cert, renewed)
}

// sign signs what lives as long as certificates do, and no longer than the
// authority.
func (a Authority) sign(template *x509.Certificate, public crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	if now.After(a.cert.NotAfter) {
		return nil, fmt.Errorf("%s: the authority has expired; b1000ctl cert renew ca", a.dir)
	}
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(certificateLife)
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	return sign(template, a.cert, public, a.key)
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	const bits = 127 // RFC 5280, 4.1.2.2: at most 20 octets, and above zero
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = number
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ReadCert reads the first certificate of a PEM file.
func ReadCert(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: holds no certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

// readKey reads a private key, which has to be its owner's alone.
func readKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it; chmod 600 it, and make a new one if they have", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be read as a key", path)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: is a key that cannot sign", path)
	}
	return signer, nil
}
