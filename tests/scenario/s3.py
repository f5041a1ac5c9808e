#!/usr/bin/python3
"""Goal of this test: with a repository in S3 all is as with one on a disk.

The whole story by the command line, on our server and ("ceph") on a real one;
by the daemon, whose runs are confined and have credentials from each place
where they may be; and what a writer that was killed leaves behind.
"""
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager

import s3_failover
import snap
from s3_place import Ceph, FakeServer
from s3_world import (MIB, NOBODY, begin, create, keep, refused, restored,
                      spawn, write)
from snap import LIMIT, check, wait_for

CEPH = "ceph" in sys.argv[2:]
ceph, kept = [], ExitStack()
DAY = 86400


def objects(s3, bucket, prefix=""):
    """The names in a bucket, by no code of ours that is tested here."""
    names, more = [], ""
    while True:
        r = s3.call("GET", "/" + bucket, f"{more}list-type=2&max-keys=1000")
        check(r.status == 200, r.body)
        names += [k for k in r.all("Key") if k.startswith(prefix)]
        token = r.text("NextContinuationToken")
        if not token:
            return names
        more = f"continuation-token={token}&"


@contextmanager
def two_servers():
    """Two regions: two of ours, or one Ceph twice."""
    buckets = ["backup", "second", "other"]
    if CEPH:
        # One for both stories: it takes its time to start.
        if not ceph:
            ceph.append(kept.enter_context(Ceph(buckets=buckets)))
        yield ceph[0], ceph[0]
    else:
        with FakeServer(buckets=buckets) as s3, \
                FakeServer(buckets=buckets, region="eu-west-3") as far:
            yield s3, far


def places_that_are_refused(world, s3):
    key = world.path("key")
    refused(world, 5, "repo", "init", s3.url("no-bucket", "r1"),
            "--key-file", key,
            says=["there is no such bucket", "snapctl makes none"])
    put = s3.call("PUT", "/other/photos/cat.jpg", "", b"meow")
    check(put.status == 200, put.body)
    for prefix in "", "photos":
        refused(world, 1, "repo", "init", s3.url("other", prefix),
                "--key-file", key, says=["it is not empty", "cat.jpg",
                                         "name a new or empty place"])
    check(objects(s3, "other") == ["photos/cat.jpg"], objects(s3, "other"))
    check(not os.path.exists(key), "a key for nothing")


def reading(world, first, second):
    listed = world.json("snapshot", "list")
    check([s["id"] for s in listed] == [first, second], listed)
    names = {r["path"] for r in world.json("ls", f"{first}:{world.tree}")}
    check(any(n.endswith("/words") for n in names), names)
    got = world.run("cat", f"{first}:{world.tree}/words")
    check(got == "words\n" * 1000, len(got))
    changed = {os.path.basename(c["path"]) for c in
               world.json("snapshot", "diff", first, second)}
    check({"new", "words", "big"} <= changed and "0" not in changed, changed)


def large(world, s3, snapshot):
    """A large file comes in large ranges, several at once, whoever wants it."""
    big, out = os.path.join(world.tree, "big"), world.path("big")
    words = ["restore", f"{snapshot}:{big}", "--output", out]
    for stdout in subprocess.DEVNULL, open(out + ".cat", "wb"):
        if not CEPH:
            s3.control("counts", reset=True)
        subprocess.run([snap.SNAPCTL, *words], env=world.env, stdout=stdout,
                       timeout=LIMIT, check=True)
        did = CEPH or s3.control("counts")["operations"]
        check(CEPH or did["GetObject"] < 45, (words, did))
        words = ["cat", f"{snapshot}:{big}"]
    stdout.close()
    for got in out, out + ".cat":
        check(filecmp.cmp(big, got, shallow=False), got)
        os.unlink(got)


def keys(world):
    other = world.path("other.key")
    slot = world.json("key", "add", "--new-key-file", other)
    check(len(world.json("snapshot", "list", "--key-file", other)) == 2, slot)
    slots = world.json("key", "list")
    check(len(slots) == 2, slots)
    world.run("key", "revoke", slot["slot"])
    refused(world, 4, "snapshot", "list", "--key-file", other,
            says=["was revoked"])


def whole(world):
    """init, create, read, restore, check, delete, collect, keys."""
    with two_servers() as (s3, far):
        url = s3.url("backup", "r1")
        world.env.update(s3.env())
        places_that_are_refused(world, s3)
        begin(world, url, s3, big=66 * MIB)
        # Another repository beside it is none of its business.
        world.run("repo", "init", s3.url("backup", "r2"), "--key-file",
                  world.path("key2"))
        first = create(world)
        check(first["state"] == "complete" and
              first["bytes_new"] > 66 * MIB, first)
        if not CEPH:
            did = s3.control("counts")["operations"]
            check(did["CreateMultipartUpload"] >= 2 and
                  did["UploadPart"] >= 8 and s3.control("uploads") == [], did)
        large(world, s3, first["snapshot"])
        before = keep(world, "before")
        write(os.path.join(world.tree, "new"), 3 * MIB, 7)
        with open(os.path.join(world.tree, "words"), "a") as f:
            f.write("more\n")
        os.unlink(os.path.join(world.tree, "big"))
        second = create(world)
        check(3 * MIB < second["bytes_new"] < 4 * MIB, second)
        reading(world, first["snapshot"], second["snapshot"])
        restored(world, first["snapshot"], before)
        restored(world, "latest")
        world.run("repo", "check", "--read-data")
        keys(world)
        regions(world, url, far, first["snapshot"], second["snapshot"],
                before)
        collected(world, s3, first["snapshot"])
        check(objects(s3, "other") == ["photos/cat.jpg"], "others' objects")
        # What is in the bucket says nothing of what it holds.
        kinds = {n.split("/")[1] for n in objects(s3, "backup", "r1/")}
        check({"config", "data", "index", "keyring"} <= kinds, kinds)
        if not CEPH:
            s3.stop()
            out = restored(world, second["snapshot"],
                           SNAPCTL_REPO=far.url("second", "deep/er"))
            check(os.path.exists(os.path.join(out, "new")), "new")


def unchanged_and_equal(world, url, n):
    """So many snapshots there, and all that they need."""
    world.run("repo", "check", "--read-data", "--repo", url)
    listed = world.json("snapshot", "list", "--repo", url)
    check(len(listed) == n, listed)


def regions(world, url, far, first, second, before):
    there, disk = far.url("second", "deep/er"), world.path("disk")
    world.run("region", "add", "there", there)
    world.run("region", "add", "disk", disk)
    told = world.json("replicate", "--to", there)
    check(told["copied"] == 2 and told["failed"] == 0, told)
    # From S3 to a disk, and from a disk to S3.
    world.run("replicate", "--to", disk)
    for place in there, disk:
        unchanged_and_equal(world, place, 2)
    restored(world, first, before, SNAPCTL_REPO=there)
    status = world.json("region", "status", there, disk)
    check(len(status) == 3 and not any(r.get("missing") for r in status),
          status)
    third = world.json("snapshot", "create", world.tree, "--repo",
                       disk)["snapshot"]
    world.run("replicate", "--to", there, "--repo", disk)
    unchanged_and_equal(world, there, 3)
    restored(world, third, SNAPCTL_REPO=there)
    check(len(world.json("snapshot", "list", "--repo", url)) == 2,
          "it was not asked for here")
    restored(world, second, SNAPCTL_REPO=there)


def collected(world, s3, first):
    """What a deletion frees goes from the bucket, and nothing else."""
    packs = objects(s3, "backup", "r1/data/")
    world.run("snapshot", "delete", first)
    kept = world.json("repo", "gc")
    check(kept["deleted"] == 0, kept)
    world.run("snapshot", "undelete", first)
    world.run("snapshot", "delete", first)
    got = world.json("repo", "gc", "--grace", "0s")
    check(got["deleted"] > 0 and got["bytes_freed"] > 60 * MIB, got)
    left = objects(s3, "backup", "r1/data/")
    check(len(left) < len(packs), (left, packs))
    world.run("repo", "check", "--read-data")
    restored(world, "latest")
    refused(world, 5, "restore", first, "--to", world.path("none"))
    left = [n for n in objects(s3, "backup", "r1/")
            if n.split("/")[1] in ("sessions", "pins")]
    check(left == [], left)
    check(len(objects(s3, "backup", "r2/")) > 0, "the neighbour")


def received_in_one_second(world):
    """The store's clock has no finer one; the order is right all the same."""
    with FakeServer(buckets=["backup"]) as s3:
        begin(world, s3.url("backup", "r1"), s3)
        taken = []
        for n in range(6):
            write(os.path.join(world.tree, "new"), 1000, n)
            taken.append(create(world)["snapshot"])
        listed = world.json("snapshot", "list")
        check([s["id"] for s in listed] == taken, (taken, listed))
        restored(world, "latest")


def a_region_goes(world):
    with two_servers() as (s3, _):
        s3_failover.on_a_real_server(world, s3)


# ---- the daemon ------------------------------------------------------------

MANIFEST = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions:
    - {name: here, url: "%(here)s", primary: true}
    - {name: there, url: "%(there)s"}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc, labels: {tier: gold}}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: two}
spec: {retention: {keep-last: 2}}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [etc]}
  repository: main
  policy: two
  replicateTo: [there]
  retries: 0
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: proof}
spec:
  cron: "0 0 1 1 *"
  schedule: nightly
  region: there
  checks: [{type: tree}]
"""


def credentials(path, s3):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[default]\naws_access_key_id = {s3.id}\n"
                f"aws_secret_access_key = {s3.secret}\n")
    os.chmod(path, 0o600)


def ended(world, number):
    row = world.json("run", "show", str(number))
    return row if row["state"] not in ("queued", "running") else None


def night(world):
    number = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, number))
    check(done["state"] == "succeeded", done)
    with open(world.path(f"state/runs/{number}.log")) as f:
        told = f.read()
    check("confined by" in told and "not confined as" not in told, told)
    return done["snapshot"][0]


def proven(world):
    """A drill, of which the run reads nothing but what it must."""
    world.run("drill", "run", "proof")
    drills = world.json("drill", "list")
    check(drills[0]["passed"] and drills[0]["region"] == "there", drills)


@contextmanager
def elsewhere():
    """A folder that is not the world's, all of which a run may read where a
    test shifts its clock."""
    folder = tempfile.mkdtemp(prefix="snapctl-elsewhere-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def expect_ours_and_others(world, mine):
    """What a confined run may read: its regions' files, and no others."""
    base = os.path.dirname(os.path.dirname(mine))
    others = os.path.join(base, "others")
    with open(others, "w", encoding="utf-8") as f:
        f.write("others'\n")
    for path, allowed in (mine, True), (others, False):
        world.env["SNAPCTL_TEST_RUN"] = "read:" + path
        world.start()
        world.run("drill", "run", "proof", status=None)
        done = world.json("run", "list", "--kind", "drill")[0]
        world.stop()
        check((done["state"] == "succeeded") == allowed, (path, done))
        check(allowed or "enied" in done["message"], done)
    world.env.pop("SNAPCTL_TEST_RUN")


def prepared(world, s3, env=None, **url):
    """Both regions; their locations."""
    begin(world, s3.url("backup", "r1"), s3, init=False)
    world.env.update(env or {})
    here, there = (s3.url("backup", n, **url) for n in ("r1", "r2"))
    os.mkdir(world.path("keys"), 0o700)
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", here, *world.key)
    world.run("region", "add", "there", there, "--repo", here, *world.key)
    world.env["SNAPCTL_REPO"] = "main"
    world.env["SNAPCTL_KEY_FILE"] = world.path("keys/main.key")
    return here, there


def declared(world, here, there):
    world.start()
    world.apply(MANIFEST % {"root": world.root, "here": here, "there": there})


def has_landlock(world):
    with open(world.path("log")) as f:
        return "no Landlock" not in f.read()


def daemon_with(world, mine, here, there):
    """A run, and a drill."""
    declared(world, here, there)
    first = night(world)
    proven(world)
    restored(world, first, SNAPCTL_REPO=there)
    world.stop()
    if has_landlock(world):
        expect_ours_and_others(world, mine)
    else:
        print("     this kernel has no Landlock", flush=True)


def by_the_environment(world):
    """The daemon's whole day, its credentials in its environment."""
    with FakeServer(buckets=["backup"]) as s3:
        here, there = prepared(world, s3)
        declared(world, here, there)
        taken = []
        for n in range(4):
            write(os.path.join(world.tree, "new"), 100_000, n)
            taken.append(night(world))
        kept = {s["id"] for s in world.json("snapshot", "list")}
        check(kept == set(taken[-2:]), (kept, taken))
        there_kept = {s["id"] for s in
                      world.json("snapshot", "list", "--repo", there)}
        check(taken[-1] in there_kept, (there_kept, taken))
        status = world.json("region", "status")
        check([r["region"] for r in status] == ["here", "there"], status)
        world.run("snapshot", "verify", taken[-1])
        proven(world)
        # Who sets out to delete by hand meets what the daemon sees.
        world.run("repo", "gc", "--grace", "0s")
        world.run("repo", "check", "--read-data")
        secret = s3.secret
        world.stop()
        for folder, _, files in os.walk(world.path("state")):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    check(secret.encode() not in f.read(), name)


def by_a_file_in_the_url(world):
    with FakeServer(buckets=["backup"]) as s3, elsewhere() as base:
        mine = os.path.join(base, "own/region")
        credentials(mine, s3)
        here, there = prepared(world, s3, NOBODY, credentials=mine)
        daemon_with(world, mine, here, there)


def by_the_shared_file(world):
    with FakeServer(buckets=["backup"]) as s3, elsewhere() as base:
        mine = os.path.join(base, ".aws/credentials")
        credentials(mine, s3)
        here, there = prepared(world, s3, {**NOBODY, "HOME": base})
        daemon_with(world, mine, here, there)


# ---- writers that end too soon ---------------------------------------------

def killed(world):
    """It is in nobody's way, and what it never ended is swept up."""
    with FakeServer(buckets=["backup"]) as s3:
        world.env["SNAPCTL_TEST_LEASE_MS"] = "600"
        begin(world, s3.url("backup", "r1"), s3, big=40 * MIB)
        s3.fault("hang", "UploadPart", after=2, next=1000)
        writer = spawn(world, "snapshot", "create", world.tree)

        wait_for("the parts to hang", child=writer, condition=lambda:
                 s3.control("faults")[0]["struck"] >= 2)
        writer.kill()
        writer.communicate()
        s3.control("clear")
        left = [u["id"] for u in s3.control("uploads")]
        check(left != [], "nothing was left")
        # A week has not passed: another writer may still be at it.
        s3.control("set", shift=6 * DAY)
        world.set_clock(6 * DAY)
        again = create(world)
        check(again["state"] == "complete", again)
        restored(world, again["snapshot"])
        check([u["id"] for u in s3.control("uploads")] == left,
              "somebody else's upload went")
        s3.control("set", shift=8 * DAY)
        world.set_clock(8 * DAY)
        write(os.path.join(world.tree, "big"), 40 * MIB, 77)
        create(world)
        check(s3.control("uploads") == [], s3.control("uploads"))
        world.run("repo", "gc", "--grace", "0s")
        world.run("repo", "check", "--read-data")
        restored(world, "latest")


def sessions(s3):
    return [o["key"] for o in s3.control("list") if
            o["key"].startswith(("r1/sessions/", "r1/pins/"))]


def interrupt(child):
    """Ctrl-C, which it has heard of afterwards, unless it has ended."""
    child.send_signal(signal.SIGINT)

    def heard():
        with open(f"/proc/{child.pid}/status") as f:
            waiting = next(line.split()[1] for line in f
                           if line.startswith("ShdPnd"))
        return not int(waiting, 16) & 1 << signal.SIGINT - 1
    wait_for("it to hear of the signal", heard)


def interrupted(world):
    """Ctrl-C of a writer and of a reader: no trace, and nothing sent twice."""
    with FakeServer(buckets=["backup"]) as s3:
        begin(world, s3.url("backup", "r1"), s3, big=200 * MIB)
        # A pack arrives; what comes after it does not until Ctrl-C was heard,
        # and there is more to read than waits to be sent.
        s3.fault("hold", "CompleteMultipartUpload", after=1, next=1000)
        writer = spawn(world, "--json", "snapshot", "create", world.tree)
        wait_for("a pack to arrive", lambda: s3.control(
            "list", prefix="r1/data/"), child=writer)
        interrupt(writer)
        s3.control("clear")
        out, err = writer.communicate(timeout=LIMIT)
        check(writer.returncode == 130, (writer.returncode, out, err))
        check(sessions(s3) == [] and s3.control("uploads") == [],
              (sessions(s3), s3.control("uploads")))
        check(world.json("snapshot", "list") == [], "a snapshot")
        again = create(world)
        check(again["bytes_new"] < 190 * MIB, again)
        s3.fault("hold", "GetObject GET backup/r1/data/", after=1,
                 next=1000)
        reader = spawn(world, "--json", "restore", again["snapshot"], "--to",
                       world.path("out"))
        wait_for("a pin", lambda: sessions(s3), child=reader)
        wait_for("data", lambda: s3.control("faults")[0]["struck"] > 0,
                 child=reader)
        interrupt(reader)
        s3.control("clear")
        out, err = reader.communicate(timeout=LIMIT)
        check(reader.returncode == 130, (reader.returncode, out, err))
        check(sessions(s3) == [], sessions(s3))
        world.run("restore", again["snapshot"], "--to", world.path("out"))
        world.run("repo", "check", "--read-data")


if CEPH:
    with kept:
        snap.tell(whole, a_region_goes)
snap.tell(whole, received_in_one_second, by_the_environment,
          by_a_file_in_the_url, by_the_shared_file, killed, interrupted)
