#!/usr/bin/python3
"""Goal of this test: the service gives space back by itself, and tells of it.

A daemon with two regions, whose clock leaps from day to day: what retention
deleted goes in both, in its time; a region that is away or damaged keeps
everything and is an alarm until it was collected; snapshots do not wait for a
collection; what is gone for good is in the audit log, whoever did it.
"""
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import snap
from snap import LIMIT, SNAPCTL, check, wait_for

DAY = 86400

PLAN = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  regions:
    - {name: here, url: "file://%(root)s/here"}
    - {name: there, url: "file://%(root)s/there"}
  concurrency: 1
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: gold}
spec: {retention: {keep-last: 1}}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "FAR"
  sources: {names: [etc]}
  repository: main
  policy: gold
  replicateTo: [there]
""".replace("FAR", snap.FAR)


def begin(world):
    """Two snapshots, of which one is deleted in both regions."""
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", world.path("here"), *world.key)
    world.run("region", "add", "there", world.path("there"), "--repo",
              world.path("here"), *world.key)
    world.start()
    world.apply(PLAN % {"root": world.root})
    world.first = run_once(world)
    world.second = run_once(world)


def write(world):
    with open(world.path("tree/a"), "wb") as f:
        f.write(os.urandom(300_000))


def run_once(world):
    write(world)
    run = world.json("run", "start", "nightly")["id"]

    def ended():
        row = world.json("run", "show", str(run))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(done["state"] == "succeeded", done)
    return done["snapshot"][0]


def pass_days(world, days):
    """The clock is set, and that is confirmed once the daemon saw it."""
    world.set_clock(world.shift + days * DAY)
    wait_for("the alarm", lambda: any("clock jumped" in m
                                      for m in problems(world)))
    world.run("clock", "confirm")


def problems(world):
    return [p["message"] for p in world.json("status")["problems"]]


def collections(world):
    return world.json("run", "list", "--kind", "maintenance")


def collected(world, days, state="succeeded"):
    """The collection that comes after so many days, with its steps."""
    before = {r["id"] for r in collections(world)}
    pass_days(world, days)

    def ended():
        new = [r for r in collections(world) if r["id"] not in before]
        return new if new and new[0]["state"] not in (
            "queued", "running") else None
    new = wait_for("a collection", ended)
    check(len(new) == 1 and new[0]["state"] == state and
          new[0]["schedule"] == "main" and new[0]["kind"] == "Maintenance",
          new)
    return world.json("run", "show", str(new[0]["id"]))


def of_region(run, region):
    return next(s for s in run["steps"]
                if s["step"] == "gc" and s["region"] == region)


def region(world, name):
    return next(r for r in world.json("status")["regions"]
                if r["region"] == name)


def packs(world, place):
    return sum(len(files) for kind in ("data", "meta") for _, _, files in
               os.walk(world.path(os.path.join(place, kind))))


def audited(world):
    return [(r["actor"], r["object"], r["details"]) for r in
            world.json("audit", "log", "--action", "repo.gc")]


def space_comes_back(world):
    begin(world)
    row = region(world, "here")
    check(row["collected"] is None and row["bytes_pending"] is None, row)
    before = {place: packs(world, place) for place in ("here", "there")}
    # Its day is over: it goes, and what only it needed is marked.
    first = collected(world, 2)
    for place in "here", "there":
        got = of_region(first, place)["details"]
        check(got["snapshots"] == 1 and got["marked"] > 0 and
              got["deleted"] == 0 and got["bytes_pending"] > 0, got)
        row = region(world, place)
        check(row["collected"] and row["bytes_pending"] ==
              got["bytes_pending"] and row["blocked_by"] == [], row)
    check("TO BE FREED" in world.run("status"), world.run("status"))
    # Somebody could be in the way: as `repo gc` tells it, and in words.
    others = [{"kind": "session", "id": "0" * 32, "host": h, "why":
               "is writing a snapshot"} for h in ("h8", "h9")]
    db = sqlite3.connect(world.path("state/catalog.db"), timeout=LIMIT)
    db.execute("update run_steps set details = json_set(details, "
               "'$.blocked_by', json(?)) where step = 'gc' and "
               "region = 'here'", (json.dumps(others),))
    db.commit()
    db.close()
    row = region(world, "here")
    check(row["blocked_by"] == others and
          row["waits_for"] == "h8 is writing a snapshot, and 1 more", row)
    # A day later what was marked goes.
    second = collected(world, 2)
    for place in "here", "there":
        got = of_region(second, place)["details"]
        check(got["deleted"] > 0 and got["bytes_freed"] > 300_000 and
              got["bytes_pending"] == 0, got)
        check(packs(world, place) < before[place], place)
        world.run("repo", "check", "--read-data", "--repo",
                  world.path(place), *world.key)
    world.run("snapshot", "undelete", world.first, "--repo",
              world.path("here"), *world.key, status=5)
    told = audited(world)
    check(all(a == "snapctld" and o == "Repository/main" for a, o, _ in told),
          told)
    check(sorted((d["region"], d["snapshots"]) for _, _, d in told) ==
          [("here", "0"), ("here", "1"), ("there", "0"), ("there", "1")], told)
    check(sum(int(d["packs"]) for _, _, d in told) ==
          sum(of_region(second, p)["details"]["deleted"]
              for p in ("here", "there")), told)
    text = world.run("run", "show", str(second["id"]))
    check("freed" in text and "there" in text, text)
    rows = [r for r in world.json("report", "runs", "--from",
                                  "2000-01-01T00:00:00Z", "--to",
                                  "2100-01-01T00:00:00Z")
            if r["kind"] == "Maintenance"]
    check([r["state"] for r in rows if r["state"] != "superseded"] ==
          ["succeeded", "succeeded"], rows)
    check(problems(world) == [], problems(world))
    # The segments bring it back.
    when = region(world, "there")["collected"]
    world.stop()
    shutil.rmtree(world.path("state"))
    world.run("catalog", "rebuild", "--repo", world.path("there"), *world.key)
    world.start()
    check(region(world, "there")["collected"] == when, "rebuilt")
    check(len(audited(world)) == len(told), audited(world))
    world.stop()


def spoil(world, place):
    """Damage, and its undoing."""
    folder = world.path(os.path.join(place, "index"))
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "r+b") as f:
            f.seek(100)
            byte = f.read(1)
            f.seek(100)
            f.write(bytes([byte[0] ^ 1]))


def alarms(world):
    return [m for m in problems(world) if "garbage" in m]


def damage_is_an_alarm(world):
    begin(world)
    spoil(world, "there")
    run = collected(world, 2, "partial")
    check(of_region(run, "here")["state"] == "succeeded" and
          "nothing was deleted" in of_region(run, "there")["message"], run)
    told = alarms(world)
    check(len(told) == 1 and 'region "there"' in told[0], told)
    check("not all is well" in world.run("status"), world.run("status"))
    check(region(world, "there")["collected"] is None, "never")
    spoil(world, "there")
    check(alarms(world) == told, "it is well, but was not collected yet")
    collected(world, 1)
    check(alarms(world) == [], alarms(world))
    check(region(world, "there")["collected"], "at last")
    # The key is lost for a while: no region, no alarm of its own for each.
    os.rename(world.path("keys/main.key"), world.path("keys/lost.key"))
    collected(world, 1, "failed")
    check(len([m for m in problems(world) if "does not work" in m]) == 2,
          problems(world))
    os.rename(world.path("keys/lost.key"), world.path("keys/main.key"))
    collected(world, 1)
    check(problems(world) == [], problems(world))
    world.stop()


def away_is_told(world):
    begin(world)
    os.rename(world.path("there"), world.path("away"))
    run = collected(world, 2, "partial")
    check(of_region(run, "there")["state"] == "failed", run)
    check(any("region there of main does not work" in m
              for m in problems(world)), problems(world))
    check(not os.path.exists(world.path("there")), "it was made")
    os.rename(world.path("away"), world.path("there"))
    collected(world, 1)
    check(problems(world) == [], problems(world))
    world.stop()


def nobody_waits_for_it(world):
    """One that lasts: it looks whether a session that stands still is alive,
    for two minutes."""
    begin(world)
    write(world)
    stopped = subprocess.Popen(
        [SNAPCTL, "snapshot", "create", world.path("tree"), "--repo",
         world.path("here"), *world.key], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**world.env, "SNAPCTL_TEST_SEAM": "stop:20"})
    done = os.waitid(os.P_PID, stopped.pid,
                     os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    check(done.si_code == os.CLD_STOPPED, done)
    try:
        pass_days(world, 2)
        run = wait_for("a collection", lambda: [
            r for r in collections(world) if r["state"] == "running"])[0]
        # The repository's limit is one run.
        run_once(world)
        check(collections(world)[0]["state"] == "running", "too short")
        world.run("run", "cancel", str(run["id"]))
        wait_for("the end", lambda: collections(world)[0]["state"] ==
                 "cancelled")
        rows = [r for r in world.json("report", "runs", "--from",
                                      "2000-01-01T00:00:00Z", "--to",
                                      "2100-01-01T00:00:00Z")
                if r["kind"] == "Maintenance" and r["state"] == "skipped"]
        check([r["message"] for r in rows] == ["cancelled"], rows)
        check(alarms(world) == [], "it was somebody's wish")
    finally:
        stopped.send_signal(signal.SIGCONT)
        stopped.wait(timeout=LIMIT)
    world.stop()


def by_hand(world):
    begin(world)
    world.apply(PLAN.replace("concurrency: 1", "gc: {every: 0s}") %
                {"root": world.root})
    got = world.json("repo", "gc", "--grace", "0s", "--repo", "main",
                     "--region", "there")
    check(got["snapshots"] == 1 and got["deleted"] > 0, got)
    told = audited(world)
    check(len(told) == 1 and told[0][0] != "snapctld" and
          told[0][1] == "Repository/main" and told[0][2] == {
              "repository": "main", "region": "there", "snapshots": "1",
              "packs": str(got["deleted"]),
              "bytes_freed": str(got["bytes_freed"])}, told)
    # Nothing was deleted, so there is nothing to record.
    world.json("repo", "gc", "--repo", "main")
    check(len(audited(world)) == 1, audited(world))
    world.json("repo", "gc", "--grace", "0s", "--repo", "main")
    check([d["region"] for _, _, d in audited(world)] == ["here", "there"],
          audited(world))
    world.run("repo", "gc", "--repo", "main", "--region", "nowhere", status=5)
    check("nowhere" in world.err, world.err)
    world.run("repo", "gc", "--repo", world.path("here"), "--region", "there",
              *world.key, status=2)
    # Turned off, it is not due.
    pass_days(world, 9)
    write(world)
    run_once(world)
    check(collections(world) == [], collections(world))
    world.stop()


def holds(world, where):
    return [h["id"] for h in world.json("hold", "list", "--repo",
                                        world.path(where), *world.key)]


def holds_reach_every_region(world):
    """Set, and released, while a region is away: it follows."""
    begin(world)
    world.env["SNAPCTL_REPO"] = "main"
    held = world.json("hold", "add", "--source", "etc", "--case", "A 1")
    check(held["held_in"] == ["here", "there"] and
          held["follows_in"] == [], held)
    check(holds(world, "there") == [held["hold"]], "not there at once")
    os.rename(world.path("there"), world.path("gone"))
    late = world.json("hold", "add", "--source", "etc", "--case", "A 2",
                      status=3)
    check(late["held_in"] == ["here"] and late["follows_in"] == ["there"] and
          '"there" gets it when' in world.err, (late, world.err))
    done = world.json("hold", "release", held["hold"], status=3)
    check(done["released_in"] == ["here"] and
          done["still_held_in"] == ["there"] and
          '"there" still has it' in world.err, (done, world.err))
    told = [m for m in problems(world) if "still has 1 legal hold" in m]
    check(len(told) == 1 and "region there of main" in told[0],
          problems(world))
    check(region(world, "there")["holds_to_release"] == 1 and
          region(world, "here")["holds_to_release"] == 0,
          world.json("status")["regions"])
    os.rename(world.path("gone"), world.path("there"))
    collected(world, 2)
    # With what came meanwhile: a store lets go of what no hold there is on.
    check(holds(world, "there") == [late["hold"]], holds(world, "there"))
    check(region(world, "there")["holds_to_release"] == 0,
          world.json("status")["regions"])
    check([(r["object"], r["actor"], r["details"]["region"]) for r in
           world.json("audit", "log", "--action", "hold.released")][0] ==
          (held["hold"], "snapctld", "there"), "who let go of it")
    # Whatever region it was put in, it comes to the others.
    run_once(world)
    check(holds(world, "there") == [late["hold"]], holds(world, "there"))
    os.rename(world.path("here"), world.path("gone"))
    more = world.json("hold", "add", "--source", "etc", "--case", "A 3",
                      status=3)
    check(more["held_in"] == ["there"] and more["follows_in"] == ["here"],
          more)
    done = world.json("hold", "release", late["hold"], status=3)
    check(done["released_in"] == ["there"] and
          done["still_held_in"] == ["here"], done)
    os.rename(world.path("gone"), world.path("here"))
    run_once(world)
    check(holds(world, "here") == [more["hold"]], holds(world, "here"))
    done = world.json("hold", "release", late["hold"])
    check(done["still_held_in"] == [], done)
    world.run("hold", "release", "0" * 32, status=5)
    # A store lets go of what no hold there is on: so those are put there first
    # that came while its region was away, or nothing is let go of.
    first, second = [world.json("hold", "add", "--source", "etc", "--case",
                                case)["hold"] for case in ("A 4", "A 5")]
    os.rename(world.path("there"), world.path("gone"))
    late = world.json("hold", "add", "--source", "etc", "--case", "A 6",
                      status=3)["hold"]
    os.rename(world.path("gone"), world.path("there"))
    done = world.json("hold", "release", first)
    check(done["still_held_in"] == [] and
          set(holds(world, "there")) == {more["hold"], second, late},
          (done, holds(world, "there")))
    os.rename(world.path("there"), world.path("gone"))
    alone = world.json("hold", "add", "--source", "etc", "--case", "A 7",
                       status=3)["hold"]
    os.rename(world.path("gone"), world.path("there"))
    os.rename(world.path("here"), world.path("gone"))
    done = world.json("hold", "release", second, status=3)
    check(done["released_in"] == [] and alone in world.err and
          set(holds(world, "there")) == {more["hold"], late},
          (done, world.err))
    world.stop()


snap.tell(space_comes_back, damage_is_an_alarm, away_is_told,
          nobody_waits_for_it, by_hand, holds_reach_every_region)
