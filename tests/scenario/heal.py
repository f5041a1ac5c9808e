#!/usr/bin/python3
"""Goal of this test: what one region loses comes back from the others.

A daemon with three regions. Packs are removed, bits flipped, manifests and the
index taken away, in the primary and in a secondary, while a schedule's runs go
on; each run heals what it finds, and tells it. Afterwards every region is
sound to the last byte and restores the same.
"""
import glob
import os
import random
import shutil
import subprocess
import threading

import snap
from snap import check, wait_for

PLAN = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  concurrency: 4
  regions:
    - {name: a, url: "file://%(root)s/a"}
    - {name: b, url: "file://%(root)s/b"}
    - {name: c, url: "file://%(root)s/c"}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: web}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [web]}
  repository: main
  replicateTo: [b, c]
"""
# Between two such runs all of the cycle of verification is due.

REGIONS = "abc"


def write(world, name, size):
    with open(world.path("tree/" + name), "wb") as f:
        f.write(world.dice.randbytes(size))


def begin(world):
    world.env.pop("SNAPCTL_TEST_RUN")
    world.dice = random.Random(7)
    os.mkdir(world.path("keys"), 0o700)
    os.makedirs(world.path("tree/deep/er"))
    for n in range(40):
        write(world, f"deep/er/small {n}", 500 + n)
    write(world, "large", 3 << 20)
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", world.path("a"), *world.key)
    for name in "bc":
        world.run("region", "add", name, world.path(name), "--repo",
                  world.path("a"), *world.key)
    world.start()
    world.apply(PLAN % {"root": world.root})
    run_once(world)
    write(world, "more", 2 << 20)
    run_once(world)


def run_once(world, state="succeeded"):
    run = world.json("run", "start", "nightly")["id"]

    def ended():
        row = world.json("run", "show", str(run))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(state is None or done["state"] == state, done)
    return done


def files(world, region, kind):
    return sorted(f for f in glob.glob(world.path(f"{region}/{kind}/**"),
                                       recursive=True) if os.path.isfile(f))


def remove(world, region, *kinds):
    for kind in kinds:
        for name in files(world, region, kind):
            os.unlink(name)


def flip(names):
    for name in names:
        os.chmod(name, 0o600)
        with open(name, "r+b") as f:
            at = os.path.getsize(name) // 3
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1]))


def half(names):
    return names[::2]


def damages(world, region):
    """Each way to damage it, one after the other."""
    yield "packs are gone", lambda: [
        os.unlink(f) for kind in ("data", "meta")
        for f in half(files(world, region, kind))]
    yield "bits are flipped", lambda: flip(
        f for kind in ("data", "meta", "index")
        for f in files(world, region, kind))
    yield "manifests are gone", lambda: remove(world, region, "snapshots",
                                               "receipts")
    yield "the index is gone", lambda: remove(world, region, "index")
    yield "all of it is gone", lambda: remove(
        world, region, "snapshots", "index", "data", "meta")


def listed(world, region):
    return [s["id"] for s in world.json(
        "snapshot", "list", "--repo", world.path(region), *world.key)]


def expect_sound(world):
    """All regions, to the last byte; and they restore the same."""
    for region in REGIONS:
        got = world.json("repo", "check", "--read-data", "--repo",
                         world.path(region), *world.key)
        check(got["sound"], got)
    lists = [listed(world, region) for region in REGIONS]
    check(lists[0] == lists[1] == lists[2], lists)
    for region in REGIONS:
        out = world.path("out")
        world.run("restore", "latest:" + world.path("tree"), "--to", out,
                  "--source", "web", "--repo", world.path(region), *world.key)
        subprocess.run(["diff", "-r", world.path("tree"), out], check=True)
        shutil.rmtree(out)


def healings(world, **details):
    return [r for r in world.json("audit", "log", "--action", "region.heal")
            if details.items() <= r["details"].items()]


def heal(world, *words, **more):
    return world.json("region", "heal", "--repo", "main", *words, **more)


def runs_heal_what_they_find(world):
    begin(world)
    for region in "ab":
        for number, (what, damage) in enumerate(damages(world, region)):
            before = len(healings(world, region=region))
            snapshots = listed(world, "c")
            damage()
            # What copies or restores beforehand may meet the damage first.
            done = run_once(world, None)
            check(done["state"] in ("succeeded", "partial"), (what, done))
            check(set(snapshots) <= set(listed(world, region)), what)
            told = healings(world, region=region)
            steps = [s for s in done["steps"] if s["step"] == "heal"]
            # A copy may have brought a secondary's manifests back before.
            check(len(told) == before + 1 or (region == "b" and not steps),
                  (what, region, done, told))
            check(all(s["state"] == "succeeded" and s["region"] == region
                      for s in steps), (what, done))
            write(world, f"new {region} {number}", 100000)
            # Each run leaves nothing in one region alone.
            check(listed(world, "b")[-1] == listed(world, "a")[-1] ==
                  listed(world, "c")[-1], (what, done))
        done = run_once(world)
        check(not any(s["step"] == "heal" for s in done["steps"]), done)
        expect_sound(world)
    check(all(r["actor"] == "snapctld" and r["details"]["sound"]
              for r in healings(world)), healings(world))
    check(world.json("audit", "verify")["sound"], "the chain")
    check(all(r["state"] == "ok" for r in world.json("status")["regions"]),
          world.json("status"))
    world.stop()


def by_hand(world):
    begin(world)
    # In the region that --repo means, from all others, and nothing on a try.
    remove(world, "a", "data", "snapshots")
    left = files(world, "a", "*")
    got = heal(world, "--dry-run", status=4)
    check(not got["sound"] and got["snapshot_count"] == 2 and
          files(world, "a", "*") == left, got)
    check(healings(world) == [], "a try is told")
    got = heal(world)
    check(got["sound"] and got["snapshot_count"] == 2 and
          got["left_count"] == 0, got)
    told, = healings(world)
    check(told["actor"] != "snapctld" and
          told["object"] == "Repository/main" and
          told["details"]["region"] == "a" and
          told["details"]["snapshots"] == "2" and
          told["details"]["sound"] == "yes", told)
    # Another, from one; and where only reading tells.
    flip(files(world, "c", "data"))
    check(heal(world, "c")["sound"], "nobody read it")
    got = heal(world, "c", "--from", "b", "--read-data")
    check(got["sound"] and [s["region"] for s in got["from"]] == ["b"] and
          got["from"][0]["chunks"] == got["fetched"] > 0, got)
    # By locations, without the daemon; what else makes no sense.
    remove(world, "b", "meta")
    got = world.json("region", "heal", world.path("b"), "--repo",
                     world.path("a"), *world.key)
    check(got["sound"] and got["fetched"] > 0, got)
    world.run("region", "heal", "--repo", world.path("a"), *world.key,
              status=2)
    world.run("region", "heal", "a", "--from", "a", "--repo", "main", status=2)
    world.run("region", "heal", "nowhere", "--repo", "main", status=5)
    expect_sound(world)
    world.stop()


def damage_does_not_spread(world):
    begin(world)
    os.rename(world.path("c"), world.path("away"))
    flip(files(world, "b", "data"))
    remove(world, "a", "data")
    got = heal(world, "a", status=4)
    check(not got["sound"] and got["left_count"] > 0 and
          all(f["paths"] for f in got["left"]), got)
    check("does not work" not in world.err and "region c" in world.err,
          world.err)
    # Garbage is not collected where something is left, which only c has.
    world.run("repo", "gc", "--grace", "0s", "--repo", "main", status=4)
    done = run_once(world, "partial")
    check([s["state"] for s in done["steps"] if s["step"] == "heal"] ==
          ["partial", "partial"], done)
    os.rename(world.path("away"), world.path("c"))
    run_once(world, None)
    run_once(world)
    expect_sound(world)
    world.run("repo", "gc", "--grace", "0s", "--repo", "main")
    world.stop()


def the_deleted_stays_deleted(world):
    begin(world)
    gone, kept = listed(world, "a")
    world.run("snapshot", "delete", gone, "--repo", "main")
    # In a alone so far: the others have it, whole.
    remove(world, "a", "snapshots")
    got = heal(world, "a")
    check(got["sound"] and got["snapshots"] == [kept] and
          got["deleted_there"] == 1, got)
    # Collected everywhere, and lost with its tombstone: b and c know.
    run_once(world)
    check(all(gone not in listed(world, r) for r in REGIONS), "deleted")
    remove(world, "a", "snapshots", "tombstones")
    run_once(world, None)
    check(gone not in listed(world, "a") and kept in listed(world, "a"),
          listed(world, "a"))
    world.stop()


def killed_it_goes_on(world):
    """Before any write of a healing: the next one finishes, and what arrived
    is not sent again."""
    begin(world)
    world.stop()
    remove(world, "a", "data", "meta", "snapshots")
    shutil.copytree(world.path("a"), world.path("lost"))
    words = ("region", "heal", world.path("a"), "--repo", world.path("b"),
             *world.key)
    whole = world.json(*words)
    check(whole["sound"], whole)
    arrived, at, killed = [], 60, True
    while killed:
        shutil.rmtree(world.path("a"))
        shutil.copytree(world.path("lost"), world.path("a"))
        killed = subprocess.run(
            [snap.SNAPCTL, "-q", *words], env={
                **world.env, "SNAPCTL_TEST_SEAM": f"kill:{at}"},
            capture_output=True, timeout=snap.LIMIT).returncode == -9
        packs = len(files(world, "a", "data")) + len(files(world, "a", "meta"))
        got = world.json(*words)
        check(got["sound"] and got["fetched"] <= whole["fetched"], (at, got))
        arrived.append((packs, got["fetched"], killed))
        at = at * 5 // 4
    # The more arrived, the less is asked for.
    asked = [fetched for _, fetched, _ in arrived]
    check(asked == sorted(asked, reverse=True) and asked[-1] == 0, arrived)
    check(any(packs and killed and fetched < whole["fetched"]
              for packs, fetched, killed in arrived), arrived)
    got = world.json("repo", "check", "--read-data", "--repo",
                     world.path("a"), *world.key)
    check(got["sound"], got)


def snapshots_go_on(world):
    begin(world)
    flip(half(files(world, "a", "data")))
    remove(world, "a", "meta", "index")
    ended = []

    def repeat(*words):
        for _ in range(3):
            ended.append(subprocess.run(
                [snap.SNAPCTL, "-q", *words, "--repo", "main"], text=True,
                env=world.env, capture_output=True, timeout=snap.LIMIT))
    both = [threading.Thread(target=repeat, args=words) for words in (
        ("region", "heal", "a", "--read-data"),
        ("snapshot", "create", world.path("tree"), "--source", "web"))]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    check(all(p.returncode == 0 for p in ended), ended)
    run_once(world)
    expect_sound(world)
    check(len(listed(world, "a")) == 6, listed(world, "a"))
    world.stop()


def lag_is_told_without_a_run(world):
    begin(world)

    def told():
        return [p["message"] for p in world.json("status")["problems"]]

    def regions():
        known = {r["region"]: r for r in world.json("status")["regions"]}
        asked = {r["region"]: r for r in world.json(
            "region", "status", "--repo", "main", status=None)}
        check(set(known) == set(asked) == set(REGIONS), (known, asked))
        for name in REGIONS:
            check(known[name]["late"] == asked[name]["late"] and
                  known[name]["rpo_seconds"] == asked[name]["rpo_seconds"] ==
                  26 * 3600, (known, asked))
        return "".join(n for n in REGIONS if asked[n]["late"]), asked
    plan = PLAN % {"root": world.root} + "  rpo: 26h\n"
    world.apply(plan)
    check(regions()[0] == "", regions())
    # One is away and falls behind, though a run serves the others.
    os.rename(world.path("c"), world.path("away"))
    world.set_clock(2 * 86400)
    run_once(world, "partial")
    late, asked = regions()
    check(late == "c" and not asked["c"]["reachable"] and
          asked["c"]["age_seconds"] >= 2 * 86400, asked)
    check(any("web: the newest copy in region c is 2d" in m for m in told()),
          told())
    check("2d" in world.run("status"), world.run("status"))
    # No run comes, as nobody wants one: that is no reason to be silent.
    world.apply(plan + "  suspend: true\n")
    world.set_clock(4 * 86400)
    check(regions()[0] == "abc", regions())
    check(any("web: the newest snapshot is 2d" in m for m in told()) and
          any("web: the newest copy in region c is 4d" in m for m in told()),
          told())
    world.stop()


def what_another_region_does_not_give_is_told(world):
    begin(world)
    for region in "ab":
        flip(files(world, region, "data"))
    world.run("repo", "check", "--read-data", "--repair", "--from", "b",
              "--repo", "main", status=4)
    check('region "b" did not give all that it has: ' in world.err, world.err)
    world.stop()


snap.tell(runs_heal_what_they_find, by_hand, damage_does_not_spread,
          the_deleted_stays_deleted, killed_it_goes_on, snapshots_go_on,
          lag_is_told_without_a_run,
          what_another_region_does_not_give_is_told)
