package main

import (
	"strings"
	"testing"
)

// reaches checks that web2, which was taken over and may do all that a client may,
// gets and changes nothing of web1's, nor changes what it has committed itself,
// by whatever is spoken on the port.
func (s stores) reaches(t *testing.T) {
	t.Helper()
	s.server.Write("/etc/b1000/clients/web2", "ssl_peer_cn = web2\nallow = backup list show restore verify delete\nrestic = full\n", 0o600)
	theirs := strings.TrimPrefix(s.kept("web1")[0], s.server.Root+"/srv/store/web1/")
	id := strings.Fields(strings.Split(s.web1.MustRun("b1000ctl", "list"), "\n")[1])[0]
	copied := t.TempDir() + "/copied"
	copyTree(t, s.kept("web1")[0], copied)
	fails(t, s.web2, id, "b1000ctl", "show", id)
	fails(t, s.web2, id, "b1000ctl", "restore", id, "--to", "/srv/stolen")
	fails(t, s.web2, id, "b1000ctl", "delete", "--yes", id)
	fails(t, s.web2, id, "b1000ctl", "verify", id)
	ask := []string{"curl", "-sS", "--path-as-is", "--fail-with-body", "--cert", "/etc/b1000/tls/web2.pem", "--key", "/etc/b1000/tls/web2.key", "--cacert", "/etc/b1000/tls/ca.pem"}
	s.web2.MustRun(append(ask, "https://store:4200/v1/list")...)
	for _, q := range []string{
		"GET v1/show?dir=DIR", "GET v1/show?dir=../web1/DIR", "POST v1/restore?dir=DIR", "POST v1/restore?dir=../web1/DIR", "POST v1/restore?dir=..",
		"POST v1/verify?dir=../web1/DIR", "POST v1/delete?id=ID&dir=DIR", "POST v1/delete?id=ID&dir=../web1/DIR",
		"GET restic/web1/config", "POST restic/web1/?create=true", "DELETE restic/web1/config",
	} {
		method, at, _ := strings.Cut(strings.NewReplacer("DIR", theirs, "ID", id).Replace(q), " ")
		fails(t, s.web2, "returned error: 40", append(ask, "-X", method, "https://store:4200/"+at)...)
	}
	ssl := func(args ...string) []string {
		return append([]string{"env", "RSYNC_SSL_CERT=/etc/b1000/tls/web2.pem", "RSYNC_SSL_KEY=/etc/b1000/tls/web2.key", "RSYNC_SSL_CA_CERT=/etc/b1000/tls/ca.pem", "rsync-ssl", "--type=openssl"}, args...)
	}
	const module = "rsync://store/backups/"
	own := strings.TrimPrefix(s.kept("web2")[0], s.server.Root+"/srv/store/web2/")
	if out := s.web2.MustRun(ssl("--port=4200", "-r", "--list-only", module)...); !strings.Contains(out, "a b/file") || strings.Contains(out, "/web1-") {
		t.Errorf("what it can list:\n%s", out)
	}
	s.web2.MustRun("mkdir", "/srv/stolen", "/srv/taken")
	for _, at := range []string{module + theirs, module + "../web1/" + theirs, "rsync://store/web1/", module + own + "/data/link"} {
		s.web2.Run(t.Context(), ssl("--port=4200", "-aL", at, "/srv/stolen/")...)
	}
	for _, to := range []string{own, theirs, "../web1/" + theirs, ""} { // its own is committed
		fails(t, s.web2, "module is read only", ssl("--port=4200", "-a", "/etc/hostname", module+to+"/")...)
		s.web2.Run(t.Context(), ssl("--port=4200", "-a", "--remove-source-files", module+to+"/", "/srv/taken/")...)
		s.web2.Run(t.Context(), ssl("--port=4200", "-a", "--delete", "/var/empty/", module+to+"/")...)
	}
	if out := s.web2.MustRun("sh", "-c", "find /srv/stolen /srv/taken -path '*web1-*' -o -name passwd -o -name 'link' -type f"); out != "" {
		t.Errorf("it has got\n%s", out)
	}
	equal(t, copied, s.kept("web1")[0])
	equal(t, s.web2.Root+"/srv/data", s.kept("web2")[0]+"/data")
	whole(t, s.web1)
}
