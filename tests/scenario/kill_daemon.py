#!/usr/bin/python3
"""Goal of this test: a daemon that dies anywhere loses nothing it said.

Each story is a request to a daemon. The daemon is killed before its first call
that writes since it began, the catalog's among them, then, in a folder that is
prepared anew, before a later one; and each time:

  1. the catalog is whole at once, and its audit log's chain holds;
  2. what was acknowledged is there: before the death, and by the request;
  3. another daemon starts, and the same request completes.

kill_daemon.py BUILD [--story NAME]… [--at K] [--full]
"""
import argparse
import collections
import concurrent.futures
import glob
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import apart
import snap
from snap import check, wait_for

# Kill points of a story that are tried without --full, spread over all.
TRIED = 16

MORE = """\
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: gold}
spec: {retention: {keep-last: 5}}
"""

Story = collections.namedtuple("Story", (
    "name",
    "prepare",  # (world): with a daemon that runs
    "act",      # (world) -> whether the daemon said that it is done
    "done",     # (open catalog) -> whether it is
))


class Place(snap.World):
    """A world in which runs are real, and nothing happens by itself."""

    def __init__(self):
        super().__init__()
        self.env.pop("SNAPCTL_TEST_RUN")
        self.env["SNAPCTL_TICK"] = "1h"  # a request wakes it all the same
        os.mkdir(self.path("tree"))
        with open(self.path("tree/a"), "w") as f:
            f.write("a")

    def ask(self, *words, stdin=""):
        return subprocess.run([snap.SNAPCTL, "--json", *words], input=stdin,
                              text=True, capture_output=True, env=self.env,
                              timeout=snap.LIMIT)

    def manifest(self):
        return (snap.MANIFEST.replace("/etc", self.path("tree")) %
                (self.root, 1) + MORE + snap.SCHEDULE %
                ("yearly", "0 0 1 1 *", "  policy: gold\n"))

    def begin(self, **env):
        """Whether it came up: it may die before it does."""
        log = open(self.path("log"), "a")
        self.daemon = subprocess.Popen([snap.SNAPCTLD], stdout=log,
                                       stderr=log, env={**self.env, **env})
        log.close()
        return wait_for("the daemon", lambda: self.up() or self.gone()) == "up"

    def up(self):
        return "up" if self.ask("run", "list").returncode == 0 else None

    def gone(self):
        return "gone" if self.daemon.poll() is not None else None

    def finish(self):
        """SIGTERM; whether it was killed, by that or before."""
        self.daemon.send_signal(signal.SIGTERM)
        status = self.daemon.wait(timeout=snap.LIMIT)
        self.daemon = None
        check(status in (0, -signal.SIGKILL),
              f"the daemon ended with {status}: {open(self.path('log')).read()}")
        return status != 0


def nothing(world):
    pass


def apply(world):
    return world.ask("apply", "-f", "-",
                     stdin=world.manifest()).returncode == 0


def applied(db):
    return count(db, "resources") == 4


def run(world):
    """Done when the run is, which is not when its start is acknowledged."""
    p = world.ask("run", "start", "yearly")
    if p.returncode != 0:
        return False
    number = str(json.loads(p.stdout)["id"])

    def ended():
        p = world.ask("run", "show", number)
        if p.returncode != 0:
            return "gone" if world.gone() else None
        state = json.loads(p.stdout)["state"]
        return None if state in ("queued", "running") else state
    return wait_for("the run", ended) == "succeeded"


def ran(db):
    return count(db, "runs where state = 'succeeded'") > 0 and \
        count(db, "snapshots") > 0


def prepare_promote(world):
    """Another region, to which two schedules copy."""
    world.run("region", "add", "there", world.path("there"), "--repo",
              world.path("here"), "--key-file", world.path("keys/main.key"))
    first = f'regions: [{{name: here, url: "file://{world.root}/here"}}'
    manifest = world.manifest()
    check(first in manifest, manifest)
    manifest = manifest.replace(
        first, f'{first}, {{name: there, url: "file://{world.root}/there"}}')
    for name in "yearly", "rarely":
        manifest += snap.SCHEDULE % (name, "0 0 1 1 *",
                                     "  replicateTo: [there]\n")
    p = world.ask("apply", "-f", "-", stdin=manifest.replace(
        snap.SCHEDULE % ("yearly", "0 0 1 1 *", "  policy: gold\n"), ""))
    check(p.returncode == 0, p.stdout)


def promote(world):
    return world.ask("region", "promote", "there", "--repo",
                     "main").returncode == 0


def promoted(db):
    """All of it or nothing."""
    specs = [json.loads(r[0]) for r in db.execute(
        "select spec from resources where kind in ('Repository', 'Schedule')")]
    first = [r["name"] for s in specs for r in s.get("regions", [])
             if r.get("primary")]
    copied = sorted(t for s in specs for t in s.get("replicateTo", []))
    told = count(db, "audit where action = 'region.promote'")
    check((first, copied, told) in ((["here"], ["there", "there"], 0),
                                    (["there"], ["here", "here"], 1)),
          (first, copied, told))
    return told == 1


def count(db, what):
    return db.execute(f"select count(*) from {what}").fetchone()[0]


def prepare_run(world):
    check(apply(world), "not applied")


STORIES = (
    # The migrations of a first opening are among its calls.
    Story("apply", nothing, apply, applied),
    Story("run", prepare_run, run, ran),
    Story("promote", prepare_promote, promote, promoted),
)


def alive(world):
    """Processes of this world: they all have its folder in their environment."""
    found = []
    for name in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(name, "rb") as f:
                if os.fsencode(world.root) in f.read():
                    found.append(name.split("/")[2])
        except OSError:  # it ended, or is not ours
            continue
    return found


def catalog(world, look):
    """In a copy: the next daemon finds it as the dead one left it.  A run of
    the dead one's is asked to end by its death, and may write until it has."""
    wait_for("the dead daemon's run to end", lambda: not alive(world))
    copy = world.path("state-copy")
    shutil.copytree(world.path("state"), copy)
    db = sqlite3.connect(os.path.join(copy, "catalog.db"))
    try:
        got = db.execute("pragma integrity_check").fetchall()
        check(got == [("ok",)], got)
        got = db.execute("pragma foreign_key_check").fetchall()
        check(got == [], got)
        return look(db)
    finally:
        db.close()
        shutil.rmtree(copy)


def prepared(story):
    world = Place()
    os.mkdir(world.path("keys"), 0o700)
    world.run("repo", "init", world.path("here"), "--key-file",
              world.path("keys/main.key"))
    if story.prepare is not nothing:
        check(world.begin(), "the daemon did not start")
        story.prepare(world)
        check(not world.finish(), "the daemon was killed")
    return world


def one_round(story, k):
    """Whether it was killed.  The preparation is made anew each time: what a
    daemon writes down names its folder."""
    world = prepared(story)
    try:
        audit = 0
        if os.path.exists(world.path("state/catalog.db")):
            audit = catalog(world, lambda db: count(db, "audit"))
        said = (world.begin(SNAPCTL_TEST_SEAM=f"kill:{k}") and
                story.act(world))
        killed = world.finish()
        if os.path.exists(world.path("state/catalog.db")):
            catalog(world, lambda db: judge(story, db, said, audit))
        else:
            check(not said, "there is no catalog")
        check(world.begin(), open(world.path("log")).read())
        check(story.act(world), "the request again: " +
              open(world.path("log")).read()[-2000:])
        world.run("audit", "verify")
        check(not world.finish(), "the second daemon was killed")
        catalog(world, lambda db: judge(story, db, True, audit))
        return killed
    finally:
        world.close()


def judge(story, db, said, audit):
    if said or audit:
        check(story.done(db) or not said,
              "what was acknowledged is not there")
    if audit:
        check(count(db, "audit") >= audit, "records of the audit log are lost")


def calls(story):
    world = prepared(story)
    try:
        name = world.path("count")
        check(world.begin(SNAPCTL_TEST_SEAM="count:" + name), "no daemon")
        check(story.act(world), "not done: " + open(world.path("log")).read())
        world.finish()
        with open(name) as f:
            return int(f.read())
    finally:
        world.close()


def points(n, full):
    if full or n <= TRIED:
        return list(range(1, n + 1))
    return sorted({1 + i * (n - 1) // (TRIED - 1) for i in range(TRIED)})


def tell(story, args, pool):
    n = calls(story)
    tried = [args.at] if args.at else points(n, args.full)
    rounds = {k: pool.submit(one_round, story, k) for k in tried}
    failed = killed = 0
    for k, r in rounds.items():
        try:
            killed += r.result()
        except Exception as e:  # the other rounds may still tell something
            failed += 1
            print(f"FAIL {story.name} at {k}: {e!r}", flush=True)
    # Else the faults did not come; the number of calls varies a little.
    if not failed and not args.at and killed < len(tried) * 0.8:
        failed = 1
        print(f"FAIL {story.name}: only {killed} of {len(tried)} were killed")
    print(f"{'FAIL' if failed else 'ok  '} {story.name}: {n} kill points, "
          f"{len(tried)} tried, {killed} killed, {failed} failed", flush=True)
    return failed


def main():
    names = [s.name for s in STORIES]
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--story", action="append", choices=names)
    parser.add_argument("--at", type=int)
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    os.umask(0o022)  # whatever the user's
    return apart.run(lambda _: tell_all(args), "snapctl-kill-daemon-")


def tell_all(args):
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for story in STORIES:
            if story.name in (args.story or [s.name for s in STORIES]):
                failed += tell(story, args, pool)
    return failed != 0


if __name__ == "__main__":
    raise SystemExit(main())
