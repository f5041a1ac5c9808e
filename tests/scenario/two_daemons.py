#!/usr/bin/python3
"""Goal of this test: two daemons that both think they write the primary harm
nothing.

Two catalogs, as after a promotion that one of them never heard of: the same
two regions, of which each takes another for the primary, copies to the other
one, lets snapshots go by its policy, and collects in both; all at once. No
lock keeps them apart. In the end both regions are sound, and what each was told
is kept is in both, once, and comes back as it was.
"""
import os
import shutil
import subprocess
import threading

import snap
from snap import LIMIT, SNAPCTL, World, check, wait_for

PLAN = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  failover: true
  regions:
    - {name: here, url: "file://%(root)s/here", primary: %(here)s}
    - {name: there, url: "file://%(root)s/there", primary: %(there)s}
  gc: {every: 0s}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: gold}
spec: {retention: {keep-last: 2}}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: "%(source)s"}
spec: {type: files, paths: ["%(tree)s"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 29 2 *"
  sources: {names: ["%(source)s"]}
  repository: main
  policy: gold
  replicateTo: [%(other)s]
  retries: 0
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: "slow-%(source)s"}
spec:
  type: command
  argv: [/bin/sh, -c, "cat %(tree)s/../big; sleep 2; echo end"]
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: slowly}
spec:
  cron: "0 0 29 2 *"
  sources: {names: ["slow-%(source)s"]}
  repository: main
  policy: gold
  replicateTo: [%(other)s]
  retries: 0
"""
ROUNDS = 3
# More than a pack: that is there long before anything refers to it.
BIG = 40 << 20


class Side:
    """One daemon, and what it was told is done."""

    def __init__(self, world, root, source, primary, other):
        self.world = world
        self.source = source
        self.tree = world.path("tree")
        self.taken = {}  # id -> the content of the file
        self.slow = None
        self.failure = None
        world.env.pop("SNAPCTL_TEST_RUN", None)
        # Collectors watch each other for a beat, a sixth of this.
        world.env["SNAPCTL_TEST_LEASE_MS"] = "3000"
        os.mkdir(self.tree)
        with open(world.path("big"), "wb") as f:
            f.write(os.urandom(BIG))
        world.start()
        world.apply(PLAN % {
            "root": root, "source": source, "tree": self.tree,
            "here": str(primary == "here").lower(),
            "there": str(primary == "there").lower(), "other": other})

    def run_once(self, n, may_fail=False):
        text = "%s %d\n" % (self.source, n) + os.urandom(40_000).hex()
        with open(os.path.join(self.tree, "a"), "w") as f:
            f.write(text)
        done = self.run_to_its_end("nightly")
        # On a busy machine a writer may be given up, and nothing is promised.
        if may_fail and done["state"] == "failed":
            return
        # What one copies the other deletes: a step may say so.
        check(done["state"] in ("succeeded", "partial"), done)
        self.taken[done["snapshot"][0]] = text

    def run_to_its_end(self, schedule):
        run = self.world.json("run", "start", schedule)["id"]

        def ended():
            row = self.world.json("run", "show", str(run))
            return row if row["state"] not in ("queued", "running") else None
        return wait_for("the run", ended)

    def go(self):
        try:
            done = self.run_to_its_end("slowly")
            if done["state"] != "failed":
                self.slow = done["snapshot"][0]
            for n in range(ROUNDS):
                self.run_once(n, may_fail=True)
        except Exception as e:
            self.failure = e

    def collect_in(self, region):
        """Whether it was not given up: on a busy machine it may be."""
        p = subprocess.run([SNAPCTL, "repo", "gc", "--grace", "0s", "--repo",
                            "main", "--region", region], text=True,
                           env=self.world.env, capture_output=True,
                           timeout=LIMIT)
        check(p.returncode in (0, 6), p)
        return p.returncode == 0

    def collect(self):
        """Without grace: what was let go, and what nothing needs, goes."""
        try:
            for _ in range(ROUNDS):
                for region in "here", "there":
                    wait_for("a collection", lambda: self.collect_in(region))
        except Exception as e:
            self.failure = e


def both_write(world):
    other = World()
    try:
        tell_both(world, other)
    finally:
        other.close()


def tell_both(world, other):
    key = ("--key-file", world.path("keys/main.key"))
    os.mkdir(world.path("keys"), 0o700)
    world.run("repo", "init", world.path("here"), *key)
    world.run("region", "add", "there", world.path("there"), "--repo",
              world.path("here"), *key)
    shutil.copytree(world.path("keys"), other.path("keys"))
    sides = [Side(world, world.root, "one", "here", "there"),
             Side(other, world.root, "two", "there", "here")]
    work = [threading.Thread(target=act) for s in sides
            for act in (s.go, s.collect)]
    for w in work:
        w.start()
    for w in work:
        w.join()
    for s in sides:
        if s.failure:
            raise s.failure
    # Each once more, now that nothing goes on beside it.
    for s in sides + sides[:1]:
        s.run_once(ROUNDS)
    for region in "here", "there":
        at = ("--repo", world.path(region), *key)
        world.run("repo", "check", "--read-data", *at)
        rows = world.json("snapshot", "list", *at)
        listed = {r["id"] for r in rows}
        check(len(listed) == len(rows), rows)
        for s in sides:
            kept = [r["id"] for r in rows if r["source"] == s.source]
            check(s.slow is None or s.slow in listed, (region, s.slow))
            check(set(kept) <= set(s.taken), (kept, list(s.taken)))
            # The policy's two, and what came back is what was taken.
            check(set(list(s.taken)[-2:]) <= set(kept),
                  (region, kept, list(s.taken)))
            for snapshot in kept:
                got = world.run("cat", snapshot + ":" +
                                os.path.join(s.tree, "a"), *at)
                check(got == s.taken[snapshot], (region, snapshot))
    for s in sides:
        s.world.run("audit", "verify")
        s.world.stop()


snap.tell(both_write)
