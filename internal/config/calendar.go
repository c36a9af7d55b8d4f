package config

// ParseSchedule is a placeholder for the first commit.
func ParseSchedule(s string) (string, error) { return s, nil }
