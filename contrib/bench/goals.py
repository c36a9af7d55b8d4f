"""What the figures are held against, and how they are shown.

A ratio is formed within one round, in which every contender had its turn, and says how many times longer
the peer took than b1000; the median over the rounds is held against the goal. Where a copy is made, what
counts is wall + sync, the time until it is on the disk: b1000 sees to that itself, most others leave it to
the kernel. Elsewhere it is the wall time alone.
"""
from statistics import median

OURS = "b1000"
FLOOR = "rsync-copy"  # the bare rsync that one tiny file is held against
LINKDEST, MIRROR = "rsync-aHAX-linkdest", "rsync-aHAX"

# step, peer, least ratio
RATIOS = (
    ("unchanged", LINKDEST, 10), ("unchanged", "rsnapshot", 2), ("unchanged", "restic", 2.7), ("unchanged", "kopia", 1),
    ("changed", "kopia", 1 / 1.10),
    ("first", MIRROR, 1 / 1.05), ("restore", MIRROR, 1 / 1.05),
)
# The storage server: workload, step, peer, least ratio. What is sent by rsync-ssl and by the plain daemon
# is the same; the daemon encrypts nothing.
SERVER = "b1000-server"
SERVER_RATIOS = (
    ("w1", "unchanged", "rsync-daemon", 3), ("w1", "unchanged", "rsyncd", 3), ("w2", "first", "rsync-ssh", 1.5), ("w2", "first", "rsync-ssl", 1.7),
    ("w2", "first", "rsyncd", 0.6),
)
ON_DISK = ("first", "restore")
OVERHEAD_MS = 30
MEMORY_MB = 30
STEPS = ("first", "unchanged", "changed", "restore")


def seconds(row):
    return row["wall"] + row["sync"] if row["step"] in ON_DISK else row["wall"]


def good(rows, workload, contender, step):
    """Rows of one step by round, without those that failed."""
    return {r["round"]: r for r in rows if (r["workload"], r["contender"], r["step"]) == (workload, contender, step)
            and r["rc"] == 0 and r.get("differ", 0) == 0}


def goal(name, values, least=None, most=None, unit="", missing=""):
    """One goal with what was measured for it; met is None where nothing was."""
    g = {"goal": name, "unit": unit, "least": least, "most": most, "n": len(values), "met": None}
    if not values:
        return dict(g, missing=missing or "not measured")
    g.update(median=median(values), min=min(values), max=max(values))
    g["met"] = g["median"] >= least if least is not None else g["median"] <= most
    return g


def left_out(absent, name):
    return f"{name} left out ({absent[name]})" if name in absent else ""


def ratio(rows, absent, one, workload, step, peer, least):
    ours, theirs = good(rows, workload, one, step), good(rows, workload, peer, step)
    values = [seconds(theirs[i]) / seconds(ours[i]) for i in ours if i in theirs]
    why = "; ".join(left_out(absent, n) for n in (one, peer) if n in absent)
    kind = "wall + sync" if step in ON_DISK else "wall"
    return goal(f"{workload} {step}: {peer} / {one} ({kind})", values, least=least, unit="x", missing=why)


def ratios(rows, absent):
    for step, peer, least in RATIOS:
        yield ratio(rows, absent, OURS, "w1", step, peer, least)


def server_ratios(rows, absent, workloads):
    for workload, step, peer, least in SERVER_RATIOS:
        if workload in workloads:
            yield ratio(rows, absent, SERVER, workload, step, peer, least)


def overhead(rows, absent):
    ours, floor = good(rows, "w3", OURS, "unchanged"), good(rows, "w3", FLOOR, "unchanged")
    values = [1000 * (ours[i]["wall"] - floor[i]["wall"]) for i in ours if i in floor]
    yield goal("w3 unchanged: b1000 - rsync -a", values, most=OVERHEAD_MS, unit="ms", missing=left_out(absent, OURS))


def memory(rows, absent, watched):
    for workload in watched:
        for step in ("first", "unchanged"):
            values = [r["peak_mb"] for r in good(rows, workload, OURS, step).values()]
            yield goal(f"{workload} {step}: peak memory of b1000 itself", values, most=MEMORY_MB, unit="MiB",
                       missing=left_out(absent, OURS))


def restores(rows):
    """The restored tree must equal the source in everything; a number of names that do not."""
    values = [r["attrs"] for r in rows if r["contender"] == OURS and r["step"] == "restore" and r["rc"] == 0]
    if values:
        yield goal("restore: names that differ in anything", values, most=0)


def judge(rows, absent, workloads, watched):
    """Every goal of the workloads; watched are the names under which memory was measured."""
    took_part = {r["contender"] for r in rows} | set(absent)
    found = list(server_ratios(rows, absent, workloads)) if SERVER in took_part else []
    if OURS not in took_part:
        return found
    if "w1" in workloads:
        found += [*ratios(rows, absent), *restores(rows)]
    if "w3" in workloads:
        found += overhead(rows, absent)
    return found + list(memory(rows, absent, watched))


def show_goals(goals):
    for g in goals:
        want = f">= {g['least']:.2f}" if g["least"] is not None else f"<= {g['most']:.2f}"
        if g["met"] is None:
            print(f"----    {g['goal']}: {g['missing']} (goal {want} {g['unit']})")
            continue
        mark = "ok  " if g["met"] else "FAIL"
        print(f"{mark}    {g['goal']}: {g['median']:.2f} {g['unit']} "
              f"({g['min']:.2f}-{g['max']:.2f}, n {g['n']}; goal {want})")


def show_table(rows, workload):
    rows = [r for r in rows if r["workload"] == workload]
    if not rows:
        return
    steps = [s for s in STEPS if any(r["step"] == s for r in rows)]
    head = ["contender"] + [f"{s} s" for s in steps] + [f"{s} + sync" for s in steps] + ["cpu s", "rss MiB", "store MiB", "n"]
    table = [head]
    for name in dict.fromkeys(r["contender"] for r in rows):
        mine = {s: [r for r in rows if r["contender"] == name and r["step"] == s and r["rc"] == 0] for s in steps}
        line = [name]
        for s in steps:
            walls = [r["wall"] for r in mine[s]]
            line.append(f"{median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})" if walls else "-")
        line += [each(mine, s, lambda r: r["wall"] + r["sync"], "{:.2f}") for s in steps]
        for key, form in (("cpu", "{:.1f}"), ("rss_mb", "{:.0f}"), ("store_mb", "{:.0f}")):
            line.append("/".join(each(mine, s, lambda r, k=key: r.get(k), form) for s in steps))
        table.append(line + [str(max(len(m) for m in mine.values()))])
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    print(f"\n{workload}")
    for line in table:
        print("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip())


def each(mine, step, value, form):
    values = [v for v in map(value, mine[step]) if v is not None]
    return form.format(median(values)) if values else "-"
