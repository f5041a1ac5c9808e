#!/usr/bin/python3
"""Goal of this test: a mount that died holds up nobody but its own run.

A file system that never answers (FUSE, served by this test) is a source, or a
region. The run hangs in the kernel, where not even SIGKILL reaches it. All the
same the timetable goes on, the hung run is told of and can be cancelled, what
is in other regions is restored, the daemon stops when it is asked to, and the
next one comes up. It takes root and /dev/fuse, and is left out without them.
"""
import ctypes
import os
import select
import signal
import struct
import threading
import time

import runs
import snap
from snap import check, wait_for

MANIFEST = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: dead}
spec: {type: files, paths: ["%(root)s/mnt"]}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: tree}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: stuck}
spec:
  cron: "* * * * *"
  sources: {names: [dead]}
  repository: main
  retries: 0
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: quick}
spec:
  cron: "* * * * *"
  sources: {names: [tree]}
  repository: main
"""

REGIONS = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions:
    - {name: here, url: "file://%(root)s/here"}
    - {name: far, url: "file://%(root)s/mnt/far"}
---
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: other}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions: [{name: there, url: "file://%(root)s/there"}]
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: tree}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: stuck}
spec:
  cron: "* * * * *"
  sources: {names: [tree]}
  repository: main
  replicateTo: [far]
  retries: 0
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: quick}
spec:
  cron: "* * * * *"
  sources: {names: [tree]}
  repository: other
"""

FUSE_INIT = 26
UNASKED = 2, 36, 42  # what was forgotten, or interrupted
MNT_DETACH = 2


class DeadMount:
    """Says hello to the kernel, takes every question, and answers none."""

    def __init__(self, path):
        self.path = path
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0"
        if self.libc.mount(b"dead", path.encode(), b"fuse.dead", 0,
                           options.encode()) != 0:
            os.close(self.fd)
            raise OSError(ctypes.get_errno(), "mount")
        self.questions = 0
        self.over = threading.Event()
        self.server = threading.Thread(target=self.serve, daemon=True)
        self.server.start()

    def serve(self):
        while not self.over.is_set():
            if not select.select([self.fd], [], [], 0.05)[0]:
                continue
            try:
                question = os.read(self.fd, 1 << 20)
            except OSError:  # who asked is gone
                continue
            code, unique = struct.unpack_from("<4xIQ", question)
            if code == FUSE_INIT:
                reply = struct.pack("<IIIIHHI", 7, 31, 0, 0, 0, 0, 65536)
                reply += bytes(64 - len(reply))
                os.write(self.fd, struct.pack("<IiQ", 16 + len(reply), 0,
                                              unique) + reply)
            elif code not in UNASKED:
                self.questions += 1

    def end(self):
        """Nobody has it open any more: whoever waits gets an error."""
        self.over.set()
        self.server.join()
        self.libc.umount2(self.path.encode(), MNT_DETACH)
        os.close(self.fd)


def process(world, run):
    """Of a run: its process's number and state."""
    import sqlite3
    db = sqlite3.connect("file:" + world.path("state/catalog.db") +
                         "?mode=ro", uri=True, timeout=snap.LIMIT)
    try:
        pid = db.execute("select pid from runs where id = ?",
                         (run,)).fetchone()[0]
    finally:
        db.close()
    return pid, state(pid)


def state(pid):
    """Of its threads, the one that is worst off: D, dead or not at all."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        states = [open(f"/proc/{pid}/task/{t}/stat").read().rsplit(")", 1)[1]
                  .split()[0] for t in threads]
    except OSError:
        return None
    return "D" if "D" in states else states[0].strip("ZX") or None


def runs_of(world, schedule, *more):
    return world.json("run", "list", "--schedule", schedule, *more)


def quick_goes_on(world):
    """At its next minute."""
    before = len(runs_of(world, "quick", "--state", "succeeded"))
    world.set_clock(world.shift + 60)
    wait_for("quick's next run", lambda: len(
        runs_of(world, "quick", "--state", "succeeded")) > before)


def hung(world, mount, asked=0):
    """The run that hangs, once it does: it asked, when others had before."""
    found = wait_for("a run that hangs", lambda: [
        r for r in runs_of(world, "stuck", "--state", "running")
        if mount.questions > asked])
    return found[0]["id"]


def does_not_end(world, run):
    """It was killed, and is there; it heard of it a little later."""
    def how():
        found = process(world, run)[1]
        check(found, "it is gone: this test shows nothing")
        return found == "D"
    wait_for("a killed process that does not end", how)


def make_places(world):
    for name in "tree", "mnt":
        os.mkdir(world.path(name), 0o700)
    with open(world.path("tree/file"), "w") as f:
        f.write("content\n")
    now = time.time()
    world.set_clock((10 - now % 60) % 60)
    world.env["SNAPCTL_STOP_TIMEOUT"] = "0s"


def begin(world):
    make_places(world)
    runs.begin(world, MANIFEST)


def one_run_hangs_and_nobody_else(world):
    begin(world)
    mount = DeadMount(world.path("mnt"))
    try:
        quick_goes_on(world)
        run = hung(world, mount)
        quick_goes_on(world)
        check(any(r[1:] == ("skipped", "overlap") for r in world.ledger()),
              world.ledger())
        # Nothing ends it; but nobody waits for it any more, either.
        world.run("run", "cancel", str(run))
        wait_for("the cancelled run", lambda: world.json(
            "run", "show", str(run))["state"] == "cancelled")
        pid, _ = process(world, run)
        does_not_end(world, run)
        message = world.json("run", "show", str(run))["message"]
        check(f"process {pid} does not end" in message, message)
        # The schedule goes on, too, into the same trap, and no further.
        asked = mount.questions
        quick_goes_on(world)
        again = hung(world, mount, asked)
        # Nor does the next daemon wait for it, and it stops when asked to.
        asked = mount.questions
        world.stop(signal.SIGKILL, -signal.SIGKILL)
        world.start()
        wait_for("the interrupted run", lambda: world.json(
            "run", "show", str(again))["state"] == "interrupted")
        does_not_end(world, again)
        quick_goes_on(world)
        last = hung(world, mount, asked)
        world.stop()
        does_not_end(world, last)
    finally:
        mount.end()
    wait_for("the end of the processes", lambda: not any(
        process(world, run)[1] for run in (run, again, last)))


def begin_with_regions(world):
    """All of them alive."""
    make_places(world)
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    key = "--key-file", world.path("keys/main.key")
    world.run("repo", "init", world.path("here"), *key)
    world.run("region", "add", "far", world.path("mnt/far"), "--repo",
              world.path("here"), *key)
    world.run("repo", "init", world.path("there"), *key)
    world.start()
    world.apply(REGIONS % {"root": world.root})
    world.set_clock(world.shift + 60)
    wait_for("a copy", lambda: runs_of(world, "stuck", "--state", "succeeded"))


def a_region_hangs_and_nobody_else(world):
    begin_with_regions(world)
    mount = DeadMount(world.path("mnt"))
    try:
        quick_goes_on(world)
        run = hung(world, mount)
        quick_goes_on(world)
        # What is asked of the service it knows by itself.
        text = world.run("status")
        check("stuck" in text, text)
        world.run("report", "runs")
        # The copy hangs: the snapshot is made, and what it is of restores.
        out = world.path("out")
        world.run("restore", "latest:" + world.path("tree"), "--to", out,
                  "--repo", "main")
        with open(os.path.join(out, "file")) as f:
            check(f.read() == "content\n", "other content")
        world.run("run", "cancel", str(run))
        wait_for("the cancelled run", lambda: world.json(
            "run", "show", str(run))["state"] == "cancelled")
        does_not_end(world, run)
        steps = world.json("run", "show", str(run))
        check("does not end" in steps["message"], steps)
        quick_goes_on(world)
        world.stop()
        world.start()
        quick_goes_on(world)
        world.stop()
    finally:
        mount.end()
    wait_for("the end of the process",
             lambda: not process(world, run)[1])


def can_mount(world):
    os.mkdir(world.path("try"))
    try:
        DeadMount(world.path("try")).end()
    except OSError:
        return False
    return os.geteuid() == 0


def left_out(world):
    if can_mount(world):
        return False
    print("     left out: it takes root and /dev/fuse", flush=True)
    return True


def a_dead_source(world):
    if not left_out(world):
        one_run_hangs_and_nobody_else(world)


def a_dead_region(world):
    if not left_out(world):
        a_region_hangs_and_nobody_else(world)


snap.tell(a_dead_source, a_dead_region)
