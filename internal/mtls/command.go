package mtls

import "strings"

// ConnectCommand is RSYNC_CONNECT_PROG (rsync(1)) for what is reached
// by TLS: a line for the shell that runs program, which is b1000d, with
// what it needs. rsync itself puts the host's name into it but not the port, so
// both are given; of a storage server also the transfer that is meant. It holds
// paths and no secret.
func ConnectCommand(program string, f Files, host, port string, transfer ...string) string {
	words := append([]string{program, "connect", f.Cert, f.Key, f.CA, host, port}, transfer...)
	for i, w := range words {
		w = strings.ReplaceAll(w, "%", "%%") // %H is the host
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
