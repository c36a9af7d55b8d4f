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
	"size": sizeText,
	"when": func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") },
	"ago":  func(now, t time.Time) string { return ageText(now.Sub(t)) },
	"join": func(words []string) string { return strings.Join(words, ", ") },
	"share": func(part, whole int64) int64 {
		if whole <= 0 {
			return 0
		}
		return 100 * part / whole
	},
	"used": func(d DiskStatus) int64 { return d.Total - d.Free },
}).Parse(pageText))

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

// metrics is the status in Prometheus' text format. Names of clients need no
// escape (config.NamePattern).
func metrics(st Status) []byte {
	var b bytes.Buffer
	one := func(name, kind, help string, value any) {
		fmt.Fprintf(&b, "# HELP b1000_storage_%s %s\n# TYPE b1000_storage_%s %s\nb1000_storage_%s %v\n", name, help, name, kind, name, value)
	}
	each := func(name, kind, help string, of func(ClientStatus) (any, bool)) {
		fmt.Fprintf(&b, "# HELP b1000_storage_%s %s\n# TYPE b1000_storage_%s %s\n", name, help, name, kind)
		for _, c := range st.Clients {
			if v, ok := of(c); ok {
				fmt.Fprintf(&b, "b1000_storage_%s{client=%q} %v\n", name, c.Name, v)
			}
		}
	}
	one("disk_bytes", "gauge", "Size of the file system that holds the backups.", st.Disk.Total)
	one("disk_free_bytes", "gauge", "What is free of it.", st.Disk.Free)
	one("disk_min_free_bytes", "gauge", "Below this much free nothing is taken.", st.Disk.MinFree)
	one("transfers", "gauge", "Transfers that are being served.", st.Running)
	one("transfers_max", "gauge", "Transfers that are served at once.", st.Most)
	one("transfers_waiting", "gauge", "Transfers that wait for a place.", st.Waiting)
	one("refused_total", "counter", "Connections that were refused.", st.Refused)
	one("clients", "gauge", "Clients that are admitted.", len(st.Clients))
	one("clients_unusable", "gauge", "Files of clients_dir with faults, which admit nobody.", len(st.Unusable))
	if !st.Expires.IsZero() {
		one("certificate_expiry_timestamp_seconds", "gauge", "When the server's certificate ends.", st.Expires.Unix())
	}
	each("backups", "gauge", "Complete backups of a client.", func(c ClientStatus) (any, bool) { return c.Backups, true })
	each("backups_incomplete", "gauge", "Backups that a client has begun and not finished.", func(c ClientStatus) (any, bool) { return c.Incomplete, true })
	each("last_success_timestamp_seconds", "gauge", "End of the last complete backup of a client.", func(c ClientStatus) (any, bool) {
		if c.Last == nil {
			return nil, false
		}
		return c.Last.End.Unix(), true
	})
	each("received_bytes_total", "counter", "Bytes that came from a client.", func(c ClientStatus) (any, bool) { return c.Received, true })
	each("sent_bytes_total", "counter", "Bytes that went to a client.", func(c ClientStatus) (any, bool) { return c.Sent, true })
	return b.Bytes()
}

// ageText is an age for people, in the one unit that matters.
func ageText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
