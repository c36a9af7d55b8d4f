package snapshot

import "errors"

// filter takes the names of Options.Names.
func (r *run) filter() { r.fail(errors.ErrUnsupported) }
