package canopsis

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// quoteAll writes paths as words of a list.
func quoteAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if strings.ContainsAny(p, " \t'\"\\") {
			out[i] = "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
		}
	}
	return out
}

// ReadServer reads server.conf below prefix and returns the configuration of a
// storage server that does what it says; its clients directory is read as it is.
func ReadServer(prefix string) (config string, ignored []string, problems []Problem) {
	f, err := read(filepath.Join(prefix, serverFile))
	if err != nil {
		return "", nil, []Problem{{File: filepath.Join(prefix, serverFile), Message: "cannot be read: " + err.Error()}}
	}
	var t text
	t.WriteString("# Made by cpsbackup of " + filepath.Join(prefix, serverFile) + ".\n")
	t.section("storage")
	t.set("path", word(below(prefix, f.one("directory", "var/backup"))))
	t.set("address", word(f.one("address", "0.0.0.0")))
	t.set("port", f.one("port", "4200"))
	t.set("status_address", word(f.one("status_address", "127.0.0.1")))
	t.set("status_port", f.one("status_port", "4201"))
	t.set("keep", f.one("keep", "5"))
	t.set("max_clients", f.one("max_children", ""))
	t.set("clients_dir", word(below(prefix, f.one("clientconfdir", clientsDir))))
	t.set("tls_cert", word(below(prefix, f.one("ssl_cert", sslDir+"/server.crt"))))
	t.set("tls_key", word(below(prefix, f.one("ssl_key", sslDir+"/server.key"))))
	t.set("tls_ca", word(below(prefix, f.one("ssl_cert_ca", sslDir+"/ca.crt"))))
	for _, key := range []string{"port", "status_port"} {
		checkPort(f, key, f.one(key, "4200"))
	}
	for _, key := range f.ignored() {
		ignored = append(ignored, "server.conf: "+key)
	}
	return t.String(), ignored, f.problems
}
