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
  gc: {every: 0s}
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
  cron: "FAR"
  sources: {matchLabels: {tier: %s}}
  repository: main
  policy: %s
%s""".replace("FAR", snap.FAR)


def begin(world, second=False):
    world.begin_at_noon()
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
    def confirmed():
        with open(world.path("log"), encoding="utf-8") as log:
            return log.read().count("the clock was confirmed")
    before = confirmed()
    world.set_clock(world.shift + days * DAY)
    wait_for("the alarm", lambda: any("clock jumped" in p["message"] for p in
                                      world.json("status")["problems"]))
    world.run("clock", "confirm")
    # Else the next days would be confirmed with these.
    wait_for("the confirmation", lambda: confirmed() > before)


def night(world, schedule="nightly"):
    pass_days(world, 1)
    return run_once(world, schedule)


def live(world, place="here"):
    return {s["id"] for s in world.json(
        "snapshot", "list", "--source", "etc", "--repo", world.path(place),
        *world.key)}


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


# ---- Shortenings, through every door ---------------------------------------

def doors_begin(world, policy):
    """Five snapshots that the policy keeps; what there is then."""
    begin(world)
    world.apply(policy)
    for _ in range(5):
        run_once(world)
    return live(world)


def pending(world):
    return world.json("policy", "pending")


def listed(world):
    return {s for p in pending(world) for s in p["snapshots"]}


def shortened(world, before, schedule="nightly", policy="tin"):
    """After a change that lets go of all that was there before it."""
    check(live(world) == before, "the change itself deleted something")
    new = {run_once(world, schedule)}
    check(live(world) == before | new, "deleted at once")
    lists = pending(world)
    check(len(lists) == 1 and set(lists[0]["snapshots"]) == before and
          lists[0]["policy"] == policy and lists[0]["count"] == len(before) and
          lists[0]["source"] == "etc", lists)
    told = [p["message"] for p in world.json("status")["problems"]]
    check(any("lets go of 5 snapshots" in m for m in told), told)
    # Called off: they are shown anew, for the whole period.
    pass_days(world, 6)
    world.run("policy", "cancel", policy)
    check(pending(world) == [], pending(world))
    pass_days(world, 2)
    new.add(run_once(world, schedule))
    check(before <= live(world), "deleted although it was called off")
    check(before <= listed(world), pending(world))
    states = {r["snapshot"]: r["state"] for r in
              world.json("report", "retention")}
    check(all(states[s] == "waiting" for s in before), states)
    # Within the period nothing goes; after it two a day, the oldest.
    pass_days(world, 6)
    new.add(run_once(world, schedule))
    check(before <= live(world), "deleted within the period")
    shown = listed(world)
    oldest = [r["snapshot"] for r in world.json("report", "retention")
              if r["snapshot"] in before][-2:]
    pass_days(world, 2)
    there = live(world)
    run_once(world, schedule)
    gone = there - live(world)
    check(gone == set(oldest) and gone <= shown, (gone, oldest))
    states = [r["state"] for r in world.json("report", "retention")]
    check(states.count("held-by-budget") >= 3, states)
    told = [p["message"] for p in world.json("status")["problems"]]
    check(any("held-by-budget" in m for m in told), told)
    rows = replay(world)
    check(all(r["replayed"] == "same" for r in rows), rows)
    world.stop()


GENEROUS = POLICY % ("gold", "{keep-last: 30}", "")
MEAN = POLICY % ("tin", "{keep-last: 1}", "")
NIGHTLY = SCHEDULE % ("nightly", "gold", "gold", "")


def a_policy_changes(world):
    before = doors_begin(world, GENEROUS + NIGHTLY)
    world.apply(POLICY % ("gold", "{keep-last: 1}", ""))
    shortened(world, before, policy="gold")


def a_first_rule(world):
    before = doors_begin(world, POLICY % ("gold", "{}", "") + NIGHTLY)
    world.apply(POLICY % ("gold", "{keep-last: 1}", ""))
    shortened(world, before, policy="gold")


def a_first_policy(world):
    without = NIGHTLY.replace("  policy: gold\n", "")
    before = doors_begin(world, without)
    world.apply(MEAN + SCHEDULE % ("nightly", "gold", "tin", ""))
    shortened(world, before)


def a_schedule_takes_another_policy(world):
    before = doors_begin(world, GENEROUS + MEAN + NIGHTLY)
    world.apply(SCHEDULE % ("nightly", "gold", "tin", ""))
    shortened(world, before)


def a_label_makes_another_schedule_apply(world):
    before = doors_begin(world, GENEROUS + MEAN + NIGHTLY +
                         SCHEDULE % ("weekly", "silver", "tin", ""))
    world.apply(SOURCE[4:] % ("silver", world.root))
    shortened(world, before, "weekly")


def a_selector_makes_another_schedule_apply(world):
    before = doors_begin(world, GENEROUS + MEAN + NIGHTLY)
    world.apply(SCHEDULE[4:] % ("nightly", "silver", "gold", "") +
                SCHEDULE % ("weekly", "gold", "tin", ""))
    shortened(world, before, "weekly")


def one_of_two_schedules_goes(world):
    before = doors_begin(world, GENEROUS + MEAN +
                         SCHEDULE % ("nightly", "gold", "tin", "") +
                         SCHEDULE % ("monthly", "gold", "gold", ""))
    world.run("delete", "schedule", "monthly")
    shortened(world, before)


def a_schedule_comes_instead(world):
    before = doors_begin(world, GENEROUS + NIGHTLY)
    world.run("delete", "schedule", "nightly")
    world.run("delete", "policy", "gold")
    check(live(world) == before, "deleted without a schedule")
    world.apply(MEAN + SCHEDULE % ("nightly", "gold", "tin", ""))
    shortened(world, before)


def a_source_goes_and_comes_back(world):
    before = doors_begin(world, GENEROUS + MEAN + NIGHTLY +
                         SCHEDULE % ("weekly", "silver", "tin", "") + OTHER %
                         world.root)
    world.run("delete", "source", "etc")
    # Nobody judges what nobody declares.
    run_once(world)
    run_once(world, "weekly")
    pass_days(world, 30)
    run_once(world)
    run_once(world, "weekly")
    check(before <= live(world) and listed(world) == set(), pending(world))
    world.apply(SOURCE[4:] % ("silver", world.root))
    run_once(world, "weekly")
    check(before <= live(world), "deleted at once")
    check(before <= listed(world), pending(world))
    check(listed(world) <= live(world), "another source's")
    world.stop()


OTHER = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: other, labels: {tier: gold}}
spec: {type: files, paths: ["%s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: third, labels: {tier: silver}}
spec: {type: files, paths: [/etc/hostname]}
"""


def only_what_still_applies(world):
    """What the rules keep again before its time is off the list."""
    before = doors_begin(world, GENEROUS + NIGHTLY)
    newest = [r["snapshot"] for r in world.json("report", "retention")][:2]
    world.apply(POLICY % ("gold", "{keep-last: 1}", ""))
    run_once(world)
    check(listed(world) == before, pending(world))
    pass_days(world, 3)
    # Two of the old ones and two of the new ones.
    world.apply(POLICY % ("gold", "{keep-last: 4}", ""))
    run_once(world)
    check(listed(world) == before - set(newest), pending(world))
    pass_days(world, 5)
    there = live(world)
    run_once(world)
    gone = there - live(world)
    check(len(gone) == 2 and gone <= before - set(newest), gone)
    # A hold that comes meanwhile is obeyed, whatever was shown.
    left, = before - set(newest) - gone
    world.run("hold", "add", left, "--case", "A 1", "--repo",
              world.path("here"), *world.key)
    pass_days(world, 1)
    run_once(world)
    check(left in live(world), "it was held")
    world.stop()



# ---- Holds -----------------------------------------------------------------

def holds(world, place):
    return {h["id"]: h for h in world.json("hold", "list", "--repo",
                                           world.path(place), *world.key)}


def a_hold_by_hand_in_one_region(world):
    begin(world, second=True)
    world.apply(POLICY % ("gold", "{keep-last: 1}", "") +
                SCHEDULE % ("nightly", "gold", "gold",
                            "  replicateTo: [there]\n"))
    one = run_once(world)
    there = ("--repo", world.path("there"), *world.key)
    hold = world.json("hold", "add", one, "--case", "A 1", "--custodian",
                      "ann", *there)["hold"]
    check(hold not in holds(world, "here"), "already there")
    for _ in range(2):
        night(world)
    # It came to the other region, and every deleter obeys it there.
    check(holds(world, "here")[hold]["case"] == "A 1", holds(world, "here"))
    for place in "here", "there":
        check(one in live(world, place), f"deleted in {place}")
        world.run("snapshot", "delete", one, "--repo", world.path(place),
                  *world.key, status=7)
    row, = [r for r in world.json("report", "retention")
            if r["snapshot"] == one]
    check(row["state"] == "held" and "hold A 1 (ann)" in row["reasons"] and
          row["regions"] == ["here", "there"], row)
    rows = [r for r in replay(world) if r["snapshot"] == one]
    check(len(rows) == 2 and all(
        r["decision"] == "held" and r["replayed"] == "same" and
        r["reasons"] == ["hold A 1 (ann)"] for r in rows), rows)
    told = world.json("audit", "log", "--action", "hold.add")
    check(len(told) == 1 and told[0]["object"] == hold, told)
    # One that the repository's name is used for is told once, by its user.
    second = world.json("hold", "add", one, "--case", "B", "--repo",
                        "main")["hold"]
    night(world)
    told = [r["actor"] for r in world.json("audit", "log", "--action",
                                           "hold.add", "--object", second)]
    check(len(told) == 1 and told != ["snapctld"], told)
    # Released in one region, it is in all with the next run.
    world.run("hold", "release", second, "--repo", "main")
    world.run("hold", "release", hold, "--repo", world.path("here"),
              *world.key)
    night(world)
    for place in "here", "there":
        check(holds(world, place) == {}, holds(world, place))
        check(one not in live(world, place), f"still in {place}")
    row, = [r for r in world.json("report", "retention")
            if r["snapshot"] == one]
    check(row["state"] == "deleted", row)
    world.stop()
    # What was held, and for which case, is in the segments.
    shutil.rmtree(world.path("state"))
    world.run("catalog", "rebuild", "--repo", world.path("here"), *world.key)
    world.start()
    db = sqlite3.connect(world.path("state/catalog.db"), timeout=snap.LIMIT)
    rows = db.execute("select matter, custodian, snapshots from holds where "
                      "hold = ?", (hold,)).fetchall()
    db.close()
    check(rows == [("A 1", "ann", f'["{one}"]')], rows)
    world.stop()


def a_hold_in_a_region_that_no_run_copies_to(world):
    """Retention asks every region before it deletes in any."""
    begin(world, second=True)
    world.apply(POLICY % ("gold", "{keep-last: 1}", "") +
                SCHEDULE % ("nightly", "gold", "gold", ""))
    one = run_once(world)
    world.run("hold", "add", "--source", "etc", "--case", "A 1", "--repo",
              world.path("there"), *world.key)
    check("no snapshot of source" in world.err, world.err)
    night(world)
    check(one in live(world), "deleted")
    row, = [r for r in world.json("report", "retention")
            if r["snapshot"] == one]
    check(row["state"] == "held" and "hold A 1" in row["reasons"], row)
    world.stop()


snap.tell(replayed, a_policy_changes, a_first_rule, a_first_policy,
          a_schedule_takes_another_policy,
          a_label_makes_another_schedule_apply,
          a_selector_makes_another_schedule_apply, one_of_two_schedules_goes,
          a_schedule_comes_instead, a_source_goes_and_comes_back,
          only_what_still_applies, a_hold_by_hand_in_one_region,
          a_hold_in_a_region_that_no_run_copies_to)
