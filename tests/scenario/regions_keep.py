#!/usr/bin/python3
"""Goal of this test: regions may keep differently, and nobody loses by it.

A daemon with a primary that keeps one snapshot and an archive that keeps many,
by a policy of its own. The archive is away for a while, what people delete
reaches it, what it lost heals, it becomes the primary, and its rules change:
what either region let go of comes back to it by none of that, and spreads by
none.
"""
import datetime
import glob
import os
import time

import snap
from snap import check, wait_for

DAY = 86400

PLAN = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions:
    - {name: here, url: "file://%(root)s/here"}
    - {name: archive, url: "file://%(root)s/archive", policy: years}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: days}
spec: {retention: {keep-last: 1}}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: years}
spec: {retention: {keep-last: 30}}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "FAR"
  sources: {names: [etc]}
  repository: main
  policy: days
  replicateTo: [archive]
  retries: 0
""".replace("FAR", snap.FAR)


def begin(world):
    world.begin_at_noon()
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    with open(world.path("tree/a"), "w") as f:
        f.write("a")
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", world.path("here"), *world.key)
    world.run("region", "add", "archive", world.path("archive"), "--repo",
              world.path("here"), *world.key)
    world.start()
    world.apply(PLAN % {"root": world.root})


def run_once(world, state="succeeded"):
    run = world.json("run", "start", "nightly")["id"]

    def ended():
        row = world.json("run", "show", str(run))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(done["state"] == state, done)
    return done["snapshot"][0]


def next_day(world):
    """The clock is set, and that is confirmed once the daemon saw it."""
    def confirmed():
        with open(world.path("log"), encoding="utf-8") as log:
            return log.read().count("the clock was confirmed")
    before = confirmed()
    world.set_clock(world.shift + DAY)
    wait_for("the alarm", lambda: any("clock jumped" in p["message"] for p in
                                      world.json("status")["problems"]))
    world.run("clock", "confirm")
    wait_for("the confirmation", lambda: confirmed() > before)


def live(world, place):
    return {s["id"] for s in world.json(
        "snapshot", "list", "--repo", world.path(place), *world.key)}


def at(world, here, archive):
    """What is in each, as sets of numbers: the nth that was taken."""
    for place, wanted in ("here", here), ("archive", archive):
        got = {world.taken.index(s) + 1 for s in live(world, place)}
        check(got == wanted, (place, got, wanted))


def take(world, state="succeeded"):
    world.taken.append(run_once(world, state))


def away(world, is_away):
    names = world.path("archive"), world.path("archive.away")
    os.rename(*(names if is_away else reversed(names)))


def row_of(world, snapshot, region):
    row, = [r for r in world.json("report", "retention")
            if r["snapshot"] == snapshot and region in r["regions"]]
    return row


def a_warm_primary_and_an_archive(world):
    begin(world)
    world.taken = []
    for _ in range(3):
        take(world)
    at(world, {3}, {1, 2, 3})
    row = row_of(world, world.taken[0], "archive")
    check(row["state"] == "kept" and row["policy"] == "years" and
          "keep-last 3" in row["reasons"], row)
    regions = {r["region"]: r["policy"] for r in world.json(
        "region", "status", "--repo", "main")}
    check(regions == {"here": None, "archive": "years"}, regions)

    # Away: what it would keep stays until it has it, and that is told.
    away(world, True)
    next_day(world)
    for _ in range(2):
        take(world, "partial")
    check(live(world, "here") == set(world.taken[3:]), live(world, "here"))
    row = row_of(world, world.taken[3], "here")
    check(row["state"] == "waits-for-region" and
          row["reasons"] == ["waits-for-region archive"], row)
    told = [p["message"] for p in world.json("status")["problems"]]
    check(any("waits-for-region: 1 snapshot in region here" in m
              for m in told), told)
    # A person deletes what the primary let go of long ago.
    world.run("snapshot", "delete", world.taken[0], "--repo", "main")
    away(world, False)
    next_day(world)
    take(world)
    at(world, {6}, {2, 3, 4, 5, 6})
    world.run("snapshot", "delete", world.taken[0], "--repo", "main")

    # What the primary's collector took is deleted where it still is.
    gone, = glob.glob(world.path(f"here/snapshots/{world.taken[1]}-*"))
    os.unlink(gone)
    world.run("snapshot", "delete", world.taken[1], "--repo", "main")
    at(world, {6}, {3, 4, 5, 6})

    # Each heals from the other what it lost, and nothing that it let go.
    lost, = glob.glob(world.path(f"archive/snapshots/{world.taken[5]}-*"))
    os.unlink(lost)
    world.run("region", "heal", "archive", "--repo", "main")
    world.run("region", "heal", "here", "--repo", "main")
    at(world, {6}, {3, 4, 5, 6})

    # With more than the other, as its primary, it brings nothing back.
    world.run("region", "promote", "archive", "--repo", "main")
    at(world, {6}, {3, 4, 5, 6})
    take(world)
    # The day's budget is used up here.
    at(world, {6, 7}, {3, 4, 5, 6, 7})

    # A change of its rules waits there, and nowhere else.
    world.apply("""\
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: years}
spec: {retention: {keep-last: 2}}
""")
    take(world)
    at(world, {6, 7, 8}, {3, 4, 5, 6, 7, 8})
    waiting, = world.json("policy", "pending")
    check(waiting["region"] == "archive" and waiting["policy"] == "years" and
          waiting["snapshots"] == sorted(world.taken[2:6]), waiting)
    for place, is_listed in ("archive", True), ("here", False):
        row = row_of(world, world.taken[5], place)
        check(any("a shortening waits" in r for r in row["reasons"]) ==
              is_listed, row)

    # All of it was decided by rules, and can be decided again.
    rows = [r for when in (1, -DAY, -2 * DAY)
            for r in world.json("report", "retention", "--as-of",
                                moment(world, when))]
    check(rows and all(r["replayed"] == "same" for r in rows), rows)
    check({"keep", "delete", "waits-for-region", "waiting"} <=
          {r["decision"] for r in rows}, rows)
    # A policy that a region keeps by is needed.
    world.run("delete", "policy", "years", status=1)
    world.stop()


def place(world, name):
    return ("--repo", world.path(name), *world.key)


def refused(world, *words, status):
    """What it says, with nothing changed in the archive."""
    got = world.json(*words, "--repo", "main", status=status)["error"]
    check(live(world, "archive") == set(world.taken), (words, got))
    return got


def hold_in_part(world, snapshot):
    """The archive, which alone has it, opens but takes no hold."""
    uploads = world.path("archive/tmp")
    os.rename(uploads, uploads + ".away")
    with open(uploads, "wb"):
        pass
    got = world.json("hold", "add", snapshot, "--case", "A 5", "--repo",
                     "main", status=3)
    hold = got["hold"]
    check((got["held_in"], got["follows_in"], got["unheld"]) ==
          (["here"], ["archive"], [snapshot]), got)
    check(all(told in world.err for told in (
        f"hold {hold} is in force in region \"here\"",
        f"not in \"archive\", which has snapshot {snapshot}",
        "snapctl replicate --to archive --repo main",
        f"snapctl hold release {hold} --repo main")), world.err)
    told = world.json("audit", "log", "--action", "hold.add", "--object", hold)
    check(len(told) == 1, told)
    os.unlink(uploads)
    os.rename(uploads + ".away", uploads)

    # What is advised helps.
    listed = world.json("hold", "list", *place(world, "archive"))
    check(hold not in [h["id"] for h in listed], listed)
    world.run("replicate", "--to", "archive", "--repo", "main")
    listed = world.json("hold", "list", *place(world, "archive"))
    check(hold in [h["id"] for h in listed], listed)
    got = world.json("hold", "release", hold, "--repo", "main")
    check(got["released_in"] == ["here", "archive"], got)


def people_mean_what_the_archive_alone_has(world):
    begin(world)
    world.taken = []
    for _ in range(3):
        take(world)
    at(world, {3}, {1, 2, 3})
    # What the primary's collector took: only the archive tells of it.
    for name in glob.glob(world.path("here/snapshots/*")):
        if world.taken[2] not in name:
            os.unlink(name)
    first, second, _ = world.taken
    hold_in_part(world, second)

    # The start of an id may be a slip.
    got = refused(world, "snapshot", "delete", first[:12], status=5)
    check('region "archive" has ' + first in got["message"] and
          "whole id" in got["hint"], got)

    # A hold that only the primary knows of is obeyed, for all or none.
    hold = world.json("hold", "add", "--source", "etc", "--case", "A 1",
                      *place(world, "here"))["hold"]
    refused(world, "snapshot", "delete", first, status=7)
    check(not glob.glob(world.path("archive/tombstones/*")), "a tombstone")
    world.run("hold", "release", hold, *place(world, "here"))
    held = world.json("hold", "add", world.taken[2], "--case", "A 2",
                      *place(world, "here"))["hold"]
    refused(world, "snapshot", "delete", first, world.taken[2], status=7)
    world.run("hold", "release", held, *place(world, "here"))

    # It can be held, and the hold is one.
    hold = world.json("hold", "add", second[:12], "--case", "A 3", "--repo",
                      "main")["hold"]
    for region in "here", "archive":
        listed = world.json("hold", "list", *place(world, region))
        check([(h["id"], h["snapshots"]) for h in listed] ==
              [(hold, [second])], (region, listed))
        refused(world, "snapshot", "delete", second, status=7)
    refused(world, "hold", "add", "f" * 32, "--case", "A", status=5)

    # One that is away is named: it may well have it.
    away(world, True)
    for words in (("snapshot", "delete", first),
                  ("hold", "add", first, "--case", "A 4")):
        got = world.json(*words, "--repo", "main", status=6)["error"]
        check('region "archive" could not tell' in got["message"], got)
    away(world, False)

    got = world.json("snapshot", "delete", first, world.taken[2], "--repo",
                     "main")
    check(got["only_in"] == {first: "archive"}, got)
    at(world, set(), {2, 3})
    again = world.json("snapshot", "delete", world.taken[2], "--repo", "main")
    check(again["only_in"] is None and
          again["restorable_until"] <= got["restorable_until"], (got, again))
    check("archive" in world.run("snapshot", "delete", first, "--repo",
                                 "main"), "the region is told")
    world.stop()


# The archive first, by the schedule's policy; and a warm one that it feeds.
WARM = PLAN.replace(", policy: years}", "}").replace(
    '/here"}', '/here", policy: days}').replace(
    '/archive"}', '/archive", primary: true}').replace(
    "policy: days\n  rep", "policy: years\n  rep").replace(
    "replicateTo: [archive]", "replicateTo: [here]")


def known(world, region):
    """What the catalog tells of it: lacking by its rules, and let go."""
    row, = [r for r in world.json("region", "health", "main", "--missing")
            if r["region"] == region]
    return row["missing"], row["let_go"], row["lacks"]


def promote(world, name, *words, status=0):
    got = world.json("region", "promote", name, "--repo", "main", *words,
                     status=status)
    return got["error"] if status else (got["missing"], got["let_go"])


def what_a_warm_region_never_wanted_is_not_missing(world):
    begin(world)
    world.apply(WARM % {"root": world.root})
    world.taken = []
    for _ in range(3):
        take(world)
    at(world, {3}, {1, 2, 3})
    check(known(world, "here") == (0, 2, []), known(world, "here"))
    row, = [r for r in world.json("region", "status", "--repo", "main")
            if r["region"] == "here"]
    check((row["missing"], row["let_go"]) == (0, 2), row)

    # It lost all that tells what it let go; what it wants comes back.
    for name in glob.glob(world.path("here/tombstones/*")) + glob.glob(
            world.path("here/snapshots/*")):
        os.unlink(name)
    got = world.json("region", "heal", "here", "--repo", "main")
    check((got["snapshot_count"], got["let_go"]) == (1, 2), got)
    at(world, {3}, {1, 2, 3})
    got = world.json("replicate", "--to", "here", "--repo", "main")
    check((got["copied"], got["let_go"]) == (0, 2), got)
    # What is named is meant, and goes with the next retention.
    got = world.json("replicate", world.taken[0], "--to", "here", "--repo",
                     "main")
    check((got["copied"], got["let_go"]) == (1, 0), got)
    at(world, {1, 3}, {1, 2, 3})

    # One that it wants is missing, and named.
    names = world.path("here"), world.path("here.away")
    os.rename(*names)
    take(world, "partial")
    os.rename(*reversed(names))
    check(known(world, "here") == (1, 2, world.taken[3:]),
          known(world, "here"))
    for told in "", ", as far as is known":
        if told:
            away(world, True)
        got = promote(world, "here", status=7)
        check("lacks 1 snapshot that" in got["message"] and
              world.taken[3][:12] in got["message"] and
              got["message"].endswith(told) and "--force" in got["hint"], got)
    away(world, False)

    # Once it is there nothing stands against it, and the archive keeps all.
    take(world)
    at(world, {5}, {1, 2, 3, 4, 5})
    got = promote(world, "here")
    check(got == (0, 4) and "4 older snapshots stay in region \"archive\" "
          "alone" in world.err, (got, world.err))
    next_day(world)
    for _ in range(2):
        take(world)
    at(world, {7}, {1, 2, 3, 4, 5, 6, 7})
    check(known(world, "archive") == (0, 0, []), known(world, "archive"))
    check(promote(world, "archive") == (0, 0), "back again")
    take(world)
    # The day's budget is used up.
    at(world, {7, 8}, {1, 2, 3, 4, 5, 6, 7, 8})
    world.stop()


LOCKED = PLAN.replace("{keep-last: 1}", "{keep-last: 9}, lock: 2d").replace(
    "{keep-last: 30}", "{keep-last: 30}, lock: 30d") + """\
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: longer}
spec: {lock: 4d}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: another}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [etc]}
  repository: main
  policy: longer
"""


def locked_days(world, place, snapshot):
    shown = world.json("snapshot", "show", snapshot, "--repo",
                       world.path(place), *world.key)
    until, received = (
        datetime.datetime.fromisoformat(shown[key].replace("Z", "+00:00"))
        for key in ("locked_until", "received"))
    return round((until - received) / datetime.timedelta(days=1))


def lose(world, place, snapshot):
    """Its manifest and its locks there."""
    lost = glob.glob(world.path(f"{place}/snapshots/{snapshot}-*")) + \
        glob.glob(world.path(f"{place}/locks/{snapshot}*"))
    check(len(lost) > 1, lost)
    for name in lost:
        os.unlink(name)


def what_comes_back_is_locked_as_its_region_does(world):
    begin(world)
    world.apply(LOCKED % {"root": world.root})
    world.taken = []
    take(world)
    first, = world.taken
    days = {"here": 2, "archive": 30}
    for place, expected in days.items():
        check(locked_days(world, place, first) == expected, place)
    # Not for the days of the region that it comes from.
    for place, words in (
            ("archive", ("replicate", "--to", "archive")),
            ("archive", ("region", "heal", "archive")),
            ("here", ("region", "heal", "here"))):
        lose(world, place, first)
        world.run(*words, "--repo", "main")
        got = locked_days(world, place, first)
        check(got == days[place], (words, got))
    # A run heals what the primary lost.
    lose(world, "here", first)
    take(world)
    check(locked_days(world, "here", first) == 2, "healed by a run")
    # The archive as the primary.
    promote(world, "archive")
    lose(world, "here", first)
    world.run("replicate", "--to", "here", "--repo", "main")
    check(locked_days(world, "here", first) == 2, "from the archive")
    world.stop()


def moment(world, seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
        time.time() + world.shift + seconds))


snap.tell(a_warm_primary_and_an_archive,
          people_mean_what_the_archive_alone_has,
          what_a_warm_region_never_wanted_is_not_missing,
          what_comes_back_is_locked_as_its_region_does)
