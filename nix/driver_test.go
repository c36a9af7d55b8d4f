package nix_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"b1000/internal/testhost"
)

// interpreter runs the script of a test of NixOS: what it asks of a machine goes to
// the standard output, a line of JSON each, and the answers come back by the
// standard input. Subtests that are left out have to be there.
const interpreter = `
import ast, builtins, contextlib, json, sys

path, machines, left_out = sys.argv[1], sys.argv[2].split(","), json.loads(sys.argv[3])
out, sys.stdout = sys.stdout, sys.stderr
tree = ast.parse(open(path).read(), "testScript")


def ask(*words):
    print(json.dumps(words), file=out, flush=True)
    reply = json.loads(sys.stdin.readline())
    if reply["Error"]:
        raise Exception(" ".join(map(str, words)) + ": " + reply["Error"])
    return reply["Output"]


class Machine:
    def __init__(self, name):
        self.name = name

    def __getattr__(self, method):
        return lambda *args: ask(self.name, method, *map(str, args))


@contextlib.contextmanager
def subtest(title):
    ask("", "subtest", title)
    yield


def is_left_out(node):
    if isinstance(node, ast.With) and isinstance(node.items[0].context_expr, ast.Call):
        title = node.items[0].context_expr.args[0].value
        if title in left_out:
            left_out.remove(title)
            return True
    return False


names = {m: Machine(m) for m in machines} | {"subtest": subtest, "start_all": lambda: None}
bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)} | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
for node in ast.walk(tree):
    if isinstance(node, ast.Name) and node.id not in bound | set(names) | set(dir(builtins)):
        sys.exit(f"testScript:{node.lineno}: {node.id} is not defined")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in machines:
        ask("", "method", node.attr)

tree.body = [n for n in tree.body if not is_left_out(n)]
if left_out:
    sys.exit(f"there is no subtest of the name {left_out}")
exec(compile(tree, "testScript", "exec"), names)
`

// driver stands for the test driver of NixOS.
type driver struct {
	t        *testing.T
	hosts    map[string]*testhost.Host
	systems  map[string]system // by machine and path of the system
	subtests []string
}

// run runs a script of Python.
func (d *driver) run(script string) {
	d.t.Helper()
	dir := d.t.TempDir()
	path := filepath.Join(dir, "script.py")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		d.t.Fatal(err)
	}
	var machines []string
	for name := range d.hosts {
		machines = append(machines, name)
	}
	without, _ := json.Marshal(leftOut)
	cmd := exec.CommandContext(d.t.Context(), "python3", "-c", interpreter, path, strings.Join(machines, ","), string(without))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var words []string
		if err := json.Unmarshal(lines.Bytes(), &words); err != nil {
			d.t.Errorf("%v: %s", err, lines.Bytes())
			break
		}
		var reply struct{ Output, Error string }
		if reply.Output, err = d.do(words[0], words[1], words[2:]); err != nil {
			reply.Error = err.Error()
		}
		line, _ := json.Marshal(reply)
		fmt.Fprintf(in, "%s\n", line)
	}
	if err := cmd.Wait(); err != nil {
		for name, h := range d.hosts {
			d.t.Logf("%s:\n%s", name, h.Journal("-b", "-o", "short", "-n", "40", "-p", "info"))
		}
		d.t.Fatalf("after %q: %v\n%s", d.subtests, err, &stderr)
	}
}

var switching = regexp.MustCompile(`^(/run/\S+)/bin/switch-to-configuration test$`)

// do is one call of the script: a method of a machine.
func (d *driver) do(machine, method string, args []string) (string, error) {
	h := d.hosts[machine]
	shell := func(command string) (string, error) {
		ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
		defer cancel()
		out, stderr, err := h.Run(ctx, "bash", "-c", "set -euo pipefail; "+command)
		if err != nil {
			err = fmt.Errorf("%w: %s%s", err, out, stderr)
		}
		return out, err
	}
	opposite := func(command string) (string, error) {
		out, err := shell(command)
		if err == nil {
			return out, fmt.Errorf("succeeds: %s", out)
		}
		return out, nil
	}
	switch method {
	case "subtest":
		d.subtests = append(d.subtests, args[0])
		return "", nil
	case "method":
		return "", d.knows(args[0])
	case "succeed":
		if m := switching.FindStringSubmatch(args[0]); m != nil {
			return "", d.turn(machine, m[1])
		}
		return shell(args[0])
	case "fail":
		return opposite(args[0])
	case "wait_for_unit":
		return until(func() (string, error) { return shell("systemctl is-active " + args[0]) })
	case "wait_for_open_port":
		return until(func() (string, error) { return shell("ss -Hltn 'sport = " + args[0] + "' | grep -q .") })
	case "wait_until_succeeds":
		return until(func() (string, error) { return shell(args[0]) })
	case "wait_until_fails":
		return until(func() (string, error) { return opposite(args[0]) })
	}
	return "", d.knows(method)
}

// knows is an error for what is no method of a machine, or none that is known here.
func (d *driver) knows(method string) error {
	for _, m := range []string{"succeed", "fail", "wait_for_unit", "wait_for_open_port", "wait_until_succeeds", "wait_until_fails"} {
		if m == method {
			return nil
		}
	}
	return fmt.Errorf("machines have no method %s", method)
}

// until repeats a call until it succeeds, for a minute.
func until(call func() (string, error)) (out string, err error) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if out, err = call(); err == nil || time.Now().After(end) {
			return out, err
		}
	}
}

// turn is what a switch to another system does, as far as it concerns this module:
// files are exchanged, systemd reads them, units with new triggers are started again.
func (d *driver) turn(machine, to string) error {
	s, found := d.systems[machine+" "+to]
	if !found {
		return fmt.Errorf("%s has no system %s", machine, to)
	}
	h := d.hosts[machine]
	install(d.t, h, s, fmt.Sprint(time.Now().UnixNano()))
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("systemctl", "restart", "b1000-reload.service")
	return nil
}
