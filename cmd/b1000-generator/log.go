package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// logTo is where messages go: standard error for people; the kernel's buffer
// where systemd is the caller, because at boot there is no journal yet
// (systemd.generator(7)). A container has no such buffer.
func logTo(getenv func(string) string, stderr io.Writer) io.Writer {
	if getenv("SYSTEMD_SCOPE") != "system" {
		return stderr
	}
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return stderr
	}
	return kernelLog{f}
}

// kernelLog makes each line a message of the kernel's buffer. It stays open
// until the program ends.
type kernelLog struct{ w io.Writer }

// lineMax is below the longest message that the kernel takes; a longer one would
// be lost.
const lineMax = 900

// Write writes each line of p as a message.
func (k kernelLog) Write(p []byte) (int, error) {
	const warning = 4 // syslog(3)
	for line := range bytes.Lines(p) {
		line = bytes.TrimRight(line, "\n")
		if _, err := fmt.Fprintf(k.w, "<%d>%s\n", warning, line[:min(len(line), lineMax)]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
