#!/usr/bin/python3
"""Goal of this test: a lost catalog costs nothing that a person looks at.

A daemon takes snapshots and verifies them; the catalog is deleted and rebuilt
from the repository; resources and runs are what they were, and the next run
goes well.
"""
import os
import shutil

import snap
from runs import ended
from snap import check, wait_for

MORE = """\
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: gold}
spec:
  retention: {keep-last: 3}
  floor: {snapshots: 1, verifiedWithin: 30d}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [etc]}
  repository: main
  policy: gold
"""


def run_once(world, schedule="nightly"):
    run = world.json("run", "start", schedule)["id"]
    done = wait_for("the run", lambda: ended(world, run))
    check(done["state"] == "succeeded", done)
    steps = {s["step"]: s["state"] for s in done["steps"]
             if not s.get("region")}
    check(steps["verify"] == "succeeded", steps)


def resources(world):
    return [world.json("get", kind) for kind in
            ("repositories", "policies", "sources", "schedules")]


def runs(world):
    return [(r["schedule"], r["kind"], r["state"]) for r in
            world.json("run", "list", "--limit", "0")]


def rebuilt(world):
    repo = world.path("here")
    key = world.path("keys/main.key")
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    with open(world.path("tree/a"), "w") as f:
        f.write("first")
    world.run("repo", "init", repo, "--key-file", key)
    world.start()
    world.apply(snap.MANIFEST.replace("/etc", world.path("tree")) %
                (world.root, 1) + MORE)
    for _ in range(2):
        run_once(world)
    before = resources(world), runs(world)
    check(len(before[1]) == 2 and before[1][0][1] == "Schedule", before)
    rebuild = ("catalog", "rebuild", "--repo", repo, "--key-file", key)
    world.run(*rebuild, status=6)
    check("snapctld works on" in world.err and "stop it first" in world.err,
          world.err)
    world.stop()
    shutil.rmtree(world.path("state"))
    for name in ("bad name", "", "-a", "a" * 64):
        world.run(*rebuild, "--name=" + name, status=2)
        check("no name of a repository" in world.err, world.err)
    world.run(*rebuild)
    world.start()
    after = resources(world), runs(world)
    check(after[0] == before[0], (before[0], after[0]))
    # A run's segment is written before its end, which the next one tells.
    check(after[1][1:] == before[1][1:], (before[1], after[1]))
    check(after[1][0] in (before[1][0], ("nightly", "Schedule", "interrupted")), after[1])
    # What may have happened since the last segment nobody knows.
    gaps = [r for r in world.json("report", "runs") if r["kind"] == "Gap"]
    check(len(gaps) == 1 and gaps[0]["state"] == "unknown" and
          gaps[0]["schedule"] is None and gaps[0]["message"], gaps)
    check(world.json("report", "runs", "--to", "2001-01-01T00:00:00Z",
                     "--from", "2000-01-01T00:00:00Z") == [], "of no time")
    # It goes on from there, and no segment's number is used twice.
    run_once(world)
    world.stop()
    names = sorted(os.listdir(world.path("here/catalog")))
    check([n[:12] for n in names] == ["%012x" % (i + 1) for i in
                                      range(len(names))], names)
    # Nor does a name that somebody made up end the numbers.
    made_up = world.path("here/catalog/" + "f" * 16 + "-" + "0" * 32)
    with open(made_up, "wb") as f:
        f.write(b"x")
    shutil.rmtree(world.path("state"))
    world.run(*rebuild, status=4)
    os.unlink(made_up)
    world.start()
    run_once(world)
    world.stop()
    names = sorted(os.listdir(world.path("here/catalog")))
    check([n[:12] for n in names] == ["%012x" % (i + 1) for i in
                                      range(len(names))], names)


SECOND = """\
---
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: second}
spec:
  keyFile: main.key
  regions: [{name: there, url: "file://%s/there"}]
  gc: {every: 0s}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: weekly}
spec:
  cron: "0 0 2 1 *"
  sources: {names: [etc]}
  repository: second
"""


def each_of_two(world):
    """Each repository brings back what happened in it."""
    key = world.path("keys/main.key")
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    places = [world.path("here"), world.path("there")]
    for place in places:
        world.run("repo", "init", place, "--key-file", key)
    world.start()
    world.apply(snap.MANIFEST.replace("/etc", world.path("tree")) %
                (world.root, 1) + MORE + SECOND % world.root)
    for schedule in ("nightly", "weekly", "nightly", "weekly"):
        run_once(world, schedule)
    before = resources(world), sorted(runs(world))
    world.stop()
    shutil.rmtree(world.path("state"))
    for place in places:
        rebuild = ("catalog", "rebuild", "--repo", place, "--key-file", key)
        world.run(*rebuild)
        world.run(*rebuild, status=1)
        check("has not lost" in world.err, world.err)
    world.start()
    check(resources(world) == before[0], resources(world))
    check([r[:2] for r in sorted(runs(world))] == [r[:2] for r in before[1]],
          (before[1], runs(world)))
    world.stop()


snap.tell(rebuilt, each_of_two)
