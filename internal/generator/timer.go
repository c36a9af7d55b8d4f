package generator

import (
	"time"

	"b1000/internal/config"
	"b1000/internal/unit"
)

// schedules is all that a timer is made of but its job's name, so that jobs with
// the same have timers with the same text.
type schedules struct {
	source, schedule   string
	broken, persistent bool
	delay              time.Duration
}

// timer is one that has been made.
type timer struct{ name, text string }

func (p *part) addTimer(job *config.Job, schedule, source string) {
	name := Timer(job.Name)
	p.wants.timers = append(p.wants.timers, name)
	s := schedules{source, schedule, len(job.Problems) > 0, job.Persistent, job.RandomizedDelay}
	if made, ok := p.timers[s]; ok {
		p.tree.Same(name, made.text, made.name)
		return
	}
	made := timer{name, p.timerText(s)}
	if p.timers == nil {
		p.timers = map[schedules]timer{}
	}
	p.timers[s] = made
	p.tree.File(made.name, made.text)
}

func (p *part) timerText(s schedules) string {
	f := &p.file
	f.Reset()
	f.Comment("Made by b1000-generator from " + s.source)
	f.Section("Unit")
	f.Set("Description", "Schedule of backup %i")
	setSource(f, s.source)
	f.Section("Timer")
	if s.broken {
		// Not a link from multi-user.target: boot would wait for what this starts.
		f.Set("OnActiveSec", "0")
	}
	if s.schedule != "" {
		f.Set("OnCalendar", unit.Text(s.schedule))
		f.Set("AccuracySec", "1s")
		f.Set("Persistent", yesNo(s.persistent))
		if s.delay > 0 {
			f.Set("RandomizedDelaySec", seconds(s.delay))
		}
	}
	return f.String()
}
