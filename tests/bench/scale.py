#!/usr/bin/python3
"""What grows how: indexes, collections, retention, catalogs, at several sizes.

One table of what the programs of this folder measure: seconds on the wall and
of the processor, the processor's beside n log n of the smallest size (1: grows
like it; sorting and trees do), the most anonymous memory, bytes that system
calls read and wrote.  The same lands in build/results/scale.json.  Nothing
here is a test: no time is asserted.

    scale.py BUILD [quick] [--full] [--only WORD] [--work DIR]

quick: 10^4 and 10^5 chunks, small fleets; else 10^5 to 10^7; --full: an index
of 7.5 * 10^7 as well.
"""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

LINE = re.compile(r"(?P<what>.+?) +(?P<n>\d+) +(?P<wall>[\d.]+) s +"
                  r"(?P<cpu>[\d.]+) s of the processor +(?P<anon>[\d.]+) MiB "
                  r"+(?P<read>[\d.]+) MiB read +(?P<written>[\d.]+) MiB written")
FIGURES = ("wall", "cpu", "anon", "read", "written")


class Scale:
    def __init__(self, build: str, work: str, only: str) -> None:
        self.build, self.work, self.only = build, work, only
        self.rows: list[dict] = []

    def keep(self, what: str, n: int, **figures: float) -> None:
        self.rows.append({"what": what, "n": n, **figures})
        print(f"  {what}, {n}: {figures['wall']:.3f} s", file=sys.stderr,
              flush=True)

    def run(self, name: str, *arguments: object, folder: bool = True) -> None:
        """One of the measuring programs, in a folder that is empty."""
        if self.only not in name:
            return
        place = os.path.join(self.work, name)
        os.mkdir(place)
        argv = [os.path.join(self.build, "tests/bench/bench_" + name),
                *([place] if folder else []), *map(str, arguments)]
        try:
            with subprocess.Popen(argv, stdout=subprocess.PIPE,
                                  text=True) as child:
                assert child.stdout
                for line in child.stdout:
                    found = LINE.fullmatch(line.strip())
                    if found:
                        self.keep(found["what"].strip(), int(found["n"]),
                                  **{k: float(found[k]) for k in FIGURES})
            if child.returncode:
                sys.exit(f"scale: {' '.join(argv)} failed")
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def simulate(self, n: int) -> None:
        """`snapctl policy simulate`: a snapshot each ten minutes."""
        if self.only not in "simulate":
            return
        policy = os.path.join(self.work, "policy.json")
        snapshots = os.path.join(self.work, "snapshots.json")
        with open(policy, "w", encoding="ascii") as out:
            json.dump({"keep-last": 100, "keep-daily": 90, "keep-weekly": 52,
                       "keep-monthly": -1, "timeZone": "Europe/Berlin"}, out)
        with open(snapshots, "w", encoding="ascii") as out:
            json.dump([{"id": f"{i:08x}", "time": time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 - 600 * i))}
                for i in range(n)], out)
        begun = time.monotonic()
        with subprocess.Popen(
                [os.path.join(self.build, "service/snapctl"), "--json",
                 "policy", "simulate", "--policy", policy, "--snapshots",
                 snapshots], stdout=subprocess.DEVNULL) as child:
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = status
        if status:
            sys.exit("scale: policy simulate failed")
        self.keep("policy simulate", n, wall=time.monotonic() - begun,
                  cpu=used.ru_utime + used.ru_stime,
                  anon=used.ru_maxrss / 1024,
                  read=os.path.getsize(snapshots) / 2**20, written=0.0)

    def table(self) -> None:
        print(f"{'':<44}{'n':>10}{'s':>10}{'s of cpu':>10}{'/ n log n':>10}"
              f"{'anon MiB':>10}{'read MiB':>10}{'written':>10}")
        first: dict[str, dict] = {}
        for row in sorted(self.rows, key=lambda r: (r["what"], r["n"])):
            small = first.setdefault(row["what"], row)
            row["growth"] = None
            if small is not row and small["cpu"] >= 0.001:
                row["growth"] = (row["cpu"] / small["cpu"]
                                 / (row["n"] * math.log2(row["n"] + 1))
                                 * (small["n"] * math.log2(small["n"] + 1)))
            growth = f"{row['growth']:.2f}" if row["growth"] else ""
            print(f"{row['what']:<44}{row['n']:>10}{row['wall']:>10.3f}"
                  f"{row['cpu']:>10.3f}{growth:>10}{row['anon']:>10.1f}"
                  f"{row['read']:>10.1f}{row['written']:>10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("quick", nargs="?", choices=["quick"])
    parser.add_argument("--full", action="store_true",
                        help="also an index of 7.5 * 10^7 chunks")
    parser.add_argument("--only", default="", metavar="WORD",
                        help="index, gc, schedules, catalog, simulate")
    parser.add_argument("--work", help="folder for what is made")
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="snapctl-scale-", dir=args.work)
    scale = Scale(os.path.abspath(args.build), work, args.only)
    chunks = [10**4, 10**5] if args.quick else [10**5, 10**6, 10**7]
    fleets = ([(10, 100), (30, 100)] if args.quick
              else [(10, 365), (100, 365), (1000, 365)])
    try:
        for n in chunks + ([75 * 10**6] if args.full else []):
            scale.run("index", n)
        for n in chunks:
            scale.run("gc", n)
        for n in [10**4, 10**5] if args.quick else [10**4, 10**5, 10**6]:
            scale.run("schedules", n, folder=False)
            scale.simulate(n)
        for sources, days in fleets:
            scale.run("catalog", sources, days)
        if not args.quick:  # a fleet's schedules, without their past
            scale.run("catalog", 10000, 2)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    scale.table()
    os.makedirs(os.path.join(args.build, "results"), exist_ok=True)
    with open(os.path.join(args.build, "results/scale.json"), "w",
              encoding="utf-8") as out:
        json.dump(scale.rows, out, indent=1)


if __name__ == "__main__":
    main()
