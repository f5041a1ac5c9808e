#!/usr/bin/python3
"""Measure snapctl beside its peers: same data, same disk, in turn.

Each step is done by one tool after the other (A B A B …), in another order
each round, `sync` counted, the cache warm.  A row has each tool's median; for
ours its spread; for the others the ratio of ours to theirs, round by round,
and its spread.  Nothing here is a test: no time is asserted.
"""
import argparse
import datetime
import os
import signal
import subprocess
import sys
import time

import loads
import measure
import postgres
import report
import scaling
import tools
from measure import Trouble

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LOADS: dict[str, type[loads.Load]] = {
    k.name: k for k in (loads.System, loads.Tiny, postgres.Postgres,
                        loads.Image, loads.Disk, loads.Series,
                        loads.Random)}
QUICK_LOADS = ("usr", "tiny", "random")
# What cannot be left out when another step is wanted.
NEEDED = ("init", "first")
ROUNDS, QUICK_ROUNDS = 3, 2


def tell(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)


class Bench:
    """One run of it: what is measured, where, and what came of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.steps = [s for s in tools.STEPS
                      if not args.step or s in args.step]
        self.work = os.path.abspath(args.work)
        self.kept = os.path.join(self.work, "loads")
        self.run = os.path.join(self.work, f"run-{os.getpid()}")
        self.figures = report.Figures()
        self.loads: dict[str, dict] = {}
        self.missing: list[str] = []
        self.plots: list[str] = []
        self.tools: list[tools.Tool] = []
        self.counter = measure.Counter() if args.syscalls else None
        for name in tools.KINDS:
            if args.tool and name not in args.tool:
                continue
            found = tools.find(name, os.path.abspath(args.snapctl),
                               args.peers)
            if isinstance(found, str):
                self.lack(f"{name} is left out: {found}")
            else:
                self.tools.append(found)
        if self.counter and not self.counter.how:
            self.lack("system calls are not counted: neither perf nor strace "
                      "can")
            self.counter = None

    def lack(self, words: str) -> None:
        self.missing.append(words)
        tell(words)

    # --- one load ----------------------------------------------------------

    def ready(self, load: loads.Load) -> bool:
        load.install = self.args.install
        tell(f"load {load.name}: made below {load.folder}, or found there")
        try:
            load.ready(self.args.fresh)
            return True
        except loads.Missing as e:
            self.lack(f"load {load.name} is left out: {e}")
        except (OSError, Trouble) as e:
            self.lack(f"load {load.name} could not be made: {e}")
        return False

    def measure_load(self, load: loads.Load, name: str, states: range,
                     steps: list[str], apart: bool = False) -> None:
        """All rounds of one load; `states` are those to snapshot.  Apart,
        one tool does all its steps before the next, which takes the room of
        one repository only."""
        load.to_state(states[0])
        found = loads.census(load.paths())
        self.loads[name] = {
            "title": f"{found['files']:,} files, {found['bytes'] / 1e6:,.0f} "
                     f"MB" + (f", {load.made['of']}" if "of" in load.made
                              else ""),
            **found, "parameters": load.parameters(),
            "states": len(states), "point": apart}
        for tool in self.tools:
            tool.begin(self.run, tools.Job(load.paths(), load.sparse, load.disk))
        rounds = self.args.plot_rounds if apart else self.args.rounds
        count = self.counter is not None and not apart
        for number in range(rounds + count):
            counting = number == rounds
            tell(f"{name}: " + ("system calls" if counting else
                                f"round {number + 1} of {rounds}"))
            turn = number % max(1, len(self.tools))
            order = self.tools[turn:] + self.tools[:turn]
            for part in [[t] for t in order] if apart else [order]:
                Round(self, load, name, number, counting, part).tell_all(
                    states, steps)
                for tool in part if apart else []:
                    measure.set_aside(tool.work)
        for tool in self.tools:
            measure.set_aside(tool.work)

    def plot(self, what: str) -> None:
        args, rounds = self.args, self.args.plot_rounds
        where = f"{args.results}/{args.stamp}-{what}.svg"
        foot = (f"{report.commit(HOUSE)[:12]}, "
                f"{report.machine(self.work)['cpu']}, rounds: {rounds}")
        kind = scaling.KINDS[what]
        if kind is None:
            chunks = scaling.Chunks(args.programs, args.quick)
            for words in chunks.missing():
                self.lack(f"plot {what}: {words}")
            if not chunks.programs:
                return
            for number in range(rounds):
                chunks.run(self.run, self.figures, number, tell)
            drawn = chunks.draw(self.figures, foot)
        else:
            load = kind(self.kept, args.quick, args.scale)
            if not self.ready(load):
                return
            for n, point in enumerate(load.points()):
                self.measure_load(load, scaling.label(load, point),
                                  range(n, n + 1), list(scaling.STEPS), True)
            drawn = scaling.draw_growing(
                load, self.figures, [t.name for t in self.tools], foot)
        with open(where, "w", encoding="utf-8") as f:
            f.write(drawn)
        self.plots.append(where)

    # --- the whole ---------------------------------------------------------

    def chosen(self) -> list[loads.Load]:
        args = self.args
        names = args.load or ([] if args.plot or args.data else
                              QUICK_LOADS if args.quick else list(LOADS))
        found = [LOADS[n](self.kept, args.quick, args.scale) for n in names]
        if args.data:
            own = loads.Own(self.kept, args.quick, args.scale)
            own.given = [os.path.abspath(p) for p in args.data]
            found.append(own)
        return found

    def go(self) -> None:
        os.makedirs(self.kept, exist_ok=True)
        os.makedirs(self.run)
        if not self.args.quick:
            measure.touch_memory()
            measure.patient = True
        for load in self.chosen():
            if self.ready(load):
                self.whole(f"load {load.name}", self.measure_load, load,
                           load.name, range(load.changes + 1), self.steps)
        for what in self.args.plot:
            self.whole(f"plot {what}", self.plot, what)

    def whole(self, name: str, act, *what: object) -> None:
        """What goes wrong in a part ends that part."""
        try:
            act(*what)
        except (OSError, Trouble) as e:
            self.lack(f"{name} ended early: {e}")

    def print(self) -> None:
        shown = [(t.name, t.title) for t in self.tools]
        for line in report.table(self.figures, self.loads, shown,
                                 self.steps):
            print(line)
        print()
        for (load, step, tool), why in self.figures.failed.items():
            print(f"failed: {load}, {step}, {tool}: {why}")
        for words in self.missing:
            print(f"missing: {words}")
        print(f"rounds: {self.args.rounds}, interleaved "
              f"(of plots {self.args.plot_rounds}); × is snapctl's "
              "figure by theirs, so below 1 is less of it")
        print(tools.FOOT)
        print("memory is anonymous, of all processes of a command, sampled "
              "each 20 ms; read and written through system calls, pipes "
              "included; changed is the sum over all versions")

    def result(self) -> dict:
        return {"when": self.args.when.isoformat(), "quick": self.args.quick,
                "rounds": self.args.rounds,
                "plot_rounds": self.args.plot_rounds, "commit": report.commit(HOUSE),
                "machine": report.machine(self.work),
                "load_average": self.args.busy + list(os.getloadavg()),
                "tools": {t.name: t.version() for t in self.tools},
                "settings": tools.FOOT, "loads": self.loads,
                "missing": self.missing,
                "plots": [os.path.basename(p) for p in self.plots]}


class Round:
    """One round over one load; a tool that failed sits out what needs it."""

    def __init__(self, bench: Bench, load: loads.Load, name: str, number: int,
                 counting: bool, order: list[tools.Tool]) -> None:
        self.bench, self.load, self.name = bench, load, name
        self.number, self.counting = number, counting
        self.figures = bench.figures
        self.order = order
        self.out: set[str] = set()  # of this round

    def tell_all(self, states: range, steps: list[str]) -> None:
        self.load.to_state(states[0])
        loads.warm(self.load.paths())
        time.sleep(3)
        for tool in self.order:
            tool.fresh()
        taken = 1
        for step in ("init", "first", "unchanged"):
            if step in steps or step in NEEDED:
                taken += step == "unchanged"
                self.turn(step, taken, step in steps)
            if step == "first":
                self.sizes(step, steps)
        if "changed" in steps and len(states) > 1:
            for state in states[1:]:
                self.load.to_state(state)
                loads.warm(self.load.paths())
                # Versions are days apart: what was written a moment ago is
                # read again, since it could change within its timestamp.
                time.sleep(3)
                taken += 1
                self.turn("changed", taken, True)
            self.sizes("changed", steps)
        sample = self.load.sample()
        for tool in self.order:
            tool.job.sample = sample
            if "restore" in steps and tool.name not in self.out:
                self.tried("restore", tool, tool.prepare)
        for step in ("check", "restore", "cat"):
            if step in steps:
                self.turn(step, taken, True)

    def turn(self, step: str, taken: int, wanted: bool) -> None:
        for tool in self.order:
            command = tool.command(step, taken)
            if command and tool.name not in self.out:
                self.tried(step, tool,
                           lambda c=command, t=tool: self.one(step, t, c,
                                                              wanted))

    def tried(self, step: str, tool: tools.Tool, act) -> None:
        try:
            act()
        except Trouble as e:
            tell(f"{self.name}, {step}, {tool.name}: {e}")
            self.figures.failed[(self.name, step, tool.name)] = str(e)
            if step not in ("check", "restore", "cat"):
                self.out.add(tool.name)

    def one(self, step: str, tool: tools.Tool, command: tools.Command,
            wanted: bool) -> None:
        more = {"cwd": command.cwd, "good": command.good}
        if self.counting:
            counter = self.bench.counter
            assert counter
            count = counter.count(command.argv, tool.env, **more)
            if wanted:
                self.figures.add((self.name, step, tool.name, "syscalls"), 0,
                                 count)
        else:
            found, _ = measure.run(command.argv, tool.env, **more)
            for what, value in found.items() if wanted else ():
                self.figures.add((self.name, step, tool.name, what),
                                 self.number, value)
        if step == "restore":
            try:
                self.compare(tool)
            finally:
                measure.set_aside(tool.out)

    def sizes(self, step: str, steps: list[str]) -> None:
        """Bytes stored, and index entries."""
        if step not in steps or self.counting:
            return
        for tool in self.order:
            if tool.name in self.out or not tool.command(step, 1):
                continue
            self.figures.add((self.name, step, tool.name, "stored"),
                             self.number, measure.stored_mb(tool.repo))
            try:
                entries = tool.entries()
            except (OSError, ValueError, KeyError, TypeError,
                    subprocess.SubprocessError) as e:
                tell(f"{tool.name} does not tell its index entries: {e}")
                continue
            if entries is not None:
                self.figures.add((self.name, step, tool.name, "entries"),
                                 self.number, entries)

    def compare(self, tool: tools.Tool) -> None:
        """That a restore brought back as many files and bytes, once."""
        if self.number:
            return
        there = loads.census(self.load.paths())
        back = loads.census([tool.out + p for p in self.load.paths()
                             if os.path.lexists(tool.out + p)])
        if there != back:
            raise Trouble("restored something else: " + ", ".join(
                f"{back[k]:,} {k} of {there[k]:,}" for k in there
                if back[k] != there[k]))
        disk = self.load.paths()[0]
        if self.load.disk and not loads.same(disk, tool.out + disk):
            raise Trouble("restored something else")


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__.split("\n\n")[0],
        epilog="The full form takes hours and some 70 GB; --quick takes "
        "minutes and 2 GB.  Results land in build/results.")
    parser.add_argument("--quick", action="store_true",
                        help="small loads, two rounds, no plots unless asked")
    parser.add_argument("--load", action="append", choices=list(LOADS),
                        help="only this load (may be repeated)")
    parser.add_argument("--data", action="append", metavar="FOLDER",
                        help="a folder of your own as a load (may be "
                        "repeated)")
    parser.add_argument("--tool", action="append", choices=list(tools.KINDS),
                        help="only this tool (may be repeated)")
    parser.add_argument("--step", action="append", choices=tools.STEPS,
                        help="only this step (may be repeated)")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help=f"default {ROUNDS}, quick {QUICK_ROUNDS}, of "
                        "plots 1")
    parser.add_argument("--plot", action="append", default=[],
                        choices=[*scaling.KINDS, "all", "none"],
                        help="cost against size, number of files, number of "
                        "chunks, as SVG; without --load only that")
    parser.add_argument("--syscalls", action=argparse.BooleanOptionalAction,
                        help="count system calls in a round of its own "
                        "(default: yes, but not with --quick)")
    parser.add_argument("--work", default="build/bench-work",
                        help="a folder on the disk to measure; loads are "
                        "kept in it (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true",
                        help="make the loads anew")
    parser.add_argument("--install", action="store_true",
                        help="have apt-get install PostgreSQL if it is "
                        "missing")
    parser.add_argument("--compare", metavar="FILE", help="an earlier result "
                        "(default: the last one; none: do not)")
    for name, default in (("snapctl", "build/bench/service/snapctl"),
                          ("peers", "build/peers"),
                          ("results", "build/results")):
        parser.add_argument("--" + name, default=default,
                            help=argparse.SUPPRESS)
    parser.add_argument("--programs", action="append",
                        help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1,
                        help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    full = not (args.quick or args.load or args.data or args.plot)
    if "all" in args.plot or (full and not args.plot):
        args.plot = list(scaling.KINDS)
    args.plot = [p for p in scaling.KINDS if p in args.plot]
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds: at least 1")
    args.plot_rounds = args.rounds or 1
    args.rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    if args.syscalls is None:
        args.syscalls = not args.quick
    args.programs = args.programs or ["build/bench/tests/bench",
                                      "build/tests/bench"]
    args.when = datetime.datetime.now().astimezone().replace(microsecond=0)
    args.stamp = args.when.strftime("bench-%Y%m%d-%H%M%S")
    args.busy = list(os.getloadavg())
    return args


def compare(args: argparse.Namespace, path: str) -> None:
    """Tell what changed since an earlier result."""
    before = args.compare or report.last_result(args.results, path)
    if not before or before == "none":
        return
    try:
        found = report.changes(report.load_result(before),
                               report.load_result(path))
    except (OSError, ValueError, KeyError) as e:
        tell(f"cannot compare with {before}: {e}")
        return
    print(f"\nsince {before}, by more than the spread:"
          + ("" if found else " nothing"))
    for line in found:
        print("  " + line)


def main() -> int:
    args = arguments(sys.argv[1:])
    bench = Bench(args)
    os.makedirs(args.results, exist_ok=True)
    path = f"{args.results}/{args.stamp}.json"
    measure.end_by_signal()
    try:
        bench.go()
    except KeyboardInterrupt:
        for drawn in bench.plots:
            measure.remove(drawn)
        if bench.figures.values:
            bench.print()
        tell("ended; the loads are kept, nothing else")
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it does not take long
        measure.remove(bench.run)
    bench.print()
    report.save(path, bench.result(), bench.figures)
    print(f"result: {path}")
    for drawn in bench.plots:
        print(f"plot: {drawn}")
    compare(args, path)
    return 0 if bench.figures.values else 1


if __name__ == "__main__":
    sys.exit(main())
