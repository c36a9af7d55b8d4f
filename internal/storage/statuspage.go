package storage

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed status.html
var pageText string

//go:embed status.css
var pageStyle []byte

var page = template.Must(template.New("status").Funcs(template.FuncMap{
	"size":    sizeText,
	"when":    func(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") },
	"day":     func(t time.Time) string { return t.Local().Format("2006-01-02") },
	"ago":     func(now, t time.Time) string { return ageText(now.Sub(t)) },
	"span":    func(now, t time.Time) string { return spanText(now.Sub(t)) },
	"until":   func(now, t time.Time) string { return "in " + spanText(t.Sub(now)) },
	"due":     func(maxAge int64) string { return spanText(time.Duration(maxAge) * time.Second) },
	"join":    func(words []string) string { return strings.Join(words, ", ") },
	"share":   share,
	"used":    func(d DiskStatus) int64 { return d.Total - d.Free },
	"most":    func(d DiskStatus) int64 { return d.Total - d.MinFree },
	"stored":  stored,
	"rows":    rows,
	"verdict": verdictOf,
	"diskClass": func(d DiskStatus) string {
		switch {
		case d.Free < d.MinFree:
			return "bad"
		case share(d.Total-d.Free, d.Total) >= 90:
			return "warn"
		}
		return "fill"
	},
}).Parse(pageText))

func share(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(100 * float64(part) / float64(whole))
}

func stored(list []ClientStatus) (sum int64) {
	for _, c := range list {
		sum += c.Used
	}
	return sum
}

// row is one line of the table: a job of a client, or its repository.
type row struct {
	Of                      int // so many lines has the client
	Name, Size, Files, Kept string
	Last                    time.Time
	Late, Never             bool
	MaxAge                  int64
}

func rows(c ClientStatus) []row {
	var list []row
	for _, j := range c.Jobs {
		name := j.Job
		if j.Instance != "" {
			name += "/" + j.Instance
		}
		list = append(list, row{Name: name, Size: sizeText(j.Bytes), Files: fmt.Sprint(j.Files), Kept: fmt.Sprint(j.Backups), Last: j.End, Late: j.Late, MaxAge: j.MaxAge})
	}
	if r := c.Restic; r != nil && r.Snapshots > 0 {
		list = append(list, row{Name: "restic repository", Kept: fmt.Sprint(r.Snapshots), Last: r.Last, Late: r.Late, MaxAge: r.MaxAge})
	}
	if len(list) == 0 {
		list = []row{{Never: true}}
	}
	for i := range list {
		list[i].Of = len(list)
	}
	return list
}

// verdict is what is to be known first.
type verdict struct {
	Class, Short string
	Reasons      []string
}

func verdictOf(st Status) verdict {
	v := verdict{Class: "good", Short: "Everything is stored in time"}
	if len(st.Clients) == 0 {
		v = verdict{Class: "warn", Short: "Nobody is admitted"}
	}
	note := func(class, short, reason string) {
		if v.Class != "bad" {
			v.Class = class
		}
		if len(v.Reasons) == 0 {
			v.Short = short
		}
		v.Reasons = append(v.Reasons, reason)
	}
	if st.Fault != "" {
		note("bad", "Nothing can be stored", st.Fault)
	}
	for _, c := range st.Clients {
		if c.Fault != "" {
			note("bad", "Backups cannot be read", c.Name+": "+c.Fault)
		}
		for _, r := range rows(c) {
			switch {
			case r.Late:
				note("warn", "Backups are late", fmt.Sprintf("%s, %s: the last one is %s old", c.Name, r.Name, spanText(st.Time.Sub(r.Last))))
			case r.Never && len(c.Making) == 0:
				note("warn", "Some have stored nothing yet", c.Name+" has stored nothing yet")
			}
		}
	}
	for _, u := range st.Unusable {
		note("warn", "A client's file has a fault", u)
	}
	if st.Warning != "" {
		note("warn", "The certificate ends soon", st.Warning)
	}
	return v
}

// StatusHandler serves how the server stands: a page for people, /status.json,
// /metrics for Prometheus and /healthz. It shows names of clients and jobs to
// whoever asks, and changes nothing.
func (s *Server) StatusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		if err := page.Execute(&b, s.Status(r.Context())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, "text/html; charset=utf-8", b.Bytes())
	})
	mux.HandleFunc("GET /status.css", func(w http.ResponseWriter, _ *http.Request) { send(w, "text/css; charset=utf-8", pageStyle) })
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, r *http.Request) {
		text, err := json.MarshalIndent(s.Status(r.Context()), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, "application/json", append(text, '\n'))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		send(w, "text/plain; version=0.0.4; charset=utf-8", metrics(s.Status(r.Context())))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.tight(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		send(w, "text/plain; charset=utf-8", []byte("ok\n"))
	})
	return secured(mux)
}

func send(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) // an error is a reader that has gone
}

// secured sets what browsers go by.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// StatusServer is an HTTP server for the status, with limits.
func (s *Server) StatusServer() *http.Server {
	const limit = 30 * time.Second
	return &http.Server{
		Handler: s.StatusHandler(), ReadHeaderTimeout: limit, ReadTimeout: limit, WriteTimeout: 2 * limit, IdleTimeout: 2 * limit,
		MaxHeaderBytes: 16 << 10, ErrorLog: quietLog(s.Log),
	}
}

// ageText is an age for people.
func ageText(d time.Duration) string {
	if d < time.Minute {
		return "just now"
	}
	return spanText(d) + " ago"
}

// spanText is a span of time for people, in the one unit that matters.
func spanText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
