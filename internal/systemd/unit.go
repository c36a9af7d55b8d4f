package systemd

import "strings"

// Unit is the service that runs a job, or one instance of it.
//
// A name in it is not escaped: the letters, digits and ".", "-", "_" of names
// and the ":" between them may all stand in a unit's name (systemd.unit(5)), so
// that people can type systemctl start b1000@web-1:eu as it is. The template
// reads it back with %i; %I would turn "-" into "/".
func Unit(job, instance string) string {
	if instance != "" {
		job += ":" + instance
	}
	return unitPrefix + job + ".service"
}

// Timer is the timer of a job.
func Timer(job string) string { return unitPrefix + job + ".timer" }

const unitPrefix = "b1000@"

// JobOf is the job and instance that a service or timer of ours is for.
func JobOf(unit string) (job, instance string, ok bool) {
	name, ours := strings.CutPrefix(unit, unitPrefix)
	name, service := strings.CutSuffix(name, ".service")
	if !service {
		name, service = strings.CutSuffix(name, ".timer")
	}
	job, instance, _ = strings.Cut(name, ":")
	return job, instance, ours && service && job != ""
}
