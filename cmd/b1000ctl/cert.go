package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/mtls"
	"b1000/internal/run"
)

// certOptions are those of cert.
type certOptions struct {
	dir   string
	admit bool
}

// tlsDir is where certificates are, unless somebody says otherwise.
const tlsDir = "/etc/b1000/tls"

func (a *app) certCommand() *cobra.Command {
	var o certOptions
	c := &cobra.Command{
		Use: "cert ca|server|client|renew|list [NAME...]", Short: "A small authority for the hosts that meet by TLS",
		Long: `Makes certificates for the storage server, its clients, and hosts that fetch, in
a directory with the authority itself: NAME.pem and NAME.key, which only their
owner may read. Nothing is ever written over.

  ca [TITLE]          makes the authority: ca.pem goes to every host, ca.key to none
  server NAME [NAME]  for a host that is connected to, by any of the names and addresses
  client NAME         for a host that connects; --admit lets it in at this storage server
  renew [NAME...]     gives certificates a new end, with their keys and names as they
                      are; without NAME all that end within 60 days
  list                what there is, and until when
` + statusHelp,
		Example: "  b1000ctl cert ca\n  b1000ctl cert server store store.example.org 192.0.2.7\n  b1000ctl cert client web1 --admit\n  b1000ctl cert list",
		Args:    takes(1, -1, "action"), ValidArgs: []string{"ca", "server", "client", "renew", "list"},
		RunE: do(func(_ context.Context, args []string) error { return a.cert(o, args[0], args[1:]) }),
	}
	c.Flags().StringVar(&o.dir, "dir", tlsDir, "`DIRECTORY` of the certificates")
	c.Flags().BoolVar(&o.admit, "admit", false, "client: write its file into clients_dir as well")
	return c
}

func (a *app) cert(o certOptions, action string, names []string) error {
	wrong := func(text string) error { return usage("cert %s: %s", action, text) }
	switch {
	case o.admit && action != "client":
		return wrong("only a client is admitted")
	case action == "ca" && len(names) > 1:
		return wrong("takes one title; put it into quotes")
	case action == "ca":
		return a.certAuthority(o, names)
	case action == "server" && len(names) == 0:
		return wrong("no name is given; write the names and addresses by which clients reach the server")
	case action == "client" && len(names) != 1:
		return wrong("takes the one name of a client")
	case action == "server" || action == "client":
		return a.certIssue(o, mtls.Request{Name: names[0], Names: names[1:], Server: action == "server"})
	case action == "renew":
		return a.certRenew(o, names)
	case action == "list" && len(names) == 0:
		return a.certList(o)
	case action == "list":
		return wrong(fmt.Sprintf("%q is too much", names[0]))
	}
	return usage("cert: %q is not known; there is ca, server, client, renew, list", action)
}

// made is what cert has made, in JSON.
type made struct {
	Cert     string `json:"cert"`
	Key      string `json:"key"`
	CA       string `json:"ca"`
	Admitted string `json:"admitted,omitempty"` // file of clients_dir
}

func (a *app) certAuthority(o certOptions, names []string) error {
	title := "B1000 backups"
	if host, err := os.Hostname(); err == nil {
		title += " of " + host
	}
	if len(names) == 1 {
		title = names[0]
	}
	if _, err := mtls.NewAuthority(o.dir, title, a.now()); err != nil {
		return err
	}
	m := made{Cert: filepath.Join(o.dir, "ca.pem"), Key: filepath.Join(o.dir, "ca.key"), CA: filepath.Join(o.dir, "ca.pem")}
	return a.print(m, func(w io.Writer) {
		fmt.Fprintf(w, "made the authority %q\n  %s  is tls_ca of every host\n  %s  stays here; whoever has it can be any client\n", title, m.Cert, m.Key)
	})
}

func (a *app) certIssue(o certOptions, r mtls.Request) error {
	authority, err := mtls.OpenAuthority(o.dir)
	if err != nil {
		return err
	}
	var dir string
	if o.admit {
		if dir, err = a.clientsDir(); err != nil {
			return err
		}
	}
	f, err := authority.Issue(r, a.now())
	if err != nil {
		return err
	}
	m := made{Cert: f.Cert, Key: f.Key, CA: f.CA}
	if o.admit {
		m.Admitted = filepath.Join(dir, r.Name)
		if err := admit(m.Admitted, r.Name); err != nil {
			return fmt.Errorf("%w; the certificate is made: %s", err, f.Cert)
		}
	}
	return a.print(m, func(w io.Writer) {
		what, where := "client", "to the client, for a destination"
		if r.Server {
			what, where = "server", "for [storage]"
		}
		fmt.Fprintf(w, "made the certificate of %s %s; these three go %s:\n  tls_cert = %s\n  tls_key = %s\n  tls_ca = %s\n", what, r.Name, where, f.Cert, f.Key, f.CA)
		switch {
		case m.Admitted != "":
			fmt.Fprintf(w, "it is admitted by %s\n", m.Admitted)
		case !r.Server:
			fmt.Fprintf(w, "the storage server admits it once clients_dir has a file %s with the line\n  ssl_peer_cn = %s\n", r.Name, r.Name)
		}
	})
}

// clientsDir is where the storage server looks for its clients.
func (a *app) clientsDir() (string, error) {
	cfg, _, err := config.Load(a.cfg)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	dir := "/etc/b1000/clients"
	if err == nil {
		if s := cfg.Section("storage", ""); s != nil {
			dir = s.Text("clients_dir")
		}
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// admit writes a client's file, if there is none yet.
func admit(path, name string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: is there already, and is not written over", path)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "# Who shows a certificate of this name may store backups.\nssl_peer_cn = %s\n", name)
	return errors.Join(err, f.Sync(), f.Close())
}

// due is how long before its end a certificate is renewed without being named.
const due = 2 * mtls.Soon

func (a *app) certRenew(o certOptions, names []string) error {
	authority, err := mtls.OpenAuthority(o.dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		list, err := certs(o.dir, a.now())
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.read != nil && c.read.NotAfter.Sub(a.now()) < due {
				names = append(names, c.Name)
			}
		}
	}
	// The authority first: nothing that it signs lives longer than it.
	slices.SortStableFunc(names, func(x, y string) int { return boolOrder(y == "ca") - boolOrder(x == "ca") })
	var errs []error
	renewed := []string{}
	for _, name := range names {
		if err := authority.Renew(name, a.now()); err != nil {
			errs = append(errs, err)
			continue
		}
		renewed = append(renewed, name)
		if name == "ca" {
			if authority, err = mtls.OpenAuthority(o.dir); err != nil {
				return err
			}
		}
	}
	err = a.print(map[string][]string{"renewed": renewed}, func(w io.Writer) {
		for _, name := range renewed {
			fmt.Fprintf(w, "renewed %s; bring it to the host that uses it\n", filepath.Join(o.dir, name+".pem"))
		}
		if len(names) == 0 {
			fmt.Fprintf(w, "nothing ends within %d days\n", int(due/(24*time.Hour)))
		}
	})
	return errors.Join(append(errs, err)...)
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (a *app) certList(o certOptions) error {
	list, err := certs(o.dir, a.now())
	if err != nil {
		return err
	}
	err = a.print(list, func(w io.Writer) {
		rows := [][]string{{"NAME", "FOR", "UNTIL", "STATE", "ALSO"}}
		for _, c := range list {
			rows = append(rows, []string{c.Name, orDash(c.For), when(timeOf(c.Until)), c.State, strings.Join(c.Names, " ")})
		}
		table(w, rows)
	})
	if err == nil && slices.ContainsFunc(list, func(c certificate) bool { return c.useless }) {
		return status(run.ExitFailed)
	}
	return err
}

// hostNames are the names of a certificate beside the one that it is called by.
func hostNames(name string, dns []string, ips []net.IP) []string {
	names := slices.DeleteFunc(slices.Clone(dns), func(n string) bool { return n == name })
	for _, ip := range ips {
		names = append(names, ip.String())
	}
	return append([]string{}, names...)
}
