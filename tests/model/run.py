#!/usr/bin/python3
"""Check the protocol's model with spin: the whole of it, and without steps.

    run.py BUILD [long]

The whole protocol must pass in every configuration; each mutant, which lacks
one step, must fail in the configuration beside it.  With "long", larger
configurations, too, and rules that the model can do without.  SURVIVOR is
checked for liveness, all else for safety.  Running out of memory or depth
fails all of them.  Skipped (77) where spin is missing.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "protocol.pml")
DEPTH = 300000

WHOLE = [
    "RW0 RC0 CLEAN FW0 FC0",
    "RW0 RC0 FW0 BEATS TOMB=0",
    "RW0 RC0 RA FW0",
    "RW0 RC0 RD PARENT",
    "RW0 RC0 RC2 CLEAN LISTED",
    "RW0 RW1 FW0 FW1 OLDPACKS=0",
    "RU RC0 FU FC0",
    "RU RU2 RC0",
    "RU RC0 RR CLEAN FU",
    "RC0 RC1 RR CLEAN",
    "RC0 RC1 CLEAN OLDPACKS=3",
    "RC0 RC1 CLEAN FC0 TOMB=0",
    "RW0 FW0 CLEAN SURVIVOR",
    "RW0 RC0 CLEAN SURVIVOR",
    "RC0 RC2 CLEAN SURVIVOR",
    "RC0 RC2 CLEAN SURVIVOR FAR_AHEAD",
    "RC0 RR CLEAN SURVIVOR",
    "RU RR CLEAN SURVIVOR",
]
LONG = [
    "RW0 RC0 RC1 DIES",
    "RW0 RC0 RC2 CLEAN RD PARENT",
    "RC0 RC1 RC2 CLEAN",
    "RW0 RC0 RC1",
    "RW0 RC0 RC1 TOMB=0",
    "RW0 RW1 RC0 FW0",
    "RW0 RC0 MARK_NEW TOMB=0",
    "RC0 RC1 CLEAN FC0 FC1 TOMB=0",
    "RU RC0 RR CLEAN SURVIVOR",
]
# In the order of FORMAT.md, chapter 10.
MUTANTS = [
    # Writer: announce, look, store, name, publish, confirm.
    ("SESSION_AFTER_LOOK", "RW0 RC0"),
    ("FENCES_FIRST", "RW0 RW1 FW0 OLDPACKS=0"),
    ("RELY_ON_FENCED_WRITER", "RW0 RW1 FW0 OLDPACKS=0"),
    ("PARENT_DESPITE_MARK", "RW0 RC0 RD PARENT"),
    ("PARENT_EARLY", "RW0 RC0 RC2 CLEAN RD PARENT"),
    ("NAME_FIRST", "RW0 RC0"),
    ("PUBLISH_FIRST", "RW0 RC0"),
    ("NO_CONFIRM", "RW0 RC0 FW0"),
    ("HEIR_WITHOUT_CONFIRM", "RW0 RC0 RA FW0"),
    # Undeleting.
    ("UNDELETE_WITHOUT_SESSION", "RU RC0"),
    ("UNDELETE_WITHOUT_MANIFEST", "RU RC0 FU"),
    ("NO_SECOND_CONFIRM", "RU RC0 FU"),
    ("TAKE_BACK", "RU RU2 RC0"),
    # Reader: pin.
    ("NO_PIN", "RU RC0 RR"),
    ("NO_PINNED_MANIFESTS", "RC0 RR"),
    ("NO_PINNED_PACKS", "RC0 RR"),
    ("NO_PINNED_INDEX", "RC0 RC1 RR CLEAN"),
    # Collector: announce, adopt, mark, census, wait.
    ("NO_COLLECTOR_SESSION", "RC0 RC1 RC2 CLEAN"),
    ("RELY_ON_FENCED_COLLECTOR", "RC0 RC1 FC0 TOMB=0"),
    ("CENSUS_FIRST", "RW0 RC0"),
    ("NO_CENSUS_WAIT", "RW0 RC0"),
    ("NO_CENSUS_IS_NONE", "RW0 RC0 RC1 DIES"),
    ("UNREADABLE_IS_GONE", "RW0 RC0"),
    # fence, void.
    ("NO_FENCE", "RW0 RC0 FW0"),
    ("FENCE_AFTER_LIST", "RW0 RC0 FW0"),
    ("NO_VOID", "RW0 RC0 FW0"),
    ("VOID_WITHOUT_LIST", "RW0 RC0 FW0"),
    ("LIST_INDEX_FIRST", "RW0 RW1 FW0 FW1 OLDPACKS=0"),
    # look again, copy, confirm, reconsider, delete.
    ("NO_LOOK_AGAIN", "RW0 RC0"),
    ("DELETE_MANIFEST_OF_SESSION", "RU RC0"),
    ("NO_COPY", "RW0 RC0 TOMB=0"),
    ("MARKED_HOLDS", "RC0 RC1 OLDPACKS=3 MARK_ANY TOMB=0"),
    ("NO_COLLECTOR_CONFIRM", "RC0 RC1 FC0 TOMB=0"),
    ("NO_RECONSIDER", "RC0 RD"),
    ("NO_RECONSIDER NO_SECOND_READ", "RU RC0"),
    ("SUPERSEDED_AT_ONCE", "RW0 RC0 RC2 CLEAN LISTED"),
    # clean.
    ("MERGE_DROPS_MARKED", "RW0 RC0 CLEAN"),
    ("COUNTING_ONLY", "RC0 RC1 CLEAN FC0 TOMB=0"),
    ("DROP_MARK_EARLY", "RC0 RC1 RC2 CLEAN"),
    # No end, or more than one lease.
    ("WAIT_FOR_DEAD", "RW0 FW0 CLEAN SURVIVOR"),
    ("WAIT_FOR_DEAD_PIN", "RU RR CLEAN SURVIVOR"),
    ("LEASE_OF_THE_DEAD", "RW0 FW0 CLEAN SURVIVOR"),
    ("KEEP_SESSION", "RW0 FW0 CLEAN SURVIVOR"),
    ("NO_HALF", "RW0 FW0 CLEAN SURVIVOR"),
    ("TRUST_ITS_CLOCK", "RC0 RC2 CLEAN SURVIVOR FAR_AHEAD"),
    ("TRUST_ITS_CLOCK_INDEX", "RC0 RC2 CLEAN SURVIVOR FAR_AHEAD"),
    ("MERGE_KEEPS_GONE", "RC0 CLEAN SURVIVOR"),
]
# Left out, they break nothing: see the head of protocol.pml.
NEEDLESS = [
    ("ANY_SUPERSEDE", "RC0 RC1 CLEAN FC0 TOMB=0"),
    ("SUPER_BY_VOID", "RC0 RC1 CLEAN FC0 TOMB=0"),
    ("MERGE_FORGETS", "RC0 RC1 RC2 CLEAN"),
    ("MERGE_FORGETS", "RC0 RC2 CLEAN SURVIVOR"),
    ("NO_FIRST_CONFIRM", "RU RC0 FU FC0"),
]


def tell(command, at, limit):
    return subprocess.run(command, cwd=at, timeout=limit, text=True,
                          errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def explore(build, flags, memory, optimize):
    """(states, errors or None, what was said)"""
    live = "SURVIVOR" in flags.split()
    how = ["-DNOREDUCE"] if live else ["-DSAFETY"]
    with tempfile.TemporaryDirectory(dir=build, prefix="model-") as at:
        shutil.copy(MODEL, at)
        p = tell(["spin", "-a", *("-D" + f for f in flags.split()),
                  "protocol.pml"], at, 60)
        if p.returncode == 0:
            p = tell(["gcc", optimize, "-w", *how, "-DCOLLAPSE", "-DNOFAIR",
                      f"-DMEMLIM={memory}", "-o", "pan", "pan.c"], at, 300)
        if p.returncode != 0:
            return 0, None, p.stdout
        said = tell(["./pan", f"-m{DEPTH}", "-w22", "-E", "-n",
                     *(["-a"] if live else [])], at, 3600).stdout
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"([\d.e+]+) states, stored", said)
    if not errors or not states or "max search depth too small" in said or \
            "reached -DMEMLIM" in said or "out of memory" in said or \
            "Search not completed" in said and errors.group(1) == "0":
        return 0, None, said
    return int(float(states.group(1))), int(errors.group(1)), said


def main():
    build = sys.argv[1]
    long = sys.argv[2:] == ["long"]
    for program in "spin", "gcc":
        if not shutil.which(program):
            print(f"SKIPPED model: {program} is not here")
            return 77
    jobs = [("whole", "", c) for c in WHOLE + (LONG if long else [])] + \
        [("mutant", *m) for m in MUTANTS] + \
        [("needless", *m) for m in (NEEDLESS if long else [])]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(1 if long else 2) as pool:
        results = pool.map(lambda job: explore(
            build, f"{job[1]} {job[2]}", 5500 if long else 900,
            # Most mutants are found out before a compiler's work pays.
            "-O0" if job[0] == "mutant" else "-O1"), jobs)
        for (kind, switch, configuration), (states, errors, said) in \
                zip(jobs, results):
            good = errors is not None and (errors != 0) == (kind == "mutant")
            failed += not good
            verdict = "not explored" if errors is None else \
                "fails as it must" if errors and good else \
                "does NOT fail" if kind == "mutant" else \
                f"{states} states, {errors} errors"
            print(f"{'ok  ' if good else 'BAD '} {kind:8} {switch:28} "
                  f"{configuration:38} {verdict}", flush=True)
            if errors is None:
                print(said[-2000:])
    print(f"{len(jobs)} checked, {failed} not as they must be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
