package state

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// InUse returns the instances of a job that have a run on now.
func (d *Dir) InUse(job string) (instances []string, err error) {
	paths, err := files(filepath.Join(d.path, lockFolder), "")
	errs := []error{err}
	for _, path := range paths {
		rest, ok := strings.CutPrefix(filepath.Base(path), escape(job)+":")
		if !ok {
			continue
		}
		instance, err := url.PathUnescape(rest)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: not a lock of ours: %w", path, err))
			continue
		}
		_, running, err := d.Running(job, instance)
		errs = append(errs, err)
		if running {
			instances = append(instances, instance)
		}
	}
	return instances, errors.Join(errs...)
}
