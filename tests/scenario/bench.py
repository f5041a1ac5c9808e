#!/usr/bin/python3
"""Goal of this test: the benchmark tells what it measured, and what it could
not.

On tiny loads, with snapctl and tar: no time is looked at.
"""
import glob
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

import snap
from snap import SNAPCTL, check, wait_for

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(
    __file__))), "bench")
sys.path.insert(0, BENCH)

import plot  # noqa: E402
import report  # noqa: E402
import scaling  # noqa: E402


def argv(world, *more):
    return [sys.executable, "-B", os.path.join(BENCH, "run.py"), "--quick",
            "--snapctl", SNAPCTL, "--peers", world.path("no-peers"), "--work",
            world.path("work"), "--results", world.path("results"), *more]


def env(world, **more):
    """With an empty PATH no peer of the machine is found."""
    os.makedirs(world.path("bin"), exist_ok=True)
    for name in ("tar", "zstd", "find", "sh", "rm", "chmod", "mkdir", "grep",
                 "git", "cp", "dd"):
        for folder in os.environ["PATH"].split(":"):
            link = os.path.join(world.path("bin"), name)
            if os.path.exists(os.path.join(folder, name)) and \
                    not os.path.lexists(link):
                os.symlink(os.path.join(folder, name), link)
    return {**world.env, "PATH": world.path("bin"), **more}


def bench(world, *more, status=0, **settings):
    done = subprocess.run(argv(world, *more), env=env(world, **settings),
                          text=True, capture_output=True,
                          timeout=snap.LIMIT)
    check(done.returncode == status, (done.returncode, done.stdout,
                                      done.stderr))
    return done


def results(world):
    return [json.load(open(p, encoding="utf-8")) for p in
            sorted(glob.glob(world.path("results") + "/*.json"))]


def small_tree(world):
    os.makedirs(world.path("tree/sub"), exist_ok=True)
    for n in range(20):
        with open(world.path(f"tree/sub/{n}"), "w", encoding="utf-8") as f:
            f.write(f"{n} " * 100 * n)
    return world.path("tree")


def figures(result, load, step, tool, what):
    return [f["values"] for f in result["figures"]
            if (f["load"], f["step"], f["tool"], f["measure"])
            == (load, step, tool, what)]


def rows(world):
    done = bench(world, "--data", small_tree(world), "--load", "tiny",
                 "--scale", "0.002", "--rounds", "2")
    for missing in ("restic", "borg"):
        check(f"missing: {missing} is left out: no {missing} in "
              in done.stdout, done.stdout)
    check("failed" not in done.stdout, done.stdout)
    for load in ("own: 20 files", "tiny: 40 files"):
        part = done.stdout.split("\n" + load)[1].split("\n\n")[0]
        for row in ("init      wall s", "first     wall s", "first     read",
                    "first     stored", "first     index entries",
                    "unchanged cpu s", "check     wall s", "restore   wall s",
                    "cat       wall s"):
            check("\n  " + row in part, (row, part))
        check("×" in part.split("\n  first     wall s")[1].split("\n")[0],
              part)
    check("\n  changed   wall s" in part, part)
    [result] = results(world)
    check({"when", "commit", "machine", "tools", "loads", "missing"}
          <= result.keys(), result.keys())
    [walls] = figures(result, "tiny", "changed", "snapctl", "wall")
    check(len(walls) == 2 and all(w > 0 for w in walls), walls)
    [stored] = figures(result, "own", "first", "tar", "stored")
    check(all(s > 0 for s in stored), stored)
    check(os.listdir(world.path("work")) == ["loads"],
          os.listdir(world.path("work")))


def failing_tool(world):
    """It says so in its cell, and the others go on."""
    os.makedirs(world.path("bad"))
    for name in ("restic", "borg"):
        with open(world.path("bad/" + name), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho it is out of order >&2\nexit 9\n")
        os.chmod(world.path("bad/" + name), 0o755)
    done = bench(world, "--data", small_tree(world), "--rounds", "1",
                 "--peers", world.path("bad"), "--step", "init", "--step",
                 "unchanged", "--compare", "none")
    check("failed: own, init, restic: exit status 9: it is out of order"
          in done.stdout, done.stdout)
    check("\n  unchanged wall s" in done.stdout
          and "\n  first " not in done.stdout, done.stdout)
    result = results(world)[-1]
    check(figures(result, "own", "unchanged", "snapctl", "wall"), result)
    check({f["tool"] for f in result["failed"]} == {"restic", "borg"}, result)


def a_disk(world):
    """It is taken as one stream, and comes back as it was."""
    done = bench(world, "--load", "disk", "--quick", "--scale", "0.05",
                 "--rounds", "1", "--tool", "snapctl", "--tool", "tar",
                 "--compare", "none")
    check("failed" not in done.stdout, done.stdout)
    result = results(world)[-1]
    for tool in ("snapctl", "tar"):
        check(figures(result, "disk", "restore", tool, "wall"), result)


def missing_load(world):
    done = bench(world, "--load", "image", "--scale", "1e6", "--tool",
                 "snapctl", status=1)
    check("missing: load image is left out: it needs" in done.stdout,
          done.stdout)


def pictures(world):
    bench(world, "--plot", "files", "--scale", "0.01", "--tool", "snapctl",
          "--compare", "none")
    [path] = glob.glob(world.path("results") + "/*-files.svg")
    root = ET.parse(path).getroot()
    text = " ".join(root.itertext())
    for words in ("Cost against files", "snapctl", "first snapshot, s",
                  "index entries"):
        check(words in text, (words, text))
    check("nothing was measured" not in text, text)
    check(len(root.findall(".//{*}circle")) > 4 * 6, path)


def drawing(world):
    """Names that XML has to escape, equal values, nothing at all."""
    panel = plot.Panel("a < b & c", "s")
    panel.add("snapctl", 10, [1.0])
    panel.add("snapctl", 1000, [1.0, 2.0])
    panel.add("one <point>", 10, [0.0])
    root = ET.fromstring(plot.svg("x & y", "<files>", [
        panel, plot.Panel("empty", "")]))
    text = " ".join(root.itertext())
    check("a < b & c, s" in text and "nothing was measured" in text, text)
    axis = plot.axis([1, 1e4], 0, 100)
    check(axis.at(1) < axis.at(10) < axis.at(1e4), axis)
    check(abs(axis.at(100) - 50) < 1e-6, axis.at(100))
    check([1, 10, 100, 1000, 10000] == axis.ticks(), axis.ticks())


def chunks(world):
    """What our own programs print is understood, as they print it."""
    for name, part in (("index", "merge them into one"),
                       ("gc", "survey, delete, merge")):
        folder = world.path(name)
        os.mkdir(folder)
        program = os.path.join(snap.BUILD, "tests", "bench", "bench_" + name)
        said = subprocess.run([program, folder, "1000"], check=True, text=True,
                              stdout=subprocess.PIPE, timeout=snap.LIMIT)
        found = scaling.Chunks.read(said.stdout)
        check(found[f"{name}: {part}"][0] > 0, (found, said.stdout))


def comparing(world):
    def result(**walls):
        return {"machine": {}, "loads": {
            "a": {"parameters": 1}, "b": {"parameters": walls["new"]}},
            "figures": [{"load": load, "step": "first", "tool": "snapctl",
                         "measure": "wall", "values": v}
                        for load, v in walls.items() if load != "new"]}
    old = result(a=[1.0, 1.2], b=[1.0], new=1)
    for now, told in (([1.1, 1.3], 0), ([1.5, 1.6], 1), ([0.5, None], 1),
                      ([], 0)):
        found = report.changes(old, result(a=now, b=[9.0], new=2))
        check(found[0] == "b: not the same data as then; left out", found)
        check(len(found) == 1 + told, (now, found))


def ended(world):
    """Interrupted, it leaves its loads and nothing else."""
    p = subprocess.Popen(argv(world, "--load", "tiny", "--scale", "0.01",
                              "--rounds", "100000"), env=env(world),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True)
    try:
        wait_for("a first round", lambda: "round 1" in p.stderr.readline(),
                 child=p)
        p.send_signal(signal.SIGINT)
        said = p.communicate(timeout=snap.LIMIT)[1]
    finally:
        p.kill()
        p.wait()
    check(p.returncode == 130 and "the loads are kept" in said,
          (p.returncode, said))
    check(os.listdir(world.path("work")) == ["loads"],
          os.listdir(world.path("work")))
    check(glob.glob(world.path("work") + "/loads/*/whole.json"), "a load")
    check(os.listdir(world.path("results")) == [], "no result")


snap.tell(rows, failing_tool, a_disk, missing_load, pictures, drawing, chunks,
          comparing, ended)
