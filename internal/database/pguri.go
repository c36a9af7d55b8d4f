package database

import (
	"errors"
	"net/url"
	"strings"
)

// pgEnvironment is libpq's environment variable for each parameter of a
// connection (PostgreSQL's documentation, "Environment Variables").
var pgEnvironment = map[string]string{
	"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "passfile": "PGPASSFILE",
	"channel_binding": "PGCHANNELBINDING", "service": "PGSERVICE", "options": "PGOPTIONS", "application_name": "PGAPPNAME",
	"sslmode": "PGSSLMODE", "sslcompression": "PGSSLCOMPRESSION", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslrootcert": "PGSSLROOTCERT", "sslcrl": "PGSSLCRL", "sslcrldir": "PGSSLCRLDIR", "sslsni": "PGSSLSNI",
	"requirepeer": "PGREQUIREPEER", "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
	"ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION", "gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME",
	"gsslib": "PGGSSLIB", "connect_timeout": "PGCONNECT_TIMEOUT", "client_encoding": "PGCLIENTENCODING",
	"target_session_attrs": "PGTARGETSESSIONATTRS",
}

var (
	errURI    = errors.New("is no connection string; write postgresql://user@host:port/ or host=… port=… user=…")
	errEscape = errors.New("has a % that is no %XX; write %25 for a % sign")
)

// pgParams reads a connection string of libpq, in either form. Its errors show
// nothing of it.
func pgParams(text string) (map[string]string, error) {
	params := map[string]string{}
	rest, ok := strings.CutPrefix(text, "postgresql://")
	if !ok {
		rest, ok = strings.CutPrefix(text, "postgres://")
	}
	if !ok {
		return params, pgKeywords(text, params)
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		params["user"], params["password"], authority = user, password, authority[i+1:]
	}
	var hosts, ports []string
	for _, h := range strings.Split(authority, ",") {
		host, port := h, ""
		if i := strings.LastIndex(h, ":"); i > strings.LastIndex(h, "]") {
			host, port = h[:i], h[i+1:]
		}
		hosts, ports = append(hosts, strings.Trim(host, "[]")), append(ports, port)
	}
	params["host"], params["port"] = strings.Join(hosts, ","), strings.Join(ports, ",")
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			params[name] = value
		}
	}
	for name, value := range params {
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, errEscape
		}
		params[name] = plain
		if strings.Trim(plain, ",") == "" {
			delete(params, name)
		}
	}
	return params, nil
}

// pgKeywords reads name=value pairs; a value with blanks is in single quotes.
func pgKeywords(text string, params map[string]string) error {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return errURI
		}
		name, rest = strings.TrimSpace(name), strings.TrimLeft(rest, " ")
		quoted := strings.HasPrefix(rest, "'")
		if quoted {
			rest = rest[1:]
		}
		var value strings.Builder
		i := 0
		for ; i < len(rest) && (quoted && rest[i] != '\'' || !quoted && rest[i] != ' '); i++ {
			if rest[i] == '\\' && i+1 < len(rest) {
				i++
			}
			value.WriteByte(rest[i])
		}
		if quoted && i == len(rest) {
			return errURI
		}
		params[name] = value.String()
		text = rest[min(i+1, len(rest)):]
	}
	return nil
}
