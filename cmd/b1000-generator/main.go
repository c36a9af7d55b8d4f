// Command b1000-generator writes the units of the configured backups, when
// systemd asks for them: at boot and at each daemon-reload (systemd.generator(7)).
package main

import (
	"io"
	"os"
	"runtime/debug"
)

// Systemd waits, and what is collected while it does is hardly garbage: below
// this size of memory, which has room for ten thousand jobs, little is collected.
const (
	garbage = 400 // percent, as GOGC
	enough  = 48 << 20
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
		debug.SetMemoryLimit(enough)
	}
	os.Exit(generating{args: os.Args[1:], stdout: os.Stdout, stderr: logTo(os.Getenv, os.Stderr), getenv: os.Getenv}.run())
}

// generating is one call of the program.
type generating struct {
	args           []string
	stdout, stderr io.Writer
	getenv         func(string) string
}
