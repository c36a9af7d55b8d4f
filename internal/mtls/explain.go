package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// alerts are the words of crypto/tls for what the other end has sent before it
// closed the connection (RFC 8446, 6.2).
var alerts = []struct{ word, meaning string }{
	{"tls: certificate required", "the other host wants a certificate, and got none; set tls_cert and tls_key"},
	{"tls: expired certificate", "the other host has refused our certificate: it has expired, or is not valid yet; renew it, or see to the clocks"},
	{"tls: unknown certificate authority", "the other host has refused our certificate: its tls_ca is not the authority that issued it"},
	{"tls: bad certificate", "the other host has refused our certificate: it does not admit the name in it, or finds something else wrong with it; its log tells more"},
	{"tls: unsupported certificate", "the other host has refused our certificate: it is not for this use"},
	{"tls: protocol version not supported", "the other host speaks an older version of TLS; 1.3 is needed"},
}

// Refused reports whether the other end of a TLS connection has refused it.
func Refused(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error"
}

// Explain puts an error of a TLS connection into words that say which end's
// certificate is refused, and why. Any other error comes back as it is.
func Explain(err error) error {
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		for _, a := range alerts {
			if strings.HasSuffix(remote.Err.Error(), a.word) {
				return fmt.Errorf("%s (%w)", a.meaning, err)
			}
		}
		return err
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("certificate of %s: valid from %s to %s only; it has to be renewed, or a clock is wrong", Title(invalid.Cert),
			invalid.Cert.NotBefore.Local().Format(day), invalid.Cert.NotAfter.Local().Format(day))
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) && unknown.Cert != nil {
		return fmt.Errorf("certificate of %s: not issued by our tls_ca but by %q", Title(unknown.Cert), unknown.Cert.Issuer.CommonName)
	}
	return err
}

const day = "2006-01-02 15:04"
