package testhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies are the mount points in which a host gets cgroups of its own:
// systemd's always, those of controllers where units are to have limits. Where
// there is only the unified hierarchy it is that one.
func hierarchies(limits bool) []string {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.procs")); err == nil {
		return []string{cgroupRoot}
	}
	names := []string{"systemd", "unified"}
	if limits {
		names = append(names, "memory", "pids", "cpu", "cpuacct", "blkio")
	}
	var found []string
	for _, name := range names {
		dir := filepath.Join(cgroupRoot, name)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			found = append(found, dir)
		}
	}
	return found
}

func (h *Host) makeCgroups() ([]string, error) {
	var groups []string
	for _, dir := range hierarchies(h.options.Limits) {
		group := filepath.Join(dir, h.id)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// allowLimits lets systemd inside write to the controllers, which are mounted
// read-only for it: limits would be accepted and not be enforced.
func (h *Host) allowLimits() error {
	for _, dir := range hierarchies(true) {
		if filepath.Base(dir) == "systemd" || filepath.Base(dir) == "unified" || dir == cgroupRoot {
			continue
		}
		if _, stderr, err := h.Run(h.tb.Context(), "mount", "-o", "remount,rw,bind", dir); err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
	}
	_, stderr, err := h.Run(h.tb.Context(), "systemctl", "daemon-reexec")
	if err != nil {
		return fmt.Errorf("daemon-reexec: %w: %s", err, stderr)
	}
	return nil
}

// members are the processes in all cgroups of a host.
func members(id string) []int {
	var pids []int
	for _, dir := range hierarchies(true) {
		filepath.WalkDir(filepath.Join(dir, id), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, word := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// killCgroups ends every process of a host and waits for that.
func killCgroups(id string) {
	for range 200 {
		pids := members(id)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// removeCgroups removes the cgroups of a host, the innermost first.
func removeCgroups(id string) {
	for _, dir := range hierarchies(true) {
		var groups []string
		filepath.WalkDir(filepath.Join(dir, id), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for i := len(groups) - 1; i >= 0; i-- {
			syscall.Rmdir(groups[i])
		}
	}
}
