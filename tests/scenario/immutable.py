#!/usr/bin/python3
"""Goal of this test: what a policy locks, nobody takes from its bucket.

The daemon takes snapshots into a bucket with object lock.  Then somebody has
the writer's credentials, which here may even remove versions, and the key: all
that he tries is refused or changes nothing of what is locked, also once a
collector came by that may do everything.
"""
import os
import subprocess
import urllib.parse

import snap
from s3_place import FakeServer
from s3_world import begin, create, keep, restored, write
from snap import BUILD, LIMIT, check, wait_for

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
           "receipts", "locks", "undeletes", "holds")
EARLIER = (b'<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
           b"<Mode>COMPLIANCE</Mode><RetainUntilDate>2001-01-01T00:00:00Z"
           b"</RetainUntilDate></Retention>")


def ended(world, number):
    row = world.json("run", "show", str(number))
    return row if row["state"] not in ("queued", "running") else None


def night(world, state="succeeded"):
    number = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, number))
    check(done["state"] == state, done)
    return done["snapshot"][0]


def forge(world, url, *what):
    """Somebody with the key writes a record of his own."""
    subprocess.run([os.path.join(BUILD, "tests", "scenario", "forge"), url,
                    world.key[1], *what], check=True, timeout=LIMIT,
                   env=world.env)


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


def serve(world, s3):
    """A daemon whose nights go into the locked bucket; where that is."""
    here = s3.url("backup", "r1")
    begin(world, here, s3, init=False)
    os.mkdir(world.path("keys"), 0o700)
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", here, *world.key)
    world.env["SNAPCTL_REPO"] = "main"
    world.env["SNAPCTL_KEY_FILE"] = world.path("keys/main.key")
    world.start()
    world.apply(MANIFEST % {"root": world.root, "here": here})
    return here


def shown(world, snapshot):
    """What people see of it: what was asked for, and what the store locks."""
    region = world.json("region", "status")[0]
    check(region["lock_mode"] == "compliance" and
          region["lock_until"] > region["received"] and
          not region["lock_exact"], region)
    exact = world.json("region", "status", "--exact")[0]
    check(exact["lock_exact"] and exact["lock_short"] == 0 and
          exact["lock_objects"] > 5, exact)
    one = world.json("snapshot", "show", snapshot)
    check([(x["region"], x["lock_mode"], x["present"], x["lock_held"])
           for x in one["locks"]] == [("here", "compliance", True, False)] and
          one["locks"][0]["lock_until"] > one["locked_until"], one)
    exact = world.json("snapshot", "show", snapshot, "--exact")["locks"][0]
    check(exact["lock_until"] > one["locked_until"] and
          exact["lock_short"] == 0 and exact["lock_exact"], exact)
    health = world.json("region", "health", "main")[0]
    check(health["guarded"] is True, health)
    said = world.run("region", "status")
    check("compliance" in said, said)


def stolen(world):
    with FakeServer(buckets=["backup:lock"]) as s3:
        here = serve(world, s3)
        first = night(world)
        before = keep(world, "before")
        write(os.path.join(world.tree, "new"), 100_000, 7)
        second = night(world)
        proof = world.json("repo", "check")
        check(proof["sound"] and proof["object_lock"]["short"] == 0 and
              proof["object_lock"]["snapshots"] == 2, proof)
        shown(world, second)
        world.run("snapshot", "delete", first, status=7)
        world.stop()
        world.env["SNAPCTL_REPO"] = here
        check(attack(s3) > 10, "little was there")
        # What lies on top of everything is no damage, and stops nobody.
        world.run("repo", "gc", "--grace", "0s")
        restored(world, first, before)
        # The catalog's copies are not locked: they can be had again.
        found = world.json("repo", "check", "--read-data", "--repair",
                           status=4)
        check({d["object"].split("/")[0] for d in found["damaged"]} ==
              {"catalog"}, found)
        world.run("repo", "gc", "--grace", "0s")
        restored(world, first, before)
        restored(world, second)
        world.run("repo", "check", "--read-data")
        listed = world.json("snapshot", "list")
        check({s["id"] for s in listed} == {first, second}, listed)


snap.tell(stolen)
