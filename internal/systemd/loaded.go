package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Timers returns the timers of ours that are loaded and wait, each with the
// moment that it elapses next; zero for none.
func (m *Manager) Timers(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := m.each(ctx, []string{"active"}, unitPrefix+"*.timer", func(unit string) error {
		p, err := m.properties(ctx, unit, timerIface)
		usec := value[uint64](p, "NextElapseUSecRealtime")
		all[unit] = time.Time{}
		if usec > 0 && usec < 1<<63 { // the highest is "never"
			all[unit] = time.UnixMicro(int64(usec))
		}
		return err
	})
	return all, err
}

// Running returns the services of ours that run, or are being stopped, each with
// what it says that it is doing.
func (m *Manager) Running(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	err := m.each(ctx, []string{"activating", "deactivating", "active"}, unitPrefix+"*.service", func(unit string) error {
		p, err := m.properties(ctx, unit, serviceIface)
		all[unit] = value[string](p, "StatusText")
		return err
	})
	return all, err
}

// each calls f for the loaded units in one of the states whose names match.
func (m *Manager) each(ctx context.Context, states []string, pattern string, f func(unit string) error) error {
	var units []struct {
		Name, Description, Load, Active, Sub, Following string
		Path                                            dbus.ObjectPath
		JobID                                           uint32
		JobType                                         string
		JobPath                                         dbus.ObjectPath
	}
	if err := m.call(ctx, "ListUnitsByPatterns", &units, states, []string{pattern}); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	var errs []error
	for _, u := range units {
		if err := f(u.Name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.Name, err))
		}
	}
	return errors.Join(errs...)
}
