#!/usr/bin/python3
"""Goal of this test: what people do to a repository is told to the auditor.

Deletions, holds and keys are changed in the caller's own process; where the
repository is meant by its name, the daemon's audit log has it at once, and the
retention report says who deleted a snapshot and why.
"""
import getpass
import json
import os
import sqlite3

import snap
from snap import check, wait_for

MANIFEST = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions:
    - {name: here, url: "file://%(root)s/here"}
%(more)s---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [etc]}
  repository: main
  replicateTo: [%(to)s]
"""


def begin(world, second=False):
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    here, there = world.path("here"), world.path("there")
    key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", here, *key)
    more = ""
    if second:
        world.run("region", "add", "there", there, "--repo", here, *key)
        more = f'    - {{name: there, url: "file://{there}"}}\n'
    world.start()
    world.apply(MANIFEST % {"root": world.root, "more": more,
                            "to": "there" if second else ""})
    return run_once(world)


def run_once(world):
    run = world.json("run", "start", "nightly")["id"]

    def ended():
        row = world.json("run", "show", str(run))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(done["state"] == "succeeded", done)
    return done["snapshot"][0]


def records(world, action):
    return world.json("audit", "log", "--action", action)


def known_holds(world, hold):
    db = sqlite3.connect(world.path("state/catalog.db"), timeout=snap.LIMIT)
    rows = db.execute("select snapshots, matter, custodian, released_us is "
                      "not null from holds where hold = ?", (hold,)).fetchall()
    db.close()
    return [(json.loads(row[0]), *row[1:]) for row in rows]


def deeds_are_recorded(world):
    snapshot = begin(world)
    repo = ("--repo", "main")
    hold = world.json("hold", "add", snapshot, "--case", "A 1",
                      "--custodian", "ann", *repo)["hold"]
    # Retention goes by it when its region is away.
    check(known_holds(world, hold) == [([snapshot], "A 1", "ann", 0)],
          known_holds(world, hold))
    world.run("hold", "release", hold, *repo)
    check(known_holds(world, hold) == [([snapshot], "A 1", "ann", 1)],
          known_holds(world, hold))
    slot = world.json("key", "add", "--new-key-file", world.path("k"),
                      "--label", "bob", *repo)["slot"]
    world.run("key", "revoke", slot, *repo)
    world.run("snapshot", "delete", snapshot, "--reason", "a leak", *repo)
    world.run("snapshot", "undelete", snapshot, *repo)
    for action, thing, told in [
            ("hold.add", hold, {"reason": "A 1", "custodian": "ann",
                                "snapshots": snapshot}),
            ("hold.release", hold, {}),
            ("key.add", slot, {"label": "bob"}), ("key.revoke", slot, {}),
            ("snapshot.delete", snapshot, {}),
            ("snapshot.undelete", snapshot, {})]:
        rows = records(world, action)
        check(len(rows) == 1 and rows[0]["object"] == thing, (action, rows))
        check(rows[0]["actor"] == getpass.getuser() and
              rows[0]["uid"] == os.getuid(), rows)
        told = {"repository": "main", **told}
        check(told.items() <= rows[0]["details"].items(), (told, rows))
    check("a leak" in records(world, "snapshot.delete")[0]["details"]
          ["reason"], "the reason")
    check(world.json("audit", "verify")["sound"], "the chain")
    before, after = "2000-01-01T00:00:00Z", "2200-01-01T00:00:00Z"
    everything = world.json("audit", "log", "--from", before, "--to", after)
    check(len(everything) >= 6 and everything == world.json("audit", "log"),
          everything)
    for span in ("--to", before), ("--from", after):
        check(world.json("audit", "log", *span) == [], span)
    # What a note says is KEY=VALUE, and each once.
    for detail, told in [("none", "not KEY=VALUE"),
                         ("repository=x", "told twice")]:
        world.run("audit", "note", "--action", "hold.add", "--object", "x",
                  "--in", "main", "--detail", detail, status=2)
        check(told in world.err, world.err)
    # A location is no name: nobody is told, and it is done all the same.
    world.run("hold", "add", snapshot, "--case", "B", "--repo",
              world.path("here"), "--key-file", world.path("keys/main.key"))
    check(len(records(world, "hold.add")) == 1, "a location")
    # Nothing is noted of what the daemon does not know.
    world.run("audit", "note", "--action", "hold.add", "--object", "x",
              "--in", "mian", status=5)
    world.stop()


def reported(world, snapshot):
    row, = [r for r in world.json("report", "retention")
            if r["snapshot"] == snapshot]
    return row


def a_deletion_is_reported_at_once(world):
    snapshot = begin(world)
    world.run("snapshot", "delete", snapshot, "--reason", "a leak",
              "--repo", "main")
    row = reported(world, snapshot)
    check(row["state"] == "deleted" and row["deleted"], row)
    check(row["reasons"][0].startswith(f"deleted by {getpass.getuser()}@") and
          row["reasons"][0].endswith(": a leak"), row)
    world.run("snapshot", "undelete", snapshot, "--repo", "main")
    check(reported(world, snapshot)["state"] == "kept", "undeleted")
    # What is too long for the repository's record is cut there and here.
    world.run("snapshot", "delete", snapshot, "--reason", "ü" * 5000,
              "--repo", "main")
    check("warning" not in world.err, world.err)
    check("üü" in reported(world, snapshot)["reasons"][0], "cut")
    world.stop()


def a_deletion_that_other_regions_follow(world):
    snapshot = begin(world, second=True)
    world.run("snapshot", "delete", snapshot, "--reason", "a leak",
              "--repo", "main")
    row = reported(world, snapshot)
    check(row["state"] == "kept" and row["deleted"] is None and
          row["reasons"][0].endswith(": a leak"), row)
    # What one region deleted is deleted in the other by the next run.
    run_once(world)
    row = reported(world, snapshot)
    check(row["state"] == "deleted" and row["deleted"] and
          row["reasons"][0].endswith(": a leak"), row)
    # Taken back without the daemon: that is seen by the next run.
    for place in "here", "there":
        world.run("snapshot", "undelete", snapshot, "--repo",
                  world.path(place), "--key-file", world.path("keys/main.key"))
    run_once(world)
    row = reported(world, snapshot)
    check(row["state"] == "kept" and
          not any("a leak" in r for r in row["reasons"]), row)
    check(world.json("audit", "verify")["sound"], "the chain")
    world.stop()


def a_deletion_that_was_taken_back_unseen(world):
    snapshot = begin(world, second=True)
    world.run("snapshot", "delete", snapshot, "--reason", "a leak",
              "--repo", "main")
    world.run("snapshot", "undelete", snapshot, "--repo", world.path("here"),
              "--key-file", world.path("keys/main.key"))
    run_once(world)
    row = reported(world, snapshot)
    check(row["state"] == "kept" and
          not any("a leak" in r for r in row["reasons"]), row)
    world.stop()


snap.tell(deeds_are_recorded, a_deletion_is_reported_at_once,
          a_deletion_that_other_regions_follow,
          a_deletion_that_was_taken_back_unseen)
