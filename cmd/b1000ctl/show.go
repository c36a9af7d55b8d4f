package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/rsync"
)

func (a *app) showCommand() *cobra.Command {
	var o named
	c := &cobra.Command{
		Use: "show ID [PATH]", Short: "What a backup holds",
		Long: `Lists what a backup holds, or the part at and below PATH: a name as this verb
prints it, or the absolute path that it had on its host. With --json each line
is an object.

` + namedHelp + statusHelp,
		Example: "  b1000ctl show 6f2a91\n  b1000ctl show etc@latest /etc/ssh\n  b1000ctl show etc@2026-11-22 etc/passwd --json",
		Args:    takes(1, 2, "backup"), ValidArgsFunction: a.completeBackups(1),
		RunE: do(func(ctx context.Context, args []string) error { return a.show(ctx, o, args[0], args[1:]) }),
	}
	o.flags(a, c)
	return c
}

// entry is what a backup holds, in JSON.
type entry struct {
	Name string `json:"name"`
	Mode string `json:"mode"` // as ls(1): drwxr-xr-x
	Size int64  `json:"size"`
	Time moment `json:"time"`
	Link string `json:"link,omitempty"`
}

func (a *app) show(ctx context.Context, o named, name string, paths []string) error {
	h, err := a.load()
	if err != nil {
		return err
	}
	b, err := a.find(ctx, h, o, name)
	if err != nil {
		return err
	}
	all, err := sources(h, b, true)
	if err != nil {
		return err
	}
	a.loud(b)
	return a.fromFirst(ctx, all, func(s source) (final bool, err error) {
		w := &counting{w: bufio.NewWriter(a.stdout)}
		err = a.entries(ctx, s, paths, w)
		if flush := w.w.Flush(); flush != nil {
			return true, fmt.Errorf("standard output: %w", flush)
		}
		return w.n > 0 || sameEverywhere(err), err // half a listing cannot be taken back
	})
}

// counting notes whether anything was written.
type counting struct {
	w *bufio.Writer
	n int
}

func (c *counting) Write(b []byte) (int, error) {
	c.n += len(b)
	return c.w.Write(b)
}

// entries prints the entries at and below the paths of one copy.
func (a *app) entries(ctx context.Context, s source, paths []string, w io.Writer) error {
	list, err := names(s, paths)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		list = []string{""}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	var broken error
	for _, name := range list {
		err := s.store.Show(ctx, s.Entry, name, func(e rsync.Entry) {
			if a.json {
				broken = encoder.Encode(entry{e.Name, e.Mode, e.Size, moment(e.Time), e.Link})
				return
			}
			_, broken = fmt.Fprintf(w, "%s %14d %s %s%s\n", e.Mode, e.Size, e.Time.Format(time.DateTime), printable(e.Name), arrow(e))
		})
		if err != nil {
			return err
		}
	}
	return broken
}

func arrow(e rsync.Entry) string {
	if e.Link == "" {
		return ""
	}
	return " -> " + printable(e.Link)
}
