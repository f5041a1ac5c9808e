#!/usr/bin/python3
"""Goal of this test: what retention decides can be shown and shown again.

A daemon keeps and deletes by policies; `report retention --as-of` makes the
decisions again from what was stored, also from a rebuilt catalog, and names
one that somebody changed. A change that lets go of snapshots, through whatever
door it comes, waits with the exact list of them, and deletes nothing else. A
hold that is placed in one region is obeyed in all.
"""
import csv
import io
import os
import shutil
import sqlite3
import time

import snap
from snap import check, wait_for

DAY = 86400

REPOSITORY = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  regions:
    - {name: here, url: "file://%(root)s/here"}
%(more)s"""

SOURCE = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc, labels: {tier: %s}}
spec: {type: files, paths: ["%s/tree"]}
"""

POLICY = """\
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: %s}
spec: {retention: %s%s}
"""

SCHEDULE = """\
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: %s}
spec:
  cron: "0 0 1 1 *"
  sources: {matchLabels: {tier: %s}}
  repository: main
  policy: %s
%s"""


def begin(world, second=False):
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    with open(world.path("tree/a"), "w") as f:
        f.write("a")
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", world.path("here"), *world.key)
    more = ""
    if second:
        world.run("region", "add", "there", world.path("there"), "--repo",
                  world.path("here"), *world.key)
        more = f'    - {{name: there, url: "file://{world.path("there")}"}}\n'
    world.start()
    world.apply(REPOSITORY % {"root": world.root, "more": more} +
                SOURCE % ("gold", world.root))


def run_once(world, schedule="nightly", state="succeeded"):
    run = world.json("run", "start", schedule)["id"]

    def ended():
        row = world.json("run", "show", str(run))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(done["state"] == state, done)
    return done["snapshot"][0]


def pass_days(world, days):
    """The clock is set, and that is confirmed once the daemon saw it."""
    world.set_clock(world.shift + days * DAY)
    wait_for("the alarm", lambda: any("clock jumped" in p["message"] for p in
                                      world.json("status")["problems"]))
    world.run("clock", "confirm")


def night(world, schedule="nightly"):
    pass_days(world, 1)
    return run_once(world, schedule)


def live(world, place="here"):
    return {s["id"] for s in world.json(
        "snapshot", "list", "--repo", world.path(place), *world.key)}


def moment(world, seconds=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
        time.time() + world.shift + seconds))


def replay(world, status=0, *more):
    return world.json("report", "retention", "--as-of", moment(world, 60),
                      *more, status=status)


def replayed(world):
    begin(world)
    world.apply(POLICY % ("gold", "{keep-last: 2, keep-yearly: 1}", "") +
                SCHEDULE % ("nightly", "gold", "gold", ""))
    for _ in range(3):
        night(world)
    middle = moment(world, 60)
    for _ in range(2):
        night(world)
    rows = replay(world)
    check(len(rows) == 5 and all(r["replayed"] == "same" for r in rows), rows)
    check([r["decision"] for r in rows].count("delete") == 3, rows)
    kept = [r for r in rows if "keep-last 1" in r["reasons"]]
    check(len(kept) == 1 and kept[0]["policy"] == "gold" and
          kept[0]["region"] == "here", kept)
    text = world.run("report", "retention", "--as-of", moment(world, 60))
    check(text.endswith("\n5 decisions: 5 same\n"), text)
    old = world.json("report", "retention", "--as-of", middle)
    check(len(old) == 3 and all(r["replayed"] == "same" for r in old), old)
    check([r["decision"] for r in old].count("delete") == 1, old)
    table = list(csv.reader(io.StringIO(world.run(
        "report", "retention", "--as-of", middle, "--format", "csv"))))
    check(table[0] == list(old[0]) and len(table) == 4, table)
    check([row[table[0].index("replayed")] for row in table[1:]] ==
          ["same"] * 3, table)
    world.stop()
    # The segments bring the inputs back.
    shutil.rmtree(world.path("state"))
    world.run("catalog", "rebuild", "--repo", world.path("here"), *world.key)
    world.start()
    again = replay(world)
    check([r["replayed"] for r in again] == ["same"] * len(again) and
          len(again) == len(rows), again)
    # Somebody changes what was decided.
    db = sqlite3.connect(world.path("state/catalog.db"), timeout=snap.LIMIT)
    db.execute("update decisions set outcome = 'keep' where id = (select "
               "min(id) from decisions where outcome = 'delete')")
    db.commit()
    db.close()
    bad = [r for r in replay(world, 4) if r["replayed"] != "same"]
    check(len(bad) == 1 and bad[0]["replayed"] == "differs" and
          bad[0]["decision"] == "keep" and
          bad[0]["replay_decision"] == "delete" and
          bad[0]["message"] == "the replay says delete", bad)
    text = world.run("report", "retention", "--as-of", moment(world, 60),
                     status=4)
    check("4 same" in text and "1 differs" in text, text)
    world.stop()


snap.tell(replayed)
