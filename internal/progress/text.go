package progress

import (
	"fmt"
	"time"
)

// Size is a number of bytes in three digits at most and a binary unit: 999 B,
// 1.2 GiB, 31 MiB.
func Size(n int64) string {
	if n < 0 {
		return "-" + Size(-max(n, -1<<63+1))
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 999.5 {
		v /= 1024
		unit++
	}
	digits := 0
	if v < 9.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, v, "BKMGTPE"[unit])
}

// Age is a duration in one unit, rounded down: 45s, 12m, 47h, 2d. What lies in
// the future has a minus sign.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Age(-max(d, -1<<63+1))
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// clock is a duration as 0:42 or 1:02:03.
func clock(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
