// Package restic runs the program restic: how it is called, what its exit
// statuses mean, and what it says in JSON. It knows nothing of backups of ours
// and may import process only.
package restic

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// Program is the name under which restic is called, looked up in PATH.
const Program = "restic"

// Repository is one, and what is needed to open it.
type Repository struct {
	Location        string // as restic names it
	PasswordFile    string
	Password        string // where there is no PasswordFile; both may be in EnvironmentFile
	EnvironmentFile string // NAME=value lines, of which only restic learns
	Cert, Key, CA   string // PEM files for https
	UploadLimit     int    // KiB per second; 0 none
	Compression     string // off, auto, fastest, better, max; "" restic's own
}

// inherited are the names of our environment that restic gets. RESTIC_… are not
// among them: what a destination is must stand in its configuration.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME", "SSH_AUTH_SOCK",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// environment is the whole environment of restic.
func (r Repository) environment() ([]string, error) {
	env := []string{"RESTIC_PROGRESS_FPS=1"}
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if os.Getenv("HOME") == "" && os.Getenv("XDG_CACHE_HOME") == "" { // without a cache it reads all indexes again
		env = append(env, "XDG_CACHE_HOME=/var/cache")
	}
	if r.EnvironmentFile == "" {
		return env, nil
	}
	more, err := readEnvironment(r.EnvironmentFile)
	return append(env, more...), err
}

var variable = regexp.MustCompile(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)

// readEnvironment reads NAME=value lines. An error names the line and not what
// is in it, which is secret as a rule.
func readEnvironment(file string) (env []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("environment_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("environment_file: %w", err)
	}
	if mode := info.Mode().Perm(); info.Mode().IsRegular() && mode&0o026 != 0 {
		return nil, fmt.Errorf("environment_file: %s has mode %04o; others may read or change it, run chmod go-w,o-r", file, mode)
	}
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		m := variable.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("environment_file: %s:%d: wants NAME=value", file, n)
		}
		value := m[2]
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		env = append(env, m[1]+"="+value)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("environment_file: %s: %w", file, err)
	}
	return env, nil
}

// secrets are files of this process that restic inherits: they have no name and
// are gone with it. The first one is descriptor number at in restic.
type secrets struct {
	at    int
	files []*os.File
	args  []string
}

func (r Repository) open(at int) (*secrets, error) {
	s := &secrets{at: at}
	switch {
	case r.PasswordFile != "":
		s.args = append(s.args, "--password-file", r.PasswordFile)
	case r.Password != "":
		if err := s.hold("--password-file", []byte(r.Password+"\n")); err != nil {
			return s, err
		}
	}
	if r.CA != "" {
		s.args = append(s.args, "--cacert", r.CA)
	}
	if r.Cert == "" {
		return s, nil
	}
	cert, err := os.ReadFile(r.Cert)
	if err != nil {
		return s, fmt.Errorf("tls_cert: %w", err)
	}
	key, err := os.ReadFile(r.Key)
	if err != nil {
		return s, fmt.Errorf("tls_key: %w", err)
	}
	return s, s.hold("--tls-client-cert", append(append(cert, '\n'), key...))
}

// hold puts text where restic, given the option, reads it.
func (s *secrets) hold(option string, text []byte) error {
	fd, err := unix.MemfdCreate("b1000", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memory for %s: %w", option, err)
	}
	f := os.NewFile(uintptr(fd), "b1000")
	s.args = append(s.args, option, fmt.Sprintf("/dev/fd/%d", s.at+len(s.files)))
	s.files = append(s.files, f)
	_, err = f.Write(text)
	return err
}

func (s *secrets) close() {
	for _, f := range s.files {
		f.Close()
	}
}
