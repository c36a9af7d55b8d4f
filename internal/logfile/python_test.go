package logfile

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// reference has Python's own logging module format one record in every format
// of a table; the record's values come from the caller.
const reference = `
import json, logging, sys
given = json.load(sys.stdin)
record = logging.makeLogRecord(given["record"])
record.msecs = float(record.msecs)  # JSON writes 625.0 as 625
print(json.dumps([logging.Formatter(f).format(record) for f in given["formats"]]))
`

// pythonFormats are formats that Python and this package must read alike.
func pythonFormats() []string {
	return []string{
		"%(asctime)-15s %(levelname)-7s [%(threadName)-10s] %(message)s",
		"%(asctime)s|%(created)f|%(created)s|%(created)d|%(created).3f|%(created)020.2f",
		"%(msecs)d|%(msecs)03d|%(msecs)s|%(msecs)f|%(msecs)-8.1f|%(msecs)8.1f|%(msecs)+.0f",
		"%(relativeCreated)d|%(relativeCreated)s|%(relativeCreated)10.3f|%(relativeCreated)010.3f",
		"%(levelno)s|%(levelno)d|%(levelno)5d|%(levelno)-5d|%(levelno)05d|%(levelno)+d|%(levelno)+05d|%(levelno) d",
		"%(levelno).4d|%(levelno)8.4d|%(levelno)08.4d|%(levelno)-8.4d|%(levelno)f|%(levelno).2s|%(levelno)-05d",
		"%(levelname).1s|%(levelname)10s|%(levelname)-10s|%(levelname)010s|%(levelname)10.2s|%(levelname).s|%(levelname).0s|",
		"%(name)s %(process)d %(processName)s %(thread)d %(threadName)s",
		"%(filename)s:%(lineno)d %(module)s %(funcName)s() %(pathname)s %(lineno)ld %(lineno)i %(lineno)u %(lineno)F",
		"100%% of %(message)s 50%%",
		"%(message)40s|%(message)-40s|%(message).5s|",
		"",
		"%(message)s%%(message)s",
	}
}

func python(t *testing.T, record map[string]any, formats []string) []string {
	t.Helper()
	program, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is missing: no reference for its notation")
	}
	input, err := json.Marshal(map[string]any{"record": record, "formats": formats})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", reference)
	cmd.Stdin = bytes.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, &stderr)
	}
	var want []string
	if err := json.Unmarshal(output, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

func TestSameAsPython(t *testing.T) {
	when := time.Unix(1760000000, 625_400_000) // a fraction that a float64 holds well
	levels := map[slog.Level]string{
		slog.LevelDebug: "DEBUG", slog.LevelInfo: "INFO", slog.LevelWarn: "WARNING",
		slog.LevelError: "ERROR", LevelFatal: "CRITICAL",
	}
	var pc [1]uintptr
	runtime.Callers(1, pc[:])
	for level, name := range levels {
		record := slog.NewRecord(when, level, "Größe der Tabelle: 12 µm", pc[0])
		record.Add(ThreadKey, "etc:web1")
		var out bytes.Buffer
		h := newHandler(t, &out, "", "DEBUG")
		h.started = when.Add(-1500250 * time.Microsecond)
		l := h.line(record)

		formats := pythonFormats()
		want := python(t, map[string]any{
			"name": "b1000", "levelno": l.levelNumber, "levelname": name, "msg": record.Message,
			"pathname": l.path, "filename": l.file, "module": l.module, "lineno": l.lineNumber, "funcName": "TestSameAsPython",
			"created": 1760000000.6254, "msecs": 625.0, "relativeCreated": 1500.25,
			"thread": l.process, "threadName": "etc:web1", "process": l.process, "processName": "MainProcess",
		}, formats)
		for i, format := range formats {
			out.Reset()
			var err error
			if h.parts, err = parse(format); err != nil {
				t.Fatal(err)
			}
			if err := h.Handle(context.Background(), record); err != nil {
				t.Fatal(err)
			}
			if out.String() != want[i]+"\n" {
				t.Errorf("%q\ngot  %q\nwant %q", format, out.String(), want[i]+"\n")
			}
		}
	}
}
