#!/usr/bin/env python3
"""Makes and changes the trees that are backed up. Same arguments, same bytes.

  workload.py w1 DIR [--files 100000]    a home: many small files, nested, links, xattrs
  workload.py w2 DIR [--mib 1500]        a database: three big files, half of it compressible
  workload.py w3 DIR                     one tiny file: what a run costs before it copies
  workload.py tiny DIR [--files 1000000] very many files of a few bytes: what they cost in memory
  workload.py mutate DIR --kind KIND     w1: 1 % rewritten, 0.5 % removed, 0.5 % added
                                         w2: 1 % of the 16 KiB pages overwritten in place

--seed N chooses other bytes. Files are made with times in the past; mutate leaves the time as it is now.
"""
import argparse
import math
import os
import random
import sys

# Five eighths blanks, the rest 24 letters: about 2.7 bits of entropy a byte.
TEXT = bytes(32 if i < 160 else 97 + (i - 160) % 24 for i in range(256))
SUFFIXES = (".txt", ".jpg", ".c", ".log", "", ".pdf")
PAST = 1_700_000_000
LARGEST = 30_000_000
PAGE = 16384


def blob(rng, size, text):
    data = rng.randbytes(size)
    return data.translate(TEXT) if text else data


def write(path, data):
    with open(path, "wb", buffering=0) as f:
        f.write(data)


def home_size(rng):
    return min(int(rng.lognormvariate(math.log(3000), 1.81)), LARGEST)


def make_dirs(rng, root, count):
    """Twenty top directories of very different size; returns them, their weights and what is below each."""
    os.makedirs(root)
    tops = [os.path.join(root, f"top{i:02d}") for i in range(20)]
    for top in tops:
        os.mkdir(top)
    weights = [1.0 / (i + 1) for i in range(20)]
    below = {top: [top] for top in tops}
    for _ in range(count):
        top = rng.choices(tops, weights)[0]
        parent = rng.choice(below[top][-400:])
        if parent.count("/") - root.count("/") > 8:
            parent = top
        path = os.path.join(parent, "d%06x" % rng.getrandbits(24))
        if not os.path.exists(path):
            os.mkdir(path)
            below[top].append(path)
    return tops, weights, below


def make_home(root, files, seed):
    rng = random.Random(seed)
    tops, weights, below = make_dirs(rng, root, files // 17)
    regular = []
    for i in range(files):
        folder = rng.choice(below[rng.choices(tops, weights)[0]])
        path = os.path.join(folder, "f%06d%s" % (i, rng.choice(SUFFIXES)))
        kind = rng.random()
        if kind < 0.02 and regular:
            os.symlink(os.path.relpath(rng.choice(regular[-500:]), folder), path)
            continue
        if kind < 0.03 and regular:
            os.link(rng.choice(regular[-500:]), path)
            continue
        size = home_size(rng)
        write(path, blob(rng, size, rng.random() < 0.5))
        if rng.random() < 0.02:
            os.setxattr(path, "user.bench", b"v%d" % i)
        os.chmod(path, rng.choice((0o644, 0o640, 0o600, 0o755)))
        when = PAST + rng.randrange(50_000_000)
        os.utime(path, (when, when))
        regular.append(path)


def make_tiny(root, files, seed):
    rng = random.Random(seed)
    tops, weights, below = make_dirs(rng, root, files // 17)
    for i in range(files):
        path = os.path.join(rng.choice(below[rng.choices(tops, weights)[0]]), "f%07d" % i)
        write(path, b"%d\n" % i)
        os.utime(path, (PAST + i, PAST + i))


def make_tables(root, mib, seed):
    os.makedirs(root)
    for k in range(3):
        rng = random.Random(seed * 1000 + k)
        path = os.path.join(root, f"table{k}.ibd")
        with open(path, "wb", buffering=0) as f:
            for _ in range(mib):  # runs of 64 KiB, random and text in turn
                f.write(b"".join(blob(rng, 65536, j & 1) for j in range(16)))
        os.utime(path, (PAST, PAST))


def mutate_tables(root, seed):
    for k in range(3):
        rng = random.Random(seed * 7919 + k)
        fd = os.open(os.path.join(root, f"table{k}.ibd"), os.O_WRONLY)
        pages = os.fstat(fd).st_size // PAGE
        for page in rng.sample(range(pages), pages // 100):
            os.pwrite(fd, blob(rng, PAGE, rng.random() < 0.5), page * PAGE)
        os.close(fd)


def mutate_home(root, seed):
    rng = random.Random(seed * 104729)
    regular = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        paths = (os.path.join(folder, name) for name in sorted(files))
        regular += [p for p in paths if not os.path.islink(p)]
    count = len(regular)
    picked = rng.sample(regular, count // 100 + count // 200)
    for path in picked[: count // 100]:
        size = int(os.path.getsize(path) * rng.uniform(0.8, 1.2)) + 1
        write(path, blob(rng, size, rng.random() < 0.5))
    for path in picked[count // 100:]:
        os.unlink(path)
    for i in range(count // 200):
        folder = os.path.dirname(rng.choice(regular))
        if os.path.isdir(folder):
            write(os.path.join(folder, f"m{seed}_{i}"), blob(rng, home_size(rng), rng.random() < 0.5))


def make_one(root, seed):
    os.makedirs(root, exist_ok=True)
    write(os.path.join(root, "one"), b"hello %d\n" % seed)


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("what", choices=("w1", "w2", "w3", "tiny", "mutate"))
    a.add_argument("dir")
    a.add_argument("--files", type=int)
    a.add_argument("--mib", type=int, default=1500)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--kind", choices=("w1", "w2", "w3"), default="w1")
    o = a.parse_args()
    os.umask(0o022)
    if o.what == "w1":
        make_home(o.dir, o.files or 100_000, o.seed)
    elif o.what == "w2":
        make_tables(o.dir, o.mib, o.seed)
    elif o.what == "w3":
        make_one(o.dir, o.seed)
    elif o.what == "tiny":
        make_tiny(o.dir, o.files or 1_000_000, o.seed)
    else:
        {"w1": mutate_home, "w2": mutate_tables, "w3": make_one}[o.kind](o.dir, o.seed)


if __name__ == "__main__":
    sys.exit(main())
