package mtls

import "strings"

// ConnectCommand is the remote shell (rsync(1), --rsh) for what is reached by
// TLS: it runs program, which is b1000d, with what it needs. rsync puts behind it
// the host's name, but not the port, and the command of a remote rsync, so both
// are given; of a storage server also the transfer that is meant. It holds paths
// and no secret.
func ConnectCommand(program string, f Files, host, port string, transfer ...string) string {
	words := append([]string{program, "connect", f.Cert, f.Key, f.CA, host, port}, transfer...)
	for i, w := range words {
		words[i] = "'" + strings.ReplaceAll(w, "'", "''") + "'" // not as a shell does it
	}
	return strings.Join(append(words, "--"), " ")
}
