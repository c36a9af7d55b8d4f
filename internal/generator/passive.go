package generator

import (
	"net"
	"slices"

	"b1000/internal/config"
	"b1000/internal/unit"
)

// Socket is the unit that a passive job is reached by, and PassiveService the
// instance of b1000-passive@.service, which the package ships, that it starts.
func Socket(job string) string { return "b1000-passive@" + job + ".socket" }

// PassiveService is the service behind [Socket].
func PassiveService(job string) string { return "b1000-passive@" + job + ".service" }

// addPassive adds the socket of a passive job with listen, and what its service
// may write to.
func (p *part) addPassive(job *config.Job, source string) error {
	if job.Direction != "passive" || job.Listen == "" {
		return nil
	}
	if err := unit.CheckName(PassiveService(job.Name)); err != nil {
		return err
	}
	host, port, err := config.ParseListen(job.Listen)
	if err != nil {
		return err
	}
	name := Socket(job.Name)
	f := p.header(job, source)
	f.Section("Unit")
	f.Set("Description", "Where backup "+unit.Text(job.Name)+" is fetched")
	setSource(f, source)
	f.Section("Socket")
	if host == "" {
		f.Set("ListenStream", port)
		f.Set("BindIPv6Only", "both")
	} else {
		f.Set("ListenStream", net.JoinHostPort(host, port))
		f.Set("FreeBind", "yes") // the address may come up later
	}
	f.Set("FileDescriptorName", "passive")
	p.tree.File(name, f.String())
	p.wants.sockets = append(p.wants.sockets, name)

	d := p.header(job, source)
	d.Section("Unit")
	d.Set("Description", "Serving backup "+unit.Text(job.Name)+" to the host that fetches it")
	setSource(d, source)
	if paths := written(job); len(paths) > 0 {
		d.Section("Service")
		d.Set("ReadWritePaths", unit.Paths(paths))
	}
	p.tree.File(PassiveService(job.Name)+".d/"+dropIn, d.String())
	return nil
}

// written is the report directory, as ReadWritePaths= takes it: with a "-" where
// it may be missing.
func written(job *config.Job) (paths []string) {
	i := slices.IndexFunc(job.Reports, func(r *config.Report) bool { return r.Type == "file" })
	if i >= 0 && unit.CanBePath(job.Reports[i].Path) {
		paths = append(paths, "-"+job.Reports[i].Path)
	}
	return paths
}
