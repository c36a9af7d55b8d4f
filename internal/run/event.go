package run

import "log/slog"

// EventKey is the attribute of a log record that names what it tells of, for
// logs that have an id for each such event.
const EventKey = "message_id"

// Event is something in the course of a run that a log may know by an id.
type Event string

// The events.
const (
	EventStarted     Event = "run-started"
	EventOK          Event = "run-ok"
	EventWarning     Event = "run-warning"
	EventFailed      Event = "run-failed"
	EventCopyDone    Event = "copy-done"
	EventCopyFailed  Event = "copy-failed"
	EventKept        Event = "run-kept"
	EventUndelivered Event = "report-undelivered"
	EventPruned      Event = "pruned"
)

// Events are all events.
func Events() []Event {
	return []Event{
		EventStarted, EventOK, EventWarning, EventFailed, EventCopyDone, EventCopyFailed,
		EventKept, EventUndelivered, EventPruned,
	}
}

// telling is a log whose next record tells of an event.
func telling(log *slog.Logger, e Event) *slog.Logger { return log.With(EventKey, string(e)) }
