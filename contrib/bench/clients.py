#!/usr/bin/env python3
"""Many clients of one storage server at once: does it serve them all, how long does it take, how much
memory does the server itself need? As root, after "make build".

  clients.py [--clients 50] [--places 64] [--files 400] [--large 0] [--runs 3] [--bin bin]

Each client has a certificate, a tree and a configuration of its own; in each run all of them back up at the
same moment: the first in full, the others with one file in ten changed. With --large each has a file of so many
MiB too, which is sent whole (compress = no) and anew in each run. --places is max_clients. Exit
status 1 if a client failed, or if the server took more than --limit MiB (64).
"""
import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from measure import high_water

CLIENT = """[global]
status_dir = {home}/status
log_file = {home}/log
[job:bench]
direction = push
type = full
include = {home}/tree
dest = server
report = db
copy_retries = 20
copy_retry_min_sleep = 1
[dest:server]
type = active
path = b1000://localhost:{port}
{compress}tls_cert = {tls}/{name}.pem
tls_key = {tls}/{name}.key
tls_ca = {tls}/ca.pem
[report:db]
type = sqlite
path = {home}/reports.db
"""
SERVER = """[storage]
path = {work}/kept
address = 127.0.0.1
port = {port}
clients_dir = {work}/clients
max_clients = {places}
tls_cert = {tls}/localhost.pem
tls_key = {tls}/localhost.key
tls_ca = {tls}/ca.pem
"""


def options():
    a = argparse.ArgumentParser(description="many clients of one storage server at once")
    a.add_argument("--clients", type=int, default=50)
    a.add_argument("--places", type=int, default=64, help="max_clients of the server (default %(default)s)")
    a.add_argument("--files", type=int, default=400, help="of each client, 16 KiB each (default %(default)s)")
    a.add_argument("--large", type=int, default=0, metavar="MIB", help="of one more file of each client (default %(default)s)")
    a.add_argument("--runs", type=int, default=3)
    a.add_argument("--limit", type=float, default=64, help="MiB of the server itself (default %(default)s)")
    a.add_argument("--bin", default="bin", help="where the programs are (default %(default)s)")
    a.add_argument("--dir", help="where to work (default: a temporary directory)")
    return a.parse_args()


def private(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(text)


def prepare(o, work, port):
    """Certificates, trees and configurations."""
    tls, names = f"{work}/tls", [f"host{i:03d}" for i in range(o.clients)]
    for d in ("kept", "clients", "run"):
        os.makedirs(f"{work}/{d}")
    for what in (["ca"], ["server", "localhost"], *(["client", n] for n in names)):
        subprocess.run([f"{o.bin}/b1000ctl", "cert", "--dir", tls, *what], check=True, stdout=subprocess.DEVNULL)
    private(f"{work}/server.cfg", SERVER.format(work=work, port=port, places=o.places, tls=tls))
    for n in names:
        home = f"{work}/home/{n}"
        os.makedirs(f"{home}/status")
        private(f"{work}/clients/{n}", f"ssl_peer_cn = {n}\n")
        private(f"{home}/b1000.cfg", CLIENT.format(home=home, port=port, tls=tls, name=n, compress="compress = no\n" if o.large else ""))
        for i in range(o.files):
            write(home, i)
        large(o, home, 0)
    time.sleep(2.2 if o.large else 0)  # younger ones are not sent whole
    return names


def large(o, home, run):
    """One large file under a name of its own in each run."""
    if not o.large:
        return
    if run:
        os.remove(f"{home}/tree/large{run - 1}")
    with open(f"{home}/tree/large{run}", "wb") as f:
        block = os.urandom(1 << 20)
        for _ in range(o.large):
            f.write(block)


def write(home, i):
    path = f"{home}/tree/d{i % 20}/f{i}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(os.urandom(16 << 10))


def everybody(o, work, names):
    """One backup of each client, all at once; returns the seconds that each took, and how many failed."""
    began, running, took, failed = time.monotonic(), {}, [], 0
    for n in names:
        log = open(f"{work}/home/{n}/out", "ab")
        running[n] = subprocess.Popen([f"{o.bin}/b1000", "-f", f"{work}/home/{n}/b1000.cfg", "bench"], stdout=log, stderr=log,
                                      stdin=subprocess.DEVNULL)
        log.close()
    for n, p in running.items():
        if p.wait() != 0:
            failed += 1
            print(f"{n}: exit {p.returncode}; see {work}/home/{n}/out")
    took.append(time.monotonic() - began)
    return took[0], failed


def main():
    o = options()
    o.bin = os.path.abspath(o.bin)
    if not os.path.exists(f"{o.bin}/b1000d"):
        sys.exit(f"clients.py: no b1000d in {o.bin}; run \"make build\" first")
    work = tempfile.mkdtemp(prefix="b1000-clients-", dir=o.dir)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    names = prepare(o, work, port)
    with open(f"{work}/server.log", "wb") as log:
        server = subprocess.Popen([f"{o.bin}/b1000d", "-f", f"{work}/server.cfg", "storage"], stdout=log, stderr=log,
                                  env=dict(os.environ, RUNTIME_DIRECTORY=f"{work}/run"))
    bad = 0
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        for run in range(o.runs):
            wall, failed = everybody(o, work, names)
            bad += failed
            print(f"run {run}: {o.clients} clients in {wall:.1f} s, {failed} failed; server's memory so far "
                  f"{high_water(server.pid) / 1024:.1f} MiB", flush=True)
            for n in names:
                for i in range(0, o.files, 10):
                    write(f"{work}/home/{n}", i)
                large(o, f"{work}/home/{n}", run + 1)
            time.sleep(2.2)
        peak = high_water(server.pid) / 1024
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    complete = sum(len([e for e in os.listdir(d) if not e.startswith(".")]) for d, _, _ in
                   (w for w in os.walk(f"{work}/kept") if w[0].count("/") == work.count("/") + 4))
    print(f"{complete} backups are there, of {o.clients * o.runs}; the server took {peak:.1f} MiB at most (limit {o.limit:.0f})")
    good = not bad and complete == o.clients * o.runs and peak <= o.limit
    if good:
        shutil.rmtree(work)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
