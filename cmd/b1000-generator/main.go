// Command b1000-generator writes the units of the configured backups, when
// systemd asks for them: at boot and at each daemon-reload (systemd.generator(7)).
package main

import (
	"io"
	"os"
)

func main() {
	os.Exit(generating{args: os.Args[1:], stdout: os.Stdout, stderr: logTo(os.Getenv, os.Stderr), getenv: os.Getenv}.run())
}

// generating is one call of the program.
type generating struct {
	args           []string
	stdout, stderr io.Writer
	getenv         func(string) string
}
