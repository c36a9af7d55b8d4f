package mtls

import "strings"

// ConnectCommand is RSYNC_CONNECT_PROG (rsync(1)) for a passive job that is
// reached by TLS: a line for the shell that runs program, which is b1000d, with
// what it needs. rsync itself puts the host's name into it but not the port, so
// both are given. It holds paths and no secret.
func ConnectCommand(program string, f Files, host, port string) string {
	words := []string{program, "connect", f.Cert, f.Key, f.CA, host, port}
	for i, w := range words {
		w = strings.ReplaceAll(w, "%", "%%") // %H is the host
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
