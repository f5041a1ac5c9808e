#!/usr/bin/python3
"""Which changed operators no test notices.

Every place in the chosen sources where an operator, a constant, a condition or
a statement can be changed becomes a mutant: sites.py says which.  One build, of
a copy of the tree in build-mutate/, holds all of them; a number in the
environment chooses one.  A first run, with none, tells which cases of the tests
reach which mutant.  Then for each mutant those cases run until one fails, dies
or takes ten times its time: it was noticed.  What no test notices is printed,
unless KNOWN.md says why that is right.  Slow cases, of more than --slow seconds,
are left out, and so are scenarios, the stories of built programs, but for those
that --scenarios names: files that nothing reaches otherwise are told of.

    mutate.py [PATH…] [--each N] [--sample N] [--seed N] [--seconds S] [--full]
              [--in REGEX] [--resume | --left]

PATH: folders or files, schedules and storage/repository by default.  Without
--full, --each, --sample and --seconds it is a sample of ten minutes.  A sample
has as many of each file, as far as it has as many; the seed says which.  --in
takes only what is in functions whose whole names match.

What was found is kept in build/results/mutate.json: --resume goes on where
earlier runs stopped, --left tries only what they left unnoticed.
"""
import argparse
import collections
import concurrent.futures
import functools
import glob
import hashlib
import json
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import sites
from trial import MUTANTS_MAX, Trials

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ["schedules", "storage/repository"]
COPIED = ("base", "schedules", "storage", "migrations", "service", "tests",
          "meson.build", "meson_options.txt", "README.md")
SUITES = ("unit", "prop", "fuzz", "fault")
SAMPLE_SECONDS = 600
# One that was begun may take that much longer.
LONGEST_SECONDS = 60
# What was found is kept that often.
KEEP_SECONDS = 60


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- What is known --------------------------------------------------------

def known_mutants(path):
    """(file, function, source line, change) of each in KNOWN.md: its line."""
    known, file, function, source = {}, None, None, None
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
    except FileNotFoundError:
        return known
    for number, line in enumerate(lines, 1):
        if found := re.fullmatch(r"## (\S+)", line):
            file = found[1]
        elif found := re.fullmatch(r"- (\w+)\(\): `(.*)`", line):
            function, source = found.groups()
        elif found := re.match(r"  - `(.*?)`: ", line):
            known[file, function, source, found[1]] = number
    return known


def change(mutant):
    nth = f" (no. {mutant['nth']})" if mutant["nth"] > 1 else ""
    return f"{mutant['before']} → {mutant['after'] or '(left out)'}{nth}"


def key(mutant):
    return (mutant["file"], mutant["function"], mutant["source"],
            change(mutant))


# ---- The rewritten copy ---------------------------------------------------

def write(path, data):
    """Only what differs, so that no more than that is built again."""
    try:
        with open(path, "rb") as f:
            if f.read() == data:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def digest_of(paths):
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as f:
            digest.update(hashlib.sha256(f.read()).digest())
    return digest.hexdigest()


def mutants_of(root, path, memory, headers):
    """As sites.mutants_of(); remembered while all that it reads is the same."""
    told = os.path.join(memory, path.replace("/", "+"))
    digest = headers + digest_of([os.path.join(root, path)])
    try:
        with open(told, encoding="utf-8") as f:
            old = json.load(f)
        if old["digest"] == digest:
            return old["found"], old["text"]
    except (FileNotFoundError, ValueError):
        pass
    found, text = sites.mutants_of(root, path)
    with open(told, "w", encoding="utf-8") as f:
        json.dump({"digest": digest, "found": found, "text": text}, f)
    return found, text


class House:
    """The tree, and the builds of its copy."""

    def __init__(self, root, jobs, scenarios):
        self.root = os.path.abspath(root)
        self.scenarios = scenarios
        self.place = os.path.join(self.root, "build-mutate")
        self.copy = os.path.join(self.place, "src")
        self.jobs = jobs

    def memory(self, name):
        return os.path.join(self.place, "reached", name)

    def chosen(self, paths):
        found = []
        for path in paths:
            path = os.path.relpath(os.path.join(self.root, path), self.root)
            full = os.path.join(self.root, path)
            got = sorted(glob.glob(os.path.join(full, "*.c"))) \
                if os.path.isdir(full) else [full]
            if not got or not all(map(os.path.isfile, got)):
                raise SystemExit(f"mutate: {path}: no source is there")
            found += (os.path.relpath(p, self.root) for p in got)
        return list(dict.fromkeys(found))

    def mutate(self, files):
        """Write the copy; all mutants of these files, numbered from 1."""
        memory = self.memory("sites")
        os.makedirs(memory, exist_ok=True)
        headers = digest_of([sites.__file__, *sorted(
            h for top in COPIED
            for h in glob.glob(os.path.join(self.root, top, "**", "*.h"),
                               recursive=True))])
        with multiprocessing.Pool(self.jobs) as pool:
            sources = pool.starmap(mutants_of, [
                (self.root, f, memory, headers) for f in files])
        rewritten, mutants = {}, []
        for file, (found, text) in zip(files, sources):
            rewritten[file] = sites.numbered(text, len(mutants) + 1)
            mutants += found
        for number, mutant in enumerate(mutants, 1):
            mutant["number"] = number
        if len(mutants) >= MUTANTS_MAX:
            raise SystemExit("mutate: more mutants than mutant.h has room for")
        self.write_copy(rewritten)
        return mutants

    def write_copy(self, rewritten):
        wanted = set()
        for top in COPIED:
            at = os.path.join(self.root, top)
            for folder, folders, names in os.walk(at):
                folders[:] = [d for d in folders if d != "__pycache__"]
                wanted |= {os.path.relpath(os.path.join(folder, n), self.root)
                           for n in names}
            if os.path.isfile(at):
                wanted.add(top)
        for path in wanted:
            with open(os.path.join(self.root, path), "rb") as f:
                data = f.read()
            write(os.path.join(self.copy, path), rewritten.get(path, data))
            shutil.copymode(os.path.join(self.root, path),
                            os.path.join(self.copy, path))
        header = os.path.join("tests", "mutate", "mutant.h")
        with open(os.path.join(HERE, "mutant.h"), "rb") as f:
            write(os.path.join(self.copy, header), f.read())
        for folder, _, names in os.walk(self.copy):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.copy) not in {*wanted, header}:
                    os.remove(path)

    def build(self, name, files, which, *options, **env):
        """The tests that have one of the files in them, of those whose names
        have `which` in them, and of the scenarios that are asked for, built;
        as meson tells of them."""
        where = os.path.join(self.place, name)
        env = {**os.environ, **env}

        def call(*argv):
            p = subprocess.run(argv, env=env, capture_output=True, text=True,
                               errors="replace")
            if p.returncode:
                raise SystemExit(f"mutate: {' '.join(argv[:4])} failed:\n" +
                                 p.stdout[-6000:] + p.stderr[-2000:])
            return p.stdout
        if not os.path.exists(os.path.join(where, "build.ninja")):
            call("meson", "setup", where, self.copy, "-Dc_args=-w",
                 "-Dwarning_level=0", *options)
        call("ninja", "-C", where, "build.ninja")
        wanted = {os.path.relpath(os.path.join(self.copy, f), where)
                  for f in files}

        @functools.cache
        def has(target):
            return wanted & set(call("ninja", "-C", where, "-t", "inputs",
                                     target).split("\n"))
        programs = {t["id"]: t["filename"][0] for t in
                    json.loads(call("meson", "introspect", "--targets", where))
                    if t["type"] == "executable"}
        tests = []
        for test in json.loads(call("meson", "introspect", "--tests", where)):
            suites = {s.split(":")[-1] for s in test["suite"]}
            test["story"] = "scenario" in suites
            if not (self.scenarios and re.search(self.scenarios, test["name"])
                    if test["story"] else
                    set(SUITES) & suites and re.search(which, test["name"])):
                continue
            test["files"] = [programs[d] for d in test["depends"]
                             if d in programs] \
                if test["story"] else test["cmd"][:1]
            test["targets"] = [os.path.relpath(f, where)
                               for f in test["files"]]
            if any(map(has, test["targets"])):
                tests.append(test)
        if not tests:
            raise SystemExit("mutate: no test has these sources in it")
        call("ninja", "-C", where, "-j", str(self.jobs),
             *sorted({t for test in tests for t in test["targets"]}))
        return tests


# ---- The run --------------------------------------------------------------

class Results:
    """What this run and earlier ones found, in a file."""

    def __init__(self, root):
        self.path = os.path.join(root, "build", "results", "mutate.json")
        self.kept = time.monotonic()
        self.seed, self.found = None, {}
        try:
            with open(self.path, encoding="utf-8") as f:
                old = json.load(f)
            self.seed = old["seed"]
            self.found = {key(m): m for m in old["mutants"]}
        except (FileNotFoundError, KeyError, ValueError):
            pass

    def of(self, mutant):
        return self.found.get(key(mutant), {}).get("result")

    def keep(self, seed, mutants):
        """Those of this run and, of other files, what was found earlier."""
        self.kept = time.monotonic()
        files = {m["file"] for m in mutants}
        kept = [m for m in self.found.values() if m["file"] not in files]
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".new", "w", encoding="utf-8") as out:
            json.dump({"seed": seed, "mutants": kept + mutants}, out,
                      ensure_ascii=False)
        os.replace(self.path + ".new", self.path)


class Run:
    def __init__(self, args, house, mutants, results):
        self.args, self.house, self.mutants = args, house, mutants
        self.results = results
        self.begun = time.monotonic()
        self.known = known_mutants(
            os.path.join(house.root, "tests", "mutate", "KNOWN.md"))
        self.files = list(dict.fromkeys(m["file"] for m in mutants))
        self.done = 0
        self.trials = None
        self.lock = threading.Lock()
        self.end = self.begun + (args.seconds or math.inf)

    def stop(self, *_):
        """Begin no more, and tell what was found."""
        self.trials.until = self.end = 0

    def asked(self, m):
        return re.fullmatch(self.args.within, m["function"] or "")

    def before(self, m):
        """What is so of a mutant before any is tried."""
        earlier = self.results.of(m)
        if not self.asked(m):
            return earlier or "untried"
        if not self.trials.reach(m):
            return "unreached"
        if key(m) in self.known and not self.args.known:
            return "known"
        if (self.args.resume or self.args.left) and \
           earlier in ("noticed", "unnoticed"):
            return earlier
        return "untried"

    def choose(self):
        """
        Those to be tried, in an order in which any beginning has as many of
        each file.  Which they are does not depend on what was tried already.
        """
        wanted = "unnoticed" if self.args.left else "untried"
        places, chosen = collections.Counter(), []
        order = list(self.mutants)
        random.Random(self.args.seed).shuffle(order)
        for m in order:
            m["result"] = self.before(m)
            m["by"] = self.results.found.get(key(m), {}).get("by")
            if m["result"] in ("unreached", "known") or not self.asked(m):
                continue
            place = places[m["file"]]
            places[m["file"]] += 1
            if m["result"] == wanted and \
               (not self.args.each or place < self.args.each):
                chosen.append((place, self.files.index(m["file"]), m))
        chosen.sort(key=lambda c: c[:2])
        return [m for _, _, m in chosen[:self.args.sample]]

    def try_all(self, trials):
        trials.until = self.end + LONGEST_SECONDS
        chosen = self.choose()
        say(f"{len(self.mutants)} mutants, {len(chosen)} to be tried, seed "
            f"{self.args.seed}")
        self.several(trials, chosen)
        if self.args.sanitize:
            left = [m for m in chosen if m["result"] == "unnoticed"]
            say(f"{len(left)} unnoticed ones once more, under the sanitizers")
            programs = self.house.build(
                "sanitized", self.files, self.args.tests,
                "-Db_sanitize=address,undefined", "-Db_lundef=false",
                "-Doptimization=1", CC="clang")
            again = Trials(programs, self.args, 5,
                           self.house.memory("sanitized"))
            again.record()
            self.done = 0
            self.end = math.inf
            self.trials = again
            self.several(again, left)

    def several(self, trials, mutants):
        def one(m):
            if time.monotonic() < self.end:
                result, by = trials.attempt(m)
                if result != "untried":  # what was found before stays
                    m["result"], m["by"] = result, by
                if m["result"] == "unnoticed" and key(m) in self.known:
                    m["result"] = "known"
            self.progress(len(mutants))
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            for _ in pool.map(one, mutants):
                pass
        say("")

    def progress(self, n):
        self.done += 1
        with self.lock:
            if time.monotonic() > self.results.kept + KEEP_SECONDS:
                self.results.keep(self.args.seed, self.mutants)
        if sys.stderr.isatty() or self.done % 50 == 0:
            left = sum(m["result"] == "unnoticed" for m in self.mutants)
            print(f"\r{self.done} of {n}, {left} unnoticed, "
                  f"{time.monotonic() - self.begun:.0f} s ", end="",
                  file=sys.stderr, flush=True)

    def report(self):
        columns = ("noticed", "unnoticed", "known", "unreached", "untried")
        print(f"{'':<40}{'mutants':>10}" +
              "".join(f"{c:>10}" for c in columns))
        total = collections.Counter()
        for file in [*self.files, "all"]:
            count = collections.Counter(m["result"] for m in self.mutants
                                        if file in (m["file"], "all"))
            total = count
            print(f"{file:<40}{sum(count.values()):>10}" +
                  "".join(f"{count[c]:>10}" for c in columns))
        for m in self.mutants:
            if m["result"] == "unnoticed":
                print(f"{m['file']}:{m['line']}: {change(m)}")
        self.report_unreached()
        self.report_known()
        return total

    def report_unreached(self):
        reached = {m["file"] for m in self.mutants
                   if m["result"] != "unreached"}
        for file in self.files:
            if file not in reached:
                print(f"{file}: no case reaches it; --slow S and --scenarios "
                      "REGEX run more of them")

    def report_known(self):
        results = {key(m): m["result"] for m in self.mutants}
        for k, number in self.known.items():
            if k[0] not in self.files:
                continue
            if k not in results:
                print(f"KNOWN.md:{number}: there is no such mutant: {k[-1]}")
            elif results[k] == "noticed":
                print(f"KNOWN.md:{number}: it was noticed: {k[-1]}")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--root", default=os.path.join(HERE, "..", ".."))
    parser.add_argument("--each", type=int, metavar="N",
                        help="at most that many of each file")
    parser.add_argument("--sample", type=int, metavar="N",
                        help="at most that many in all")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seconds", type=float, metavar="S",
                        help="begin no mutant after that")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--in", dest="within", default=".*", metavar="REGEX",
                        help="only what is in functions of these names")
    parser.add_argument("--resume", action="store_true",
                        help="what was tried in earlier runs stands")
    parser.add_argument("--left", action="store_true",
                        help="try what earlier runs left unnoticed")
    parser.add_argument("--tests", default="", metavar="REGEX",
                        help="run only tests whose names match")
    parser.add_argument("--scenarios", default="", metavar="REGEX",
                        help="run those scenarios, too")
    parser.add_argument("--slow", type=float, default=20, metavar="S")
    parser.add_argument("--most", type=float, metavar="S",
                        help="try each with cases of so many seconds only")
    parser.add_argument("--jobs", type=int, metavar="N",
                        default=int(os.environ.get("JOBS", "2")),
                        help="cases at a time; builds have $JOBS, or 2")
    parser.add_argument("--known", action="store_true",
                        help="try those of KNOWN.md, too")
    parser.add_argument("--sanitize", action="store_true",
                        help="try what is unnoticed under the sanitizers, too")
    parser.add_argument("--list", action="store_true",
                        help="print the mutants, and try none")
    args = parser.parse_args()
    if not any((args.full, args.each, args.sample, args.seconds, args.left,
                args.within != ".*")):
        args.seconds = SAMPLE_SECONDS
    return args


def main():
    args = arguments()
    house = House(args.root, int(os.environ.get("JOBS", "2")), args.scenarios)
    results = Results(house.root)
    if args.seed is None:
        args.seed = results.seed if args.resume and results.seed is not None \
            else random.SystemRandom().randrange(10**6)
    # All are rewritten, whichever are tried: what is built stays as it is.
    usual = house.chosen(f for f in FOLDERS
                         if os.path.isdir(os.path.join(args.root, f)))
    files = house.chosen(args.paths) or sorted(usual)
    # Others come last, so that those keep their numbers.
    mutants = house.mutate([*sorted(usual), *(f for f in files
                                              if f not in usual)])
    mutants = [m for file in files for m in mutants if m["file"] == file]
    if args.list:
        for m in mutants:
            print(f"{m['file']}:{m['line']}: {change(m)}")
        return 0
    say(f"building {len(files)} sources with {len(mutants)} mutants")
    programs = house.build("native", files, args.tests)
    trials = Trials(programs, args, 1, house.memory("native"))
    say(f"{len(trials.tests)} cases of {len(programs)} tests run once")
    trials.record()
    run = Run(args, house, mutants, results)
    run.trials = trials
    signal.signal(signal.SIGINT, run.stop)
    signal.signal(signal.SIGTERM, run.stop)
    run.try_all(trials)
    count = run.report()
    results.keep(args.seed, mutants)
    return 1 if count["unnoticed"] else 0


if __name__ == "__main__":
    sys.exit(main())
