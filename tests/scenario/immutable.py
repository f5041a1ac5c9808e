#!/usr/bin/python3
"""Goal of this test: what a policy locks, nobody takes from its bucket.

The daemon takes snapshots into a bucket with object lock.  Then somebody has
the writer's credentials, which here may even remove versions, and the key: all
that he tries is refused or changes nothing of what is locked, also once a
collector came by that may do everything.  Records that he forges are found out
or hide something for a while: no byte is lost.
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
  verifyEvery: 3000d
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


def declared(world, here, lock):
    return (MANIFEST % {"root": world.root, "here": here}).replace(
        "lock: 2d", "lock: " + lock)


def serve(world, s3, lock="2d"):
    """A daemon whose nights go into the locked bucket; where that is."""
    here = s3.url("backup", "r1")
    begin(world, here, s3, init=False)
    os.mkdir(world.path("keys"), 0o700)
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", here, *world.key)
    world.env["SNAPCTL_REPO"] = "main"
    world.env["SNAPCTL_KEY_FILE"] = world.path("keys/main.key")
    world.start()
    world.apply(declared(world, here, lock))
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


def alarms(world):
    return [p["message"] for p in world.json("status")["problems"]
            if p["message"].startswith("main: region here: its store guards")]


def longer(world, here, state):
    """A night under a longer lock, for which what is there is too short."""
    # In shares of a day at first, and all at once then.
    world.apply(declared(world, here, "9d").replace("3000d", "1d"))
    return night(world, state)


def forged(world):
    """With the key: what is hidden comes back, and no byte is lost."""
    with FakeServer(buckets=["backup:lock"]) as s3:
        here = serve(world, s3, "4d")
        first = night(world)
        before = keep(world, "before")
        # That everything is guarded for long is believed, and found out.
        forge(world, here, "guard")
        second = longer(world, here, "partial")
        check(len(alarms(world)) == 1, world.json("status")["problems"])
        check(world.json("region", "health", "main")[0]["guarded"] is False,
              "it is not told")
        [row] = world.json("report", "coverage")
        check(row["guarded"] is False and "too briefly" in row["message"], row)
        short = world.json("repo", "check", status=3)
        check(short["sound"] and short["object_lock"]["short"] > 0, short)
        said = world.run("repo", "check", status=3)
        check("it is locked until" in said and "needed until" in said, said)
        mended = world.json("repo", "check", "--repair")
        check(mended["object_lock"]["short"] == 0 and
              mended["object_lock"]["lengthened"] > 0, mended)
        write(os.path.join(world.tree, "new"), 100_000, 7)
        night(world)
        check(alarms(world) == [], alarms(world))
        # A hold's release lets go of nothing in the store.
        loose = create(world)["snapshot"]
        hold = world.json("hold", "add", loose, "--case", "A")["hold"]
        other = world.json("hold", "add", first, "--case", "B")["hold"]
        forge(world, here, "release", hold)
        check([h["id"] for h in world.json("hold", "list")] == [other],
              world.json("hold", "list"))
        done = world.json("hold", "release", other, status=3)
        check(done["still_held_in"] == ["here"] and hold in world.err,
              (done, world.err))
        # One that nobody placed is released by nothing that is let go of.
        world.run("audit", "note", "--action", "hold.release", "--object",
                  hold, "--in", "main")
        world.run("hold", "release", "0" * 32, status=5)
        forge(world, here, "release",
              world.json("hold", "add", loose, "--case", "C")["hold"])
        world.stop()
        world.env["SNAPCTL_REPO"] = here
        world.run("snapshot", "delete", loose)
        held = [v for v in versions(s3) if v["held"]]
        check(any(loose in v["key"] for v in held), versions(s3))
        for v in held:
            which = "versionId=" + urllib.parse.quote(v["version"], safe="")
            gone = s3.call("DELETE", "/backup/" + urllib.parse.quote(v["key"]),
                           which)
            check(gone.status == 403, (v["key"], gone.status))
        world.run("repo", "gc", "--grace", "0s")
        world.run("snapshot", "undelete", loose)
        restored(world, loose)
        # Deleted long ago, all of it marked, all of it given up.
        forge(world, here, "tombstone", first)
        check(first not in [s["id"] for s in world.json("snapshot", "list")],
              "a tombstone hides nothing")
        world.run("repo", "gc", "--grace", "0s")
        world.run("snapshot", "undelete", first)
        restored(world, first, before)
        forge(world, here, "mark")
        for _ in range(2):
            world.run("repo", "gc", "--grace", "0s")
        restored(world, first, before)
        forge(world, here, "quarantine")
        world.run("repo", "check", status=4)
        world.run("repo", "check", "--read-data", "--repair", status=4)
        world.run("repo", "check", "--read-data")
        world.run("repo", "gc", "--grace", "0s")
        restored(world, first, before)
        restored(world, second, before)
        restored(world, loose)


snap.tell(stolen, forged)
