package systemd

// MessageKey is the attribute of a log record that names the event which it
// tells of. The journal's catalog explains each (journalctl -x).
const MessageKey = "message_id"

// Ids of the events in the journal and its catalog. They never change.
const (
	MessageRunStarted  = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1001"
	MessageRunOK       = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1002"
	MessageRunWarning  = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1003"
	MessageRunFailed   = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1004"
	MessageCopyDone    = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1005"
	MessageCopyFailed  = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1006"
	MessageRunKept     = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1007"
	MessageUndelivered = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1008"
	MessagePruned      = "5c1f8f5a0b0e4a0f9d0c1a7d5e2b1009"
)

// MessageID is the id of an event by its name in the log; "" for no such event.
func MessageID(event string) string {
	switch event {
	case "run-started":
		return MessageRunStarted
	case "run-ok":
		return MessageRunOK
	case "run-warning":
		return MessageRunWarning
	case "run-failed":
		return MessageRunFailed
	case "copy-done":
		return MessageCopyDone
	case "copy-failed":
		return MessageCopyFailed
	case "run-kept":
		return MessageRunKept
	case "report-undelivered":
		return MessageUndelivered
	case "pruned":
		return MessagePruned
	}
	return ""
}
