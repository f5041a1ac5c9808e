#!/usr/bin/python3
"""Goal of this test: a region that is away stops neither restores nor runs.

A daemon with three regions that are folders. The primary one is taken away, is
an empty mount point, may not be read, is damaged or goes while it is read:
whoever reads is served by another, and told so.
"""
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile

import snap
from snap import LIMIT, SNAPCTL, check, wait_for

PLAN = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  regions:
    - {name: here, url: "file://%(root)s/here"}
    - {name: there, url: "file://%(root)s/there"}
    - {name: yonder, url: "file://%(root)s/yonder"}
  gc: {every: 0s}
%(more)s
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
  cron: "0 0 29 2 *"
  sources: {names: [etc]}
  repository: main
  replicateTo: [there, yonder]
  retries: 0
"""


# Which of two that are as good is read, a busy machine decides.
OTHERS = ("there", "yonder")


def begin(world, more="", plan=PLAN):
    """A repository in three regions, of a tree with one file."""
    world.env.pop("SNAPCTL_TEST_RUN", None)
    os.mkdir(world.path("keys"), 0o700)
    os.mkdir(world.path("tree"))
    world.key = ("--key-file", world.path("keys/main.key"))
    world.run("repo", "init", world.path("here"), *world.key)
    for region in "there", "yonder":
        world.run("region", "add", region, world.path(region), "--repo",
                  world.path("here"), *world.key)
    world.start()
    world.apply(plan % {"root": world.root, "more": more})
    write(world, "a", "first\n")


def write(world, name, text):
    with open(world.path("tree/" + name), "w") as f:
        f.write(text)


def run_once(world, state="succeeded", schedule="nightly"):
    run = world.json("run", "start", schedule)["id"]

    def ended():
        row = world.json("run", "show", str(run))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(done["state"] == state, done)
    return done


def away(world, region):
    os.rename(world.path(region), world.path(region + ".away"))


def back(world, region):
    shutil.rmtree(world.path(region), ignore_errors=True)
    os.rename(world.path(region + ".away"), world.path(region))


def ids(world, *of):
    return [s["id"] for s in world.json("snapshot", "list", *of)]


def at(world, region):
    return ("--repo", world.path(region), *world.key)


def restored(world, name, status=0, snapshot="latest", more=()):
    """The reply to a restore, the file's text and what was said."""
    place = world.path(name)
    got = world.json("restore", snapshot + ":" + world.path("tree"), "--to",
                     place, "--repo", "main", *more, status=status)
    try:
        with open(os.path.join(place, "a")) as f:
            text = f.read()
    except FileNotFoundError:
        text = None
    return got, text, world.err


def named_are_all(error, what):
    """Each region, with what is wrong there."""
    for region in "here", *OTHERS:
        check(f'region "{region}" {what} (' in error["message"], error)


def others_are_read(world):
    begin(world)
    first = run_once(world)["snapshot"][0]
    got, text, said = restored(world, "r0")
    check(got["region"] == "here" and text == "first\n" and "note" not in
          said, (got, said))
    rows = world.json("region", "health", "main")
    check([(r["region"], r["primary"], r["answers"], r["sound"],
            r["failures"]) for r in rows] ==
          [("here", True, True, True, 0.0), ("there", False, True, True, 0.0),
           ("yonder", False, True, True, 0.0)], rows)
    check(all(n["snapshot"] == first and n["source"] == "etc"
              for r in rows for n in r["newest"]), rows)
    # Gone, an empty mount point, somebody else's file, not to be read.
    away(world, "here")
    got, text, said = restored(world, "r1")
    check(got["region"] in OTHERS and text == "first\n", got)
    check('region "here" cannot be reached' in said and 'reading from "%s", '
          "whose newest snapshot is" % got["region"] in said, said)
    os.mkdir(world.path("here"))
    got, text, _ = restored(world, "r2", snapshot=first[:8])
    check(got["region"] in OTHERS and text == "first\n", got)
    check(os.listdir(world.path("here")) == [], "something was put there")
    os.rmdir(world.path("here"))
    open(world.path("here"), "w").close()
    got, text, _ = restored(world, "r3")
    check(got["region"] in OTHERS and text == "first\n", got)
    os.unlink(world.path("here"))
    # All that reads, and nothing that writes.
    for words in (("ls", "latest"), ("snapshot", "list"),
                  ("snapshot", "show", first), ("repo", "stats"),
                  ("snapshot", "find", "a"), ("hold", "list"),
                  ("snapshot", "diff", first, "latest"),
                  ("snapshot", "verify", first)):
        world.run("--json", *words, "--repo", "main")
        check('; reading from "' in world.err, (words, world.err))
    check(world.run("cat", "latest:" + world.path("tree/a"), "--repo",
                    "main") == "first\n", "cat")
    world.run("snapshot", "create", world.path("tree"), "--repo", "main",
              status=5)
    world.run("snapshot", "delete", first, "--repo", "main", status=5)
    # Named, it is that one or none.
    got, text, said = restored(world, "r4", more=("--region", "yonder"))
    check(got["region"] == "yonder" and "note" not in said, (got, said))
    restored(world, "r5", 5, more=("--region", "here"))
    restored(world, "r5", 5, more=("--region", "nowhere"))
    world.run("ls", "latest", "--region", "there", *at(world, "there"),
              status=2)
    # What is known to fail comes last; then none is left.
    away(world, "there")
    run_once(world, "failed")
    got, text, said = restored(world, "r6")
    check(got["region"] == "yonder" and text == "first\n", got)
    away(world, "yonder")
    got, _, _ = restored(world, "r7", 5)
    check("/here" in got["error"]["message"], got)
    named_are_all(got["error"], "cannot be reached")
    for region in "here", "there", "yonder":
        back(world, region)
    # What is nowhere is not found, wherever it is looked for.
    got = world.json("ls", "0" * 32, "--repo", "main", status=5)
    check("note" not in world.err, world.err)
    named_are_all(got["error"], "lacks it")
    world.stop()


def damage(world, region, kind):
    for folder, _, names in os.walk(world.path(region + "/" + kind)):
        for name in names:
            with open(os.path.join(folder, name), "r+b") as f:
                data = bytearray(f.read())
                for i in range(64, len(data), 97):
                    data[i] ^= 1
                f.seek(0)
                f.write(data)


def damage_is_made_good(world):
    begin(world)
    for n in range(40):
        write(world, "n%d" % n, os.urandom(3000).hex())
    first = run_once(world)["snapshot"][0]
    damage(world, "here", "data")
    got, text, said = restored(world, "r0")
    check(got["region"] in OTHERS and text == "first\n" and
          got["errors"] == [] and got["files"] == 41, got)
    check('region "here" is damaged' in said, said)
    # Named, its damage is told.
    got, text, _ = restored(world, "r1", 4, more=("--region", "here"))
    check(got["region"] == "here" and got["errors"], got)
    # So it is where it is from, when no other could be had.
    for region in OTHERS:
        away(world, region)
    got, text, _ = restored(world, "r1b", 4)
    check(got["region"] == "here" and got["errors"], got)
    for region in OTHERS:
        back(world, region)
    # Wherever the damage is; but a proof is of what was asked.
    damage(world, "here", "meta")
    damage(world, "here", "snapshots")
    got, text, said = restored(world, "r2", snapshot=first)
    check(got["region"] in OTHERS and text == "first\n", got)
    world.run("snapshot", "verify", first, "--repo", "main", status=4)
    # Each gives what it can: the third has what the second lost.
    damage(world, got["region"], "data")
    last = OTHERS[got["region"] == OTHERS[0]]
    got, text, said = restored(world, "r3")
    check(got["region"] == last and text == "first\n" and
          got["errors"] == [], got)
    damage(world, last, "data")
    got, text, _ = restored(world, "r4", 4)
    check(got["errors"], got)
    world.stop()


def latest_is_the_newest(world):
    """Of those that can be reached, and what is behind is told."""
    begin(world)
    first = run_once(world)["snapshot"][0]
    away(world, "there")
    write(world, "a", "second\n")
    second = run_once(world, "partial")["snapshot"][0]
    back(world, "there")
    away(world, "here")
    got, text, said = restored(world, "r0")
    check(got["region"] == "yonder" and text == "second\n", got)
    away(world, "yonder")
    got, text, said = restored(world, "r1")
    check(got["region"] == "there" and text == "first\n", got)
    check("a newer snapshot is known, " + second[:8] in said and
          " behind it" in said, said)
    is_held_where_it_is(world, first, second)
    got, text, _ = restored(world, "r2", snapshot=first)
    check(text == "first\n" and "newer" not in world.err, world.err)
    back(world, "here")
    back(world, "yonder")
    # Taken elsewhere, while the primary was away: as the catalog knows.
    got, text, said = restored(world, "r3")
    check(got["region"] == "here" and "note" not in said, said)
    world.stop()


def is_held_where_it_is(world, first, second):
    """With "there" alone, which lacks the second; then without its primary."""
    hold = ("hold", "add", "latest", "--case", "A 1", "--repo", "main")
    got = world.json(*hold, status=3)
    said = world.err
    listed, = world.json("hold", "list", *at(world, "there"))
    check(got["held_in"] == ["there"] and listed["snapshots"] == [first], got)
    check("a newer snapshot is known, " + second[:8] in said and
          f"latest is of {received(world, first)}, " in said, said)
    world.run("hold", "release", got["hold"], "--repo", "main", status=3)
    back(world, "yonder")
    got = world.json(*hold, status=3)
    listed, = world.json("hold", "list", *at(world, "yonder"))
    check(got["held_in"] == ["there", "yonder"] and
          listed["snapshots"] == [second], (got, listed))
    told = f"latest is of {received(world, second, 'yonder')}, the newest " \
        'in region "yonder"; region "here" may have newer ones'
    for words, status in (hold, 3), (("ls", "latest", "--repo", "main"), 0):
        world.run(*words, status=status)
        check(told in world.err, (words, world.err))
    world.run("snapshot", "verify", "latest", "--repo", "main")
    check("latest is of " in world.err, world.err)
    away(world, "yonder")


def received(world, snapshot, region="there"):
    return world.json("snapshot", "show", snapshot,
                      *at(world, region))["received"]


def restored_while_it_goes(world, calls):
    """What a restore tells whose source goes after so many calls of it."""
    place = world.path("r%d" % calls)
    p = subprocess.Popen(
        [SNAPCTL, "--json", "restore", "latest:" + world.path("tree"), "--to",
         place, "--repo", "main"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        env={**world.env, "SNAPCTL_TEST_SEAM": "stop:%d" % calls})
    done = os.waitid(os.P_PID, p.pid,
                     os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    check(done.si_code == os.CLD_STOPPED, done)
    shutil.rmtree(world.path("here"))
    p.send_signal(signal.SIGCONT)
    out, said = p.communicate(timeout=LIMIT)
    check(p.returncode == 0, (p.returncode, out, said))
    got = json.loads(out)
    check(got["region"] in OTHERS and got["files"] == 61 and
          got["reused"] < 61 and got["errors"] == [], got)
    check('; reading from "' in said, said)
    for name in os.listdir(world.path("tree")):
        with open(world.path("tree/" + name)) as a, \
                open(os.path.join(place, name)) as b:
            check(a.read() == b.read(), name)
    return got


def it_goes_meanwhile(world):
    """The primary goes for good while it is read; what was written counts."""
    begin(world)
    for n in range(60):
        write(world, "n%02d" % n, os.urandom(30_000).hex())
    run_once(world)
    shutil.copytree(world.path("here"), world.path("as-it-was"))
    # How many files are whole by then is the scheduler's to decide.
    for calls in range(60, 200, 10):
        if restored_while_it_goes(world, calls)["reused"] > 0:
            break
        shutil.copytree(world.path("as-it-was"), world.path("here"))
    else:
        check(False, "nothing that was written ever counted")
    world.stop()


def same_everywhere(world, *regions):
    """All list the same snapshots, and are sound."""
    listed = [sorted(ids(world, *at(world, r))) for r in regions]
    check(all(one == listed[0] for one in listed), listed)
    for region in regions:
        world.run("repo", "check", "--read-data", *at(world, region))
    return listed[0]


def runs_go_elsewhere(world):
    begin(world, "  failover: true")
    run_once(world)
    away(world, "here")
    write(world, "a", "second\n")
    done = run_once(world, "partial")
    check("the primary is away, and snapshots went to region there" in
          done["message"], done)
    second = done["snapshot"][0]
    told = {p["message"]: p["hint"]
            for p in world.json("status")["problems"]}
    check(any("region here of main does not work" in m and
              "runs write to another region" in h for m, h in told.items()
              if h), told)
    got, text, said = restored(world, "r0")
    check(text == "second\n" and got["region"] == "there", got)
    os.mkdir(world.path("here"))
    write(world, "a", "third\n")
    third = run_once(world, "partial")["snapshot"][0]
    check(os.listdir(world.path("here")) == [], "something was put there")
    back(world, "here")
    # Before it caught up it is behind, and is not taken for the newest.
    got, text, said = restored(world, "r1")
    check(text == "third\n" and got["region"] in OTHERS and
          "does not have the newest" in said, (got, said))
    got, text, said = restored(world, "r2", snapshot=second)
    check(text == "second\n" and got["region"] in OTHERS and
          "lacks it" in said, (got, said))
    write(world, "a", "fourth\n")
    run_once(world)
    listed = same_everywhere(world, "here", "there", "yonder")
    check(len(listed) == 4 and {second, third} <= set(listed), listed)
    got, text, said = restored(world, "r3")
    check(text == "fourth\n" and got["region"] == "here" and
          "note" not in said, (got, said))
    check(world.json("status")["problems"] == [], world.json("status"))
    # What was written down in between is in the primary, too.
    world.stop()
    shutil.rmtree(world.path("state"))
    world.run("catalog", "rebuild", *at(world, "here"))
    world.start()
    states = [r["state"] for r in world.json("run", "list")]
    # (How the last one ended comes with the next segment.)
    check(states[1:] == ["partial", "partial", "succeeded"], states)
    # Unless it is wanted, they fail.
    world.apply(PLAN % {"root": world.root, "more": ""})
    away(world, "here")
    run_once(world, "failed")
    back(world, "here")
    world.stop()


SLOW = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: slow}
spec:
  type: command
  argv: [/bin/sh, -c, "while ! [ -e %(root)s/go ]; do sleep 0.05; done; echo x"]
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: slowly}
spec:
  cron: "0 0 29 2 *"
  sources: {names: [slow]}
  repository: main
  replicateTo: [there]
"""


def promote(world, region, *more, status=0):
    return world.json("region", "promote", region, "--repo", "main", *more,
                      status=status)


def declared(world):
    """The primary region, and where the schedule copies to."""
    spec = world.json("get", "repository", "main")["spec"]
    first = [r["name"] for r in spec["regions"] if r.get("primary")]
    return first, world.json("get", "schedule", "nightly")["spec"][
        "replicateTo"]


def write_nothing():
    """No file grows: each write fails, as the signal is ignored."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def promote_writing_nothing(world, *more):
    """Make "there" the primary; the reply, and what was said."""
    p = subprocess.run([SNAPCTL, "--json", "region", "promote", "there",
                        "--repo", "main", *more], env=world.env, text=True,
                       capture_output=True, timeout=LIMIT,
                       preexec_fn=write_nothing, restore_signals=False)
    return json.loads(p.stdout), p.stderr


def what_was_deleted_stays_so(world):
    """A deletion that was not passed on goes before its region does."""
    begin(world)
    first = run_once(world)["snapshot"][0]
    write(world, "a", "second\n")
    run_once(world)
    world.run("snapshot", "delete", first, *at(world, "here"))
    check(first in ids(world, *at(world, "there")), "it was passed on")
    # The old one answers, and the new one takes nothing.
    got, said = promote_writing_nothing(world)
    check("cannot be passed on" in got["error"]["message"] and
          "--force" in got["error"]["hint"] and "catalog" not in said and
          declared(world)[0] == ["here"], (got, said, declared(world)))
    got, said = promote_writing_nothing(world, "--force")
    check("warning: what was deleted in" in said and
          declared(world)[0] == ["there"], (got, said, declared(world)))
    promote(world, "here")
    promote(world, "there")
    check(first not in ids(world, *at(world, "there")), "it came back")
    write(world, "a", "third\n")
    run_once(world)
    check(first not in same_everywhere(world, "here", "there", "yonder"),
          "it came back later")
    world.stop()


def another_is_promoted(world):
    begin(world, plan=PLAN + SLOW)
    run_once(world)
    check(declared(world) == (["here"], ["there", "yonder"]), declared(world))
    # What it lacks is counted, and told; what is no region is refused.
    away(world, "yonder")
    write(world, "a", "second\n")
    second = run_once(world, "partial")["snapshot"][0]
    promote(world, "yonder", "--force", status=5)
    back(world, "yonder")
    got = promote(world, "yonder", status=7)["error"]
    check("lacks 1 snapshot that" in got["message"] and "--force" in
          got["hint"], got)
    away(world, "here")
    got = promote(world, "yonder", status=7)["error"]
    check("lacks 1 snapshot that" in got["message"] and "as far as is known"
          in got["message"], got)
    promote(world, "nowhere", status=5)
    world.run("region", "promote", "there", *at(world, "there"), status=2)
    check(declared(world) == (["here"], ["there", "yonder"]), declared(world))
    back(world, "here")
    # A run that is under way keeps to its region.
    slow = world.json("run", "start", "slowly")["id"]
    wait_for("the run", lambda: any(
        s["step"] == "snapshot" for s in
        world.json("run", "show", str(slow))["steps"]))
    got = promote(world, "there")
    check(got["missing"] == 0 and got["was"] == "here" and
          [(c["kind"], c["name"]) for c in got["changed"]] ==
          [("Repository", "main"), ("Schedule", "nightly"),
           ("Schedule", "slowly")] and "manifest" in got["note"], got)
    paths = [d["path"] for c in got["changed"] for d in c["difference"]]
    check("/spec/regions/1/primary" in paths or "/spec/regions" in paths,
          paths)
    check(declared(world) == (["there"], ["here", "yonder"]), declared(world))
    rows = [(r["region"], r["primary"])
            for r in world.json("region", "health", "main")]
    check(rows == [("there", True), ("here", False), ("yonder", False)], rows)
    audit = world.json("audit", "log", "--action", "region.promote")
    check(len(audit) == 1 and audit[0]["object"] == "Repository/main" and
          audit[0]["details"] == {"repository": "main", "region": "there",
                                  "was": "here"}, audit)
    check(promote(world, "there")["changed"] == [], "twice")
    with open(world.path("go"), "w"):
        pass

    def ended():
        row = world.json("run", "show", str(slow))
        return row if row["state"] not in ("queued", "running") else None
    done = wait_for("the run", ended)
    check(done["state"] == "succeeded", done)
    check(done["snapshot"][0] in ids(world, *at(world, "here")), done)
    # The next ones write to the new primary; nothing was lost or doubled.
    write(world, "a", "third\n")
    third = run_once(world)["snapshot"][0]
    listed = same_everywhere(world, "here", "there", "yonder")
    check(len(listed) == 4 and {second, third, done["snapshot"][0]} <=
          set(listed), listed)
    # By force, with the primary gone; what it had comes when it is back.
    away(world, "here")
    away(world, "there")
    promote(world, "yonder")
    back(world, "here")
    write(world, "a", "fourth\n")
    run_once(world, "partial")
    back(world, "there")
    # As the manifest says it still: it is turned back, which is told.
    changed = {c["name"]: c["result"] for c in
               world.apply((PLAN + SLOW) % {"root": world.root, "more": ""})}
    check(changed["main"] == changed["nightly"] == "changed", changed)
    run_once(world)
    check(len(same_everywhere(world, "here", "there", "yonder")) == 6, "six")
    world.run("audit", "verify")
    world.stop()


DRILL = """\
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: weekly}
spec: {cron: "0 6 * * SUN", schedule: nightly, without: [%s], rto: 1h}
"""

IN_OPEN = 0x20


class Watch:
    """Who opens something in a folder, as inotify(7) tells."""

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        check(self.fd >= 0, "inotify")
        for where in [w for w, _, _ in os.walk(folder)]:
            check(libc.inotify_add_watch(self.fd, os.fsencode(where),
                                         IN_OPEN) >= 0, where)

    def saw(self):
        try:
            return len(os.read(self.fd, 4096)) > 0
        except BlockingIOError:
            return False


def drills_do_without(world):
    # Elsewhere: a run may read the folder of the clock, which is the world's.
    with tempfile.TemporaryDirectory(prefix="snapctl-scenario-") as place:
        tell_drills(world, place)


def tell_drills(world, place):
    begin(world)
    os.rename(world.path("here"), os.path.join(place, "here"))
    plan = PLAN.replace("%(root)s/here", place + "/here") + DRILL
    world.apply(plan.replace("[%s]", "[here]") % {"root": world.root,
                                                 "more": ""})
    run_once(world)
    seen = Watch(place)
    got = world.json("drill", "run", "weekly")
    check(not seen.saw(), "the region that was shut away was opened")
    check(got["passed"] and got["region"] in OTHERS, got)
    told = got["evidence"]
    # The kernel keeps it out, where it can.
    kernel = "Landlock" in open(world.path("log")).read()
    check(told["without"] == [
        {"region": "here", "url": f"file://{place}/here",
         "kept_out": kernel}] and told["region"] == got["region"] and
          told["rto_seconds"] == got["rto_seconds"] >= 0 and
          told["rpo_seconds"] == got["rpo_seconds"] >= 0 and
          told["rto_target_seconds"] == 3600, told)
    text = world.run("drill", "show", str(got["id"]))
    check("without here" in text and "region " + got["region"] in text, text)
    with open(os.path.join(place, "here/config"), "rb"):
        check(seen.saw(), "the watch sees nothing")
    # What is asked must be possible.
    for without, status in (("nowhere", 2), ("here, there, yonder", 2),
                            ("here, there", 0)):
        world.run("apply", "-f", "-", status=status, stdin=plan.replace(
            "[%s]", "[" + without + "]") % {"root": world.root, "more": ""})
    got = world.json("drill", "run", "weekly")
    check(got["passed"] and got["region"] == "yonder" and
          len(got["evidence"]["without"]) == 2, got)
    # From what is left, whatever is shut away, and whatever is gone.
    away(world, "yonder")
    got = world.json("drill", "run", "weekly", status=1)
    check(not got["passed"] and got["rto_seconds"] is None, got)
    world.stop()


snap.tell(others_are_read, damage_is_made_good, latest_is_the_newest,
          it_goes_meanwhile, runs_go_elsewhere, what_was_deleted_stays_so,
          another_is_promoted, drills_do_without)
