package store

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// remoteShell is the command that reaches the sshd of this test run.
var remoteShell string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "b1000-store-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		shell, stop, err := startSSH(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sshd for the tests:", err)
			return 1
		}
		defer stop()
		remoteShell = shell
		if stop, err = startServers(dir); err != nil {
			fmt.Fprintln(os.Stderr, "storage server for the tests:", err)
			return 1
		}
		defer stop()
		return m.Run()
	}())
}

// startSSH starts a real sshd on a free port with throw-away keys in dir.
func startSSH(dir string) (shell string, stop func(), err error) {
	for _, k := range []string{"host", "user"} {
		if err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/"+k).Run(); err != nil {
			return "", nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	sshd := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nMaxStartups 100\nMaxSessions 100\nSetEnv SHLVL=9\n", port, dir, dir)
	client := fmt.Sprintf("Host b1000-test\nHostName 127.0.0.1\nPort %d\nUser root\nIdentityFile %s/user\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\nLogLevel ERROR\nBatchMode yes\nControlMaster auto\nControlPath %s/mux\nControlPersist 20\n", port, dir, dir)
	if err := errors.Join(os.MkdirAll("/run/sshd", 0o755), os.WriteFile(dir+"/sshd_config", []byte(sshd), 0o600), os.WriteFile(dir+"/ssh_config", []byte(client), 0o600)); err != nil {
		return "", nil, err
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", dir+"/sshd_config")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
	for range 500 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return "ssh -F " + dir + "/ssh_config", stop, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("sshd does not answer")
}

func regexps(list ...string) (res []*regexp.Regexp) {
	for _, s := range list {
		res = append(res, regexp.MustCompile(s))
	}
	return res
}
