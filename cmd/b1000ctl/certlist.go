package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"b1000/internal/mtls"
)

// certificate is one file of a directory of certificates, in JSON.
type certificate struct {
	Name  string   `json:"name"`
	File  string   `json:"file"`
	For   string   `json:"for"` // authority, server, client, server and client
	Names []string `json:"names"`
	Until moment   `json:"until"`
	State string   `json:"state"` // good, or what is wrong

	read    *x509.Certificate
	useless bool
}

// certs are the certificates of a directory, by name.
func certs(dir string, now time.Time) ([]certificate, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%w\nhint: b1000ctl cert ca makes an authority", err)
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.pem"))
	if err != nil {
		return nil, err
	}
	list := []certificate{}
	for _, file := range files {
		c := certificate{Name: strings.TrimSuffix(filepath.Base(file), ".pem"), File: file, Names: []string{}}
		if c.read, err = mtls.ReadCert(file); err != nil {
			c.State, c.useless = err.Error(), true
		} else {
			c.describe(now)
		}
		list = append(list, c)
	}
	return list, nil
}

// escapeGlob makes a directory a pattern that matches nothing else.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

func (c *certificate) describe(now time.Time) {
	c.Until = moment(c.read.NotAfter)
	c.Names = hostNames(c.Name, c.read.DNSNames, c.read.IPAddresses)
	var uses []string
	if c.read.IsCA {
		uses = append(uses, "authority")
	}
	for _, use := range c.read.ExtKeyUsage {
		switch use {
		case x509.ExtKeyUsageServerAuth:
			uses = append(uses, "server")
		case x509.ExtKeyUsageClientAuth:
			uses = append(uses, "client")
		}
	}
	c.For = strings.Join(uses, " and ")
	state, useless := mtls.Standing(c.read, now)
	c.State, c.useless = cmp.Or(state, "good"), useless
}

// handed are the directories of the credentials that the service manager hands to
// a listener, by the kind of its section; they are there while it is at work.
var handed = map[string]string{"storage": "/run/credentials/b1000-storage.service"}

// certificates looks at those that the configuration names. One that is about to
// end is a warning: what it is for will then stop.
func (c *checking) certificates() {
	type named struct{ subject, file string }
	var all []named
	for _, d := range c.host.Dests(nil) {
		all = append(all, named{fmt.Sprintf("destination %q: tls_cert", d.Name), d.TLSCert})
	}
	for _, j := range c.host.Config.Jobs() {
		all = append(all, named{fmt.Sprintf("job %q: tls_cert", j.Name), j.TLSCert})
	}
	for _, kind := range []string{"storage", "monitor"} {
		if s := c.host.Config.Section(kind, ""); s != nil {
			file := s.Text("tls_cert")
			if name, found := strings.CutPrefix(file, "$CREDENTIALS_DIRECTORY"); found && handed[kind] != "" {
				file = handed[kind] + name
			}
			all = append(all, named{"[" + kind + "] tls_cert", file})
		}
	}
	for _, n := range all {
		if n.file == "" {
			continue
		}
		cert, err := mtls.ReadCert(os.ExpandEnv(n.file))
		if dir := filepath.Dir(n.file); errors.Is(err, os.ErrNotExist) && slices.Contains(slices.Collect(maps.Values(handed)), dir) {
			c.add(resultOK, n.subject, "is handed to %s when it starts", filepath.Base(dir))
			continue
		}
		if err != nil {
			c.add(resultFault, n.subject, "%v", err)
			continue
		}
		switch text, useless := mtls.Standing(cert, c.app.now()); {
		case useless:
			c.add(resultFault, n.subject, "%s %s", n.file, text)
		case text != "":
			c.add(resultWarning, n.subject, "%s %s", n.file, text)
		}
	}
}
