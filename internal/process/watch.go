package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watch cancels with ErrStalled when sign() has not changed for the time limit.
// The returned function ends the watching.
func watch(limit time.Duration, sign func() uint64, cancel context.CancelCauseFunc) (stop func()) {
	quit := make(chan struct{})
	go func() {
		tick := time.NewTicker(min(max(limit/10, 20*time.Millisecond), 10*time.Second))
		defer tick.Stop()
		last, since := uint64(0), time.Now()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if now := sign(); now != last {
				last, since = now, time.Now()
			} else if time.Since(since) >= limit {
				cancel(fmt.Errorf("%w for %v", ErrStalled, limit))
				return
			}
		}
	}()
	return func() { close(quit) }
}

// ask sends a signal to a process again and again, if the process catches it
// (proc(5): SigCgt of status); otherwise the signal could end it. The returned
// function ends the asking, for good when it returns.
func ask(pid int, c Command) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(c.AskEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if catches(pid, c.Ask) {
				_ = syscall.Kill(pid, c.Ask)
			}
			if c.Read != nil {
				b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
				c.Read(field(b, "rchar: "))
			}
		}
	}()
	return func() { close(quit); <-done }
}

func catches(pid int, sig syscall.Signal) bool {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(b)) {
		if mask, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && bits&(1<<(sig-1)) != 0
		}
	}
	return false
}

// activity sums processor ticks and bytes read and written of the processes of a
// group. The sum only matters as "changed or not".
func activity(pgid int) uint64 {
	ticks, bytes := usage(pgid)
	return ticks + bytes
}

// transferred are the bytes read and written by the processes of a group.
func transferred(pgid int) uint64 {
	_, bytes := usage(pgid)
	return bytes
}

// usage sums what proc(5) says of the processes of a group: fields 14 and 15 of
// stat, rchar and wchar of io.
func usage(pgid int) (ticks, bytesMoved uint64) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		// The command name may hold blanks and brackets: fields start after the last ")".
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) < 13 || f[2] != strconv.Itoa(pgid) {
			continue
		}
		ticks += number(f[11]) + number(f[12])
		io, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "io"))
		bytesMoved += field(io, "rchar: ") + field(io, "wchar: ")
	}
	return ticks, bytesMoved
}

// field is the number after a label, 0 where there is none.
func field(text []byte, label string) uint64 {
	_, after, _ := strings.Cut(string(text), label)
	line, _, _ := strings.Cut(after, "\n")
	return number(line)
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
