"""Runs one step of one contender and measures it.

wall, user, sys and rss are of the contender's process tree (rss: of its largest process); cpu is the busy
time of the whole machine in the step, so servers are in it; sync is how long a sync takes afterwards: what
the contender called done and was not on the disk yet. Times in seconds, sizes in MiB.
"""
import os
import signal
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Recipe:
    """A file of contenders/: what it needs and which of the functions c_* it has."""

    def __init__(self, name, env):
        self.name = name
        self.path = f"{HERE}/contenders/{name}.sh"
        script = '. "$1"; echo "$NEEDS"; compgen -A function c_; exit 0'
        nowhere = dict(env, SRC="/nonexistent", STORE="/nonexistent", RESTORE="/nonexistent", HOMEDIR="/nonexistent", N="0")
        out = subprocess.run(["bash", "-c", script, "bash", self.path], env=nowhere, text=True,
                             stdout=subprocess.PIPE, check=False).stdout.splitlines()
        self.functions = set(out[1:])
        self.missing = [p for p in out[0].split() if not on_path(p, env)]

    def has(self, function):
        return function in self.functions


def on_path(program, env):
    folders = [""] if "/" in program else env["PATH"].split(":")
    return any(os.access(os.path.join(f, program), os.X_OK) for f in folders)


def machine_busy():
    with open("/proc/stat") as f:
        ticks = list(map(int, f.readline().split()[1:]))
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def step(recipe, function, env, log, cold=False):
    """One function of a recipe, after a sync, with the source in the page cache or (cold) with nothing in it."""
    subprocess.run(["sync"], check=True)
    if cold:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
    command = ["bash", "-c", 'set -e; . "$1"; "$2"', "bash", recipe.path, function]
    busy, start = machine_busy(), time.monotonic()
    p = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _, status, usage = os.wait4(p.pid, 0)
    except BaseException:
        os.killpg(p.pid, signal.SIGTERM)
        p.wait()
        raise
    end, busy = time.monotonic(), machine_busy() - busy
    p.returncode = os.waitstatus_to_exitcode(status)
    subprocess.run(["sync"], check=True)
    return {"rc": p.returncode, "wall": end - start, "user": usage.ru_utime, "sys": usage.ru_stime,
            "rss_mb": usage.ru_maxrss / 1024, "cpu": busy, "sync": time.monotonic() - end}


class Memory(threading.Thread):
    """The largest resident set (VmHWM) of any process that runs a program, without its children.

    It looks every few milliseconds, so a peak in the last moment of a process can be missed; do not use it
    around a step whose time counts.
    """

    def __init__(self, program):
        super().__init__(daemon=True)
        self.program, self.peak_kib, self.stop = os.path.realpath(program), 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()

    def run(self):
        pids, rounds = [], 0
        while not self.stop.wait(0.003):
            if rounds % 10 == 0 or not pids:
                pids = [p for p in os.listdir("/proc") if p.isdigit() and self.runs(p)]
            rounds += 1
            for pid in pids:
                self.peak_kib = max(self.peak_kib, high_water(pid))

    def runs(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/exe") == self.program
        except OSError:
            return False


def high_water(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


class Filler:
    """Fills the memory with what nobody will read again, as it is on a host that has run for a day.

    In a virtual machine memory that is free may not be there: the host gives it back page by page as it is
    written to, which can take longer than all else that a copy does, and hits one contender and spares the next.
    """
    SIZE, PIECE, LEAST = 1 << 42, 16 << 20, 256 << 20

    def __init__(self, path):
        self.path, self.at = path, 0

    def fill(self):
        with open(self.path, "ab+") as f:
            os.truncate(f.fileno(), self.SIZE)  # all hole; what is read once is the first to go
            end = self.at + os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            buffer = bytearray(self.PIECE)
            while self.at < end and free_memory() > self.LEAST:
                self.at += os.preadv(f.fileno(), [buffer], self.at % self.SIZE)

    def remove(self):
        if os.path.exists(self.path):
            os.remove(self.path)


def free_memory():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemFree:"))


def disk_usage(path):
    return int(subprocess.check_output(["du", "-sk", path]).split()[0]) / 1024


def restored_root(src, restore):
    """Where a tree was restored to: contenders differ in how much of its path they keep."""
    first = next(iter(os.listdir(src)))
    for root in (restore, restore + src, os.path.join(restore, os.path.basename(src))):
        if os.path.lexists(os.path.join(root, first)):
            return root
    return None


def differences(src, restore):
    """How many files differ after a restore in type, content or time, and how many names in anything at all
    (owner, mode, links, ACLs, xattrs, times of directories). (-1, -1): nothing was restored."""
    root = restored_root(src, restore)
    if root is None:
        return -1, -1

    def count(*options, ignore=""):
        command = ["rsync", "-n", "-i", "-c", "--delete", *options, src + "/", root + "/"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return sum(1 for line in out.splitlines() if line and not (ignore and line.startswith(ignore)))

    return (count("-rltD", "--omit-dir-times", ignore=".d"), count("-aHAX", "--numeric-ids"))
