#!/usr/bin/env python3
"""Backs up the same trees by b1000 and by others, side by side. Called by run.sh, as root.

One cycle of a contender: an empty filesystem, init, first backup, unchanged, mutate, changed, restore and
comparison. A round is one cycle of each contender, in an order that turns with the rounds: the speed of a
machine drifts, so only what was measured within one round is compared.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import goals
from measure import HERE, Filler, Memory, Recipe, differences, disk_usage, step

DEFAULT = "b1000,rsync-aHAX-linkdest,rsync-aHAX,rsnapshot,restic,kopia,borg"
MILLION = 1_000_000
SERVER = "b1000-server,rsyncd,rsync-daemon,rsync-ssh,rsync-ssl"
KINDS = {"w1": "w1", "w2": "w2", "w3": "w3", "million": "tiny"}


class Failed(Exception):
    """A contender that failed is left out from then on."""


class Bench:
    def __init__(self, options):
        self.o = options
        self.work = options.dir
        self.bin = f"{self.work}/bin"
        self.rows, self.absent, self.recipes = [], {}, {}
        self.last_start, self.watched, self.bulk = {}, [], False
        self.filler = Filler(f"{self.work}/filler")
        os.makedirs(f"{self.work}/log", exist_ok=True)
        os.makedirs(f"{self.work}/source", exist_ok=True)
        os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
        self.json = open(options.json, "a")
        base = dict(os.environ, HERE=HERE, WORK=self.work, BIN=self.bin, LC_ALL="C",
                    PATH=f"{self.bin}:{os.environ['PATH']}")
        self.base = {k: v for k, v in base.items() if not k.startswith(("RESTIC_", "KOPIA_", "BORG_", "RSYNC_", "B1000_"))}
        for name in [*options.contenders.split(","), goals.FLOOR]:
            recipe = Recipe(name, self.base)
            if recipe.missing:
                self.leave_out(name, f"missing: {' '.join(map(os.path.basename, recipe.missing))}")
            else:
                self.recipes[name] = recipe

    def leave_out(self, name, why):
        print(f"left out: {name}: {why}", flush=True)
        self.absent[name] = why
        self.recipes.pop(name, None)

    def contenders(self):
        return [n for n in self.recipes if n != goals.FLOOR or n in self.o.contenders.split(",")]

    # -- trees ------------------------------------------------------------------------------------------

    def source(self, workload):
        files = {"w1": self.o.files, "million": MILLION}.get(workload)
        path = f"{self.work}/source/{workload}" + (f"-{files}" if files else "")
        if not os.path.exists(path + ".seed"):
            subprocess.run(["rm", "-rf", path], check=True)
            command = [f"{HERE}/workload.py", KINDS[workload], path]
            print(f"making {path}", flush=True)
            subprocess.run(command + (["--files", str(files)] if files else []), check=True)
            self.write_seed(path, 0)
        return path

    @staticmethod
    def write_seed(path, seed):
        with open(path + ".seed", "w") as f:
            f.write(str(seed))

    def mutate(self, workload, path):
        with open(path + ".seed") as f:
            seed = int(f.read()) + 1
        subprocess.run([f"{HERE}/workload.py", "mutate", path, "--kind", workload, "--seed", str(seed)], check=True)
        self.write_seed(path, seed)

    def fresh(self, *off):
        subprocess.run([f"{HERE}/fresh.sh", self.work, *off], check=True)

    # -- steps ------------------------------------------------------------------------------------------

    def environment(self, src, part="."):
        """A contender's own store and home on the fresh filesystem."""
        root = os.path.normpath(f"{self.work}/mnt/{part}")
        env = dict(self.base, SRC=src, STORE=f"{root}/store", RESTORE=f"{root}/restore", HOMEDIR=f"{root}/home",
                   HOME=f"{root}/home", XDG_CACHE_HOME=f"{root}/home/.cache", N="0")
        os.makedirs(env["STORE"])
        os.makedirs(env["HOMEDIR"])
        return env

    def log(self, name):
        return open(f"{self.work}/log/{name}", "w")

    def record(self, row):
        self.rows.append(row)
        self.json.write(json.dumps(row) + "\n")
        self.json.flush()
        if row["workload"] == "w3":  # too many and all alike
            return
        extra = "".join(f" {k} {row[k]:.4g}" for k in ("store_mb", "settle", "differ", "attrs", "peak_mb") if k in row)
        print(f"{row['contender']:20} {row['workload']} {row['round']:2} {row['step']:9} wall {row['wall']:7.3f} "
              f"sync {row['sync']:6.3f} cpu {row['cpu']:6.2f} rss {row['rss_mb']:5.0f}{extra}", flush=True)

    def run(self, recipe, function, env, log):
        """One step. Two backups of a contender never start in the same second: some name them by it."""
        time.sleep(max(0, self.last_start.get(recipe.name, 0) + 1.1 - time.monotonic()))
        self.last_start[recipe.name] = time.monotonic()
        if self.bulk:
            self.filler.fill()
            warm(env["SRC"])
        d = step(recipe, function, env, log, self.o.cold)
        if d["rc"] != 0:
            subprocess.run(["tail", "-n", "5", log.name], check=True)
            raise Failed(f"{function} ended with {d['rc']}; see {log.name}")
        return d

    def backup(self, recipe, name, env, log):
        env["N"] = str(int(env["N"]) + 1)
        first = name == "first" and recipe.has("c_first")
        d = self.run(recipe, "c_first" if first else "c_backup", env, log)
        if recipe.has("c_settle"):
            settled = step(recipe, "c_settle", env, log)
            d["settle"], d["cpu"] = settled["wall"], d["cpu"] + settled["cpu"]
        return d

    # -- phases -----------------------------------------------------------------------------------------

    def cycle(self, recipe, workload, turn):
        src = self.source(workload)
        self.bulk = workload == "w2"
        self.fresh()
        env, where = self.environment(src), {"contender": recipe.name, "workload": workload, "round": turn}
        warm(src)
        with self.log(f"{workload}.{recipe.name}.{turn}") as log:
            try:
                if recipe.has("c_init"):
                    self.run(recipe, "c_init", env, log)
                for name in ("first", "unchanged", "changed"):
                    if name == "changed":
                        self.mutate(workload, src)
                    d = self.backup(recipe, name, env, log)
                    self.record(d | where | {"step": name, "store_mb": disk_usage(env["STORE"])})
                d = self.run(recipe, "c_restore", env, log)
                d["differ"], d["attrs"] = differences(src, env["RESTORE"])
                self.record(d | where | {"step": "restore"})
            finally:
                if recipe.has("c_stop"):
                    step(recipe, "c_stop", env, log)

    def rounds(self, workload):
        for turn in range(self.o.runs):
            names = self.contenders()
            names = names[turn % len(names):] + names[:turn % len(names)] if names else []
            for name in names:
                self.attempt(name, lambda r: self.cycle(r, workload, turn))

    def attempt(self, name, action):
        try:
            action(self.recipes[name])
        except Failed as e:
            self.leave_out(name, str(e))

    def tiny(self):
        """w3: one tiny file, unchanged, many times, every contender in each round."""
        src = self.source("w3")
        self.fresh()
        ready, recipes, log = {}, dict(self.recipes), self.log("w3")
        try:
            for name in recipes:
                env = ready[name] = self.environment(src, name)
                if recipes[name].has("c_init"):
                    self.attempt(name, lambda r: self.run(r, "c_init", env, log))
            for turn in range(-1, self.o.tiny_runs):  # the first round warms up
                for name in sorted(self.recipes, reverse=bool(turn % 2)):
                    self.attempt(name, lambda r: self.tiny_turn(r, ready[r.name], log, turn))
        finally:
            for name in ready:
                if recipes[name].has("c_stop"):
                    step(recipes[name], "c_stop", ready[name], log)
            log.close()

    def tiny_turn(self, recipe, env, log, turn):
        d = self.backup(recipe, "first" if turn < 0 else "unchanged", env, log)
        if turn >= 0:
            self.record(d | {"contender": recipe.name, "workload": "w3", "round": turn, "step": "unchanged"})

    def memory(self, workload):
        """First and unchanged once more, with b1000 watched; their times are not used."""
        files = self.o.files if workload == "w1" else MILLION
        name = f"memory, {files} files"
        self.watched.append(name)

        def watched(recipe):
            src = self.source(workload)
            self.fresh()
            env = self.environment(src)
            with self.log(name) as log:
                self.run(recipe, "c_init", env, log)
                for kind in ("first", "unchanged"):
                    with Memory(f"{self.bin}/b1000") as m:
                        d = self.backup(recipe, kind, env, log)
                    self.record(d | {"contender": recipe.name, "workload": name, "round": 0, "step": kind,
                                     "peak_mb": m.peak_kib / 1024})
        if goals.OURS in self.recipes:
            self.attempt(goals.OURS, watched)

    def everything(self):
        for workload in self.o.workloads:
            if workload == "w3":
                self.tiny()
            elif workload == "memory":
                self.memory("w1")
                if self.o.million:
                    self.memory("million")
            else:
                self.rounds(workload)


def warm(src):
    """Read the source once, so that every contender finds it in the page cache."""
    subprocess.run(["bash", "-c", 'find "$1" -type f -exec cat {} + >/dev/null', "bash", src], check=True)


def options():
    a = argparse.ArgumentParser(prog="run.sh", description="compare b1000 with others, side by side")
    a.add_argument("--quick", action="store_true", help="10,000 files, one round: try the harness in a minute")
    a.add_argument("--server", action="store_true", help="the storage server: w1 and w2, beside rsync by other ways")
    a.add_argument("--workloads", help="of w1, w2, w3, memory (default w1,w3,memory)")
    a.add_argument("--contenders", help=f"names in contenders/ (default {DEFAULT})")
    a.add_argument("--runs", type=int, help="rounds (default 3)")
    a.add_argument("--million", action="store_true", help="memory at 1,000,000 files as well")
    a.add_argument("--cold", action="store_true", help="with empty caches before every step")
    a.add_argument("--strict", action="store_true", help="exit 1 when a goal is not met or was not measured")
    a.add_argument("--json", help="where rows and goals are appended, a line each (default DIR/results/TIME.jsonl)")
    a.add_argument("--dir", required=True, help=argparse.SUPPRESS)
    o = a.parse_args()
    o.workloads = (o.workloads or ("w1,w2" if o.server else "w1,w3,memory")).split(",")
    o.contenders = o.contenders or (SERVER if o.server else DEFAULT)
    for name in set(o.workloads) - {"w1", "w2", "w3", "memory"}:
        a.error(f"there is no workload {name}")
    for name in o.contenders.split(","):
        if not os.path.exists(f"{HERE}/contenders/{name}.sh"):
            a.error(f"there is no contenders/{name}.sh")
    o.files = 10_000 if o.quick else 100_000
    o.runs = o.runs or (1 if o.quick else 3)
    o.tiny_runs = 5 if o.quick else 20
    o.json = o.json or f"{o.dir}/results/{time.strftime('%Y-%m-%dT%H-%M-%S')}.jsonl"
    return o


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    o = options()
    b = Bench(o)
    try:
        b.everything()
    except KeyboardInterrupt:
        return 130
    finally:
        b.fresh("off")
        b.filler.remove()
    for workload in dict.fromkeys(r["workload"] for r in b.rows):
        goals.show_table(b.rows, workload)
    print()
    judged = goals.judge(b.rows, b.absent, o.workloads, b.watched)
    goals.show_goals(judged)
    for g in judged:
        b.json.write(json.dumps(g) + "\n")
    if o.quick:
        print("these goals are for 100,000 files: with --quick they only show that the harness works")
    print(f"rows: {o.json}")
    return 1 if o.strict and not all(g["met"] for g in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
