#!/usr/bin/python3
"""Time snapctl beside its peers: same data, same disk, one run.

Each step of each tool runs in turn (A B A B …), `sync` counted; a row gives
the median, the spread, and the ratio to restic.  Figures land in
build/bench/last.json as well.  Nothing here is a test: no time is asserted.

    run.py [--rounds N] [--data DIR]… [--only STEP]
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time


class Tool:
    """One tool: argument vectors for each step, and where it stores."""

    name = ""

    def __init__(self, work: str, data: list[str]) -> None:
        self.work, self.data = work, data
        self.repo = os.path.join(work, self.name + ".repo")
        self.out = os.path.join(work, self.name + ".out")
        self.env = dict(os.environ)

    def steps(self) -> dict[str, list[str]]:
        raise NotImplementedError


class Snapctl(Tool):
    name = "snapctl"

    def __init__(self, work: str, data: list[str], program: str) -> None:
        super().__init__(work, data)
        self.program = program
        self.key = os.path.join(work, "snapctl.key")
        self.env |= {"SNAPCTL_REPO": self.repo, "SNAPCTL_KEY_FILE": self.key}

    def steps(self) -> dict[str, list[str]]:
        p = self.program
        return {
            "init": [p, "repo", "init", self.repo, "--key-file", self.key],
            "first": [p, "-q", "snapshot", "create", *self.data],
            "unchanged": [p, "-q", "snapshot", "create", *self.data],
            "check": [p, "-q", "repo", "check", "--read-data"],
            "restore": [p, "-q", "restore", "latest", "--to", self.out],
        }


class Restic(Tool):
    name = "restic"

    def __init__(self, work: str, data: list[str], program: str) -> None:
        super().__init__(work, data)
        self.program = program
        self.env |= {"RESTIC_REPOSITORY": self.repo, "RESTIC_PASSWORD": "x",
                     "RESTIC_CACHE_DIR": os.path.join(work, "restic.cache")}

    def steps(self) -> dict[str, list[str]]:
        p = self.program
        return {
            "init": [p, "init", "-q"],
            "first": [p, "backup", "-q", *self.data],
            "unchanged": [p, "backup", "-q", *self.data],
            "check": [p, "check", "-q", "--read-data"],
            "restore": [p, "restore", "-q", "latest", "--target", self.out],
        }


class Tar(Tool):
    """tar | zstd -1 -T2, and tar xf of a plain tar: no peers, but yardsticks."""

    name = "tar"

    def steps(self) -> dict[str, list[str]]:
        data = " ".join(self.data)
        os.makedirs(self.repo, exist_ok=True)
        return {
            "first": ["sh", "-c", f"tar cf - {data} 2>/dev/null | "
                      f"zstd -q -1 -T2 -f -o {self.repo}/a.tar.zst"],
            "unchanged": ["sh", "-c", f"find {data} -printf '%p %s %T@\\n' "
                          "> /dev/null"],
            "restore": ["sh", "-c", f"mkdir -p {self.out} && tar xf "
                        f"{self.work}/plain.tar -C {self.out}"],
        }


def run(argv: list[str], env: dict[str, str]) -> dict[str, float]:
    """Run a command and sync; wall, CPU and peak memory of it."""
    begun = time.monotonic()
    child = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    os.sync()
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):
        raise SystemExit(f"bench: {' '.join(argv)} ended with "
                         f"{child.returncode}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024}


def size_mb(path: str) -> float:
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, n)).st_blocks * 512
                     for n in names)
    return total / 1e6


def one_round(tools: list[Tool], figures: dict) -> None:
    for tool in tools:
        shutil.rmtree(tool.repo, ignore_errors=True)
        shutil.rmtree(tool.out, ignore_errors=True)
    for step in ("init", "first", "unchanged", "check", "restore"):
        for tool in tools:
            argv = tool.steps().get(step)
            if argv is None:
                continue
            result = run(argv, tool.env)
            for key, value in result.items():
                figures.setdefault((step, tool.name, key), []).append(value)
            if step == "first":
                figures.setdefault(("stored", tool.name, "mb"), []).append(
                    size_mb(tool.repo))
    for tool in tools:
        shutil.rmtree(tool.out, ignore_errors=True)


def first_byte(tool: Snapctl, figures: dict) -> None:
    """Seconds from starting `snapctl cat` to its first byte, no cache kept."""
    path = next(os.path.join(folder, n)
                for folder, _, names in os.walk(tool.data[0])
                for n in sorted(names)
                if os.path.isfile(os.path.join(folder, n))
                and not os.path.islink(os.path.join(folder, n))
                and os.path.getsize(os.path.join(folder, n)) > 0)
    for _ in range(5):
        begun = time.monotonic()
        child = subprocess.Popen([tool.program, "cat", "latest:" + path],
                                 env=tool.env, stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.read(1)
        figures.setdefault(("first byte", tool.name, "wall"), []).append(
            time.monotonic() - begun)
        child.stdout.read()
        child.wait()
    stats = json.loads(subprocess.run(
        [tool.program, "--json", "repo", "stats"], env=tool.env, check=True,
        capture_output=True).stdout)
    listed = json.loads(subprocess.run(
        [tool.program, "--json", "snapshot", "list"], env=tool.env, check=True,
        capture_output=True).stdout)
    figures[("index", tool.name, "entries a file")] = [
        stats["index_entries"] / listed[-1]["files"]]


def table(tools: list[Tool], figures: dict) -> None:
    names = [t.name for t in tools]
    print(f"{'':<22}" + "".join(f"{n:>24}" for n in names)
          + f"{'snapctl / restic':>18}")
    for step, key, unit in (
            ("first", "wall", "s"), ("first", "cpu", "s"),
            ("first", "peak_mb", "MB"), ("stored", "mb", "MB"),
            ("unchanged", "wall", "s"), ("unchanged", "peak_mb", "MB"),
            ("check", "wall", "s"), ("check", "peak_mb", "MB"),
            ("restore", "wall", "s"), ("restore", "cpu", "s"),
            ("restore", "peak_mb", "MB"), ("first byte", "wall", "s"),
            ("index", "entries a file", "")):
        cells, medians = [], {}
        for name in names:
            values = figures.get((step, name, key))
            if not values:
                cells.append(f"{'–':>24}")
                continue
            medians[name] = statistics.median(values)
            cells.append(f"{medians[name]:>10.2f} "
                             f"({min(values):.2f}–{max(values):.2f})".rjust(24))
        ratio = (f"{medians['snapctl'] / medians['restic']:>18.2f}"
                 if {"snapctl", "restic"} <= medians.keys() else "")
        print(f"{step + ', ' + key.replace('_mb', '') + ' ' + unit:<22}"
              + "".join(cells) + ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snapctl", required=True)
    parser.add_argument("--peers", default="build/peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", action="append")
    parser.add_argument("--work", help="folder on the disk to measure")
    args = parser.parse_args()
    data = args.data or ["/usr/lib", "/usr/share"]
    work = tempfile.mkdtemp(prefix="snapctl-bench-", dir=args.work)
    ours = Snapctl(work, data, os.path.abspath(args.snapctl))
    tools: list[Tool] = [ours]
    restic = os.path.join(os.path.abspath(args.peers), "restic")
    if os.access(restic, os.X_OK):
        tools.append(Restic(work, data, restic))
    else:
        print("bench: no restic; its column is left out")
    tools.append(Tar(work, data))
    figures: dict = {}
    try:
        subprocess.run(["sh", "-c", f"tar cf {work}/plain.tar "
                        f"{' '.join(data)} 2>/dev/null"], check=False)
        for tool in tools:  # warm the cache once
            subprocess.run(["sh", "-c", f"cat {work}/plain.tar >/dev/null"],
                           check=False)
        for n in range(args.rounds):
            print(f"bench: round {n + 1} of {args.rounds} on "
                  f"{' '.join(data)}", flush=True)
            one_round(tools, figures)
        first_byte(ours, figures)
        table(tools, figures)
        os.makedirs("build/bench", exist_ok=True)
        with open("build/bench/last.json", "w", encoding="utf-8") as out:
            json.dump([{"step": s, "tool": t, "key": k, "values": v}
                       for (s, t, k), v in figures.items()], out, indent=1)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
