#!/usr/bin/python3
"""Goal of this test: what a policy locks, nobody takes from its bucket.

The daemon takes snapshots into a bucket with object lock.  Then somebody has
the writer's credentials, which here may even remove versions, and the key: all
that he tries is refused or changes nothing of what is locked, also once a
collector came by that may do everything.
"""
import os
import urllib.parse

import snap
from s3_place import FakeServer
from s3_world import begin, keep, restored, write
from snap import check, wait_for

MANIFEST = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions: [{name: here, url: "%(here)s", primary: true}]
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: locked}
spec: {lock: 2d}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [etc]}
  repository: main
  policy: locked
  retries: 0
"""
GUARDED = ("config", "keys", "keyring", "data", "meta", "index", "snapshots",
           "receipts", "locks", "undeletes", "holds", "catalog")
EARLIER = (b'<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
           b"<Mode>COMPLIANCE</Mode><RetainUntilDate>2001-01-01T00:00:00Z"
           b"</RetainUntilDate></Retention>")


def ended(world, number):
    row = world.json("run", "show", str(number))
    return row if row["state"] not in ("queued", "running") else None


def night(world):
    number = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, number))
    check(done["state"] == "succeeded", done)
    return done["snapshot"][0]


def versions(s3):
    return [v for v in s3.control("list", prefix="r1/")
            if v["bucket"] == "backup" and v["size"] is not None]


def is_guarded(version):
    return version["key"].split("/")[1] in GUARDED


def attack(s3):
    """Every object: on top of it, away with it, and for less long."""
    refused = 0
    for v in versions(s3):
        path = "/backup/" + urllib.parse.quote(v["key"])
        which = "versionId=" + urllib.parse.quote(v["version"], safe="")
        less = s3.call("PUT", path, f"retention=&{which}", EARLIER)
        gone = s3.call("DELETE", path, which)
        s3.call("DELETE", path)
        s3.call("PUT", path, "", b"rubbish" * 100)
        if is_guarded(v):
            check(less.status != 200, (v["key"], "shortened"))
            check(gone.status == 403, (v["key"], gone.status))
            refused += 1
    return refused


def stolen(world):
    with FakeServer(buckets=["backup:lock"]) as s3:
        here = s3.url("backup", "r1")
        begin(world, here, s3, init=False)
        os.mkdir(world.path("keys"), 0o700)
        world.key = ("--key-file", world.path("keys/main.key"))
        world.run("repo", "init", here, *world.key)
        world.env["SNAPCTL_REPO"] = "main"
        world.env["SNAPCTL_KEY_FILE"] = world.path("keys/main.key")
        world.start()
        world.apply(MANIFEST % {"root": world.root, "here": here})
        first = night(world)
        before = keep(world, "before")
        write(os.path.join(world.tree, "new"), 100_000, 7)
        second = night(world)
        proof = world.json("repo", "check")
        check(proof["sound"] and proof["object_lock"]["short"] == 0 and
              proof["object_lock"]["snapshots"] == 2, proof)
        world.run("snapshot", "delete", first, status=7)
        world.stop()
        world.env["SNAPCTL_REPO"] = here
        check(attack(s3) > 10, "little was there")
        # What lies on top of everything is no damage, and stops nobody.
        world.run("repo", "gc", "--grace", "0s")
        restored(world, first, before)
        found = world.json("repo", "check", "--read-data", "--repair",
                           status=3)
        check(found["sound"] and found["foreign_count"] > 10 and
              len(found["foreign"]) == min(found["foreign_count"], 64),
              found)
        world.run("repo", "gc", "--grace", "0s")
        restored(world, first, before)
        restored(world, second)
        world.run("repo", "check", "--read-data", status=3)
        listed = world.json("snapshot", "list")
        check({s["id"] for s in listed} == {first, second}, listed)


snap.tell(stolen)
