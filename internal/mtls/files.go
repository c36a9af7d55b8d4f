package mtls

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Soon is how long before its end a certificate is warned of.
const Soon = 30 * 24 * time.Hour

// Standing says for people how a certificate stands at a moment: "" where all is
// well, and whether it is of no use.
func Standing(cert *x509.Certificate, now time.Time) (text string, useless bool) {
	left := cert.NotAfter.Sub(now)
	switch {
	case now.Before(cert.NotBefore):
		return "is not valid before " + cert.NotBefore.Local().Format(day), true
	case left <= 0:
		return "has expired at " + cert.NotAfter.Local().Format(day), true
	case left < Soon:
		return fmt.Sprintf("expires in %d days, at %s; renew it", int(left.Hours()/24), cert.NotAfter.Local().Format(day)), false
	}
	return "", false
}

// writePair writes a new certificate and its key. Neither may be there.
func writePair(dir, name string, cert *x509.Certificate, key crypto.Signer) error {
	certFile, keyFile := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	if _, err := os.Lstat(certFile); err == nil {
		return exists(certFile)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeNew(keyFile, 0o600, "PRIVATE KEY", der); err != nil {
		return err
	}
	if err := writeNew(certFile, 0o644, "CERTIFICATE", cert.Raw); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

func exists(path string) error {
	return fmt.Errorf("%s: is there already, and is not written over; b1000ctl cert renew gives a certificate a new end", path)
}

// writeNew writes a file that is not there yet, whole or not at all.
func writeNew(path string, mode fs.FileMode, kind string, der []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return exists(path)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// replaceCert puts a certificate in the place of another, at once.
func replaceCert(path string, cert *x509.Certificate) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(temp, 0o644, "CERTIFICATE", cert.Raw); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
