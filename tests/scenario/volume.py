#!/usr/bin/python3
"""Goal of this test: what is read for long is of one moment, and nothing stays.

On a btrfs of its own: a subvolume that is written to all the time is taken by a
schedule, and so are volumes whose provider is btrfs itself, or copies that
share their blocks. What was taken is restored and compared; a second snapshot
reads what changed; whoever is killed, what was taken to be read goes away, and
what the administrator keeps there does not. It takes root and loop devices.
"""
import os
import signal
import subprocess
import sys
import threading
import time

import runs
import snap
from runs import ended, meanwhile, run
from loop import leave
from snap import LIMIT, check, wait_for

MB = 1 << 20
HEAD = runs.by_hand("nightly", "mail") + """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: mail}
spec:
"""
SUBVOLUME = HEAD + """\
  type: btrfs
  paths: ["%(root)s/fs/data"]
  exclude: ["*.tmp"]
"""
# What it takes, as commands: there is no script in between.
VOLUME = HEAD + """\
  type: volume
  paths: ["%(root)s/fs/data"]
  exclude: ["*.tmp"]
  create: [/bin/btrfs, subvolume, snapshot, -r, "%(root)s/fs/data",
           "%(root)s/fs/taken/{}"]
  locate: [/bin/echo, "%(root)s/fs/taken/{}"]
  remove: [/bin/btrfs, subvolume, delete, "%(root)s/fs/taken/{}"]
  timeout: 60s
"""
DISK = HEAD + """\
  type: volume
  content: block
  paths: ["%(root)s/fs/disk.img"]
  create: [/bin/cp, --reflink=always, "%(root)s/fs/disk.img",
           "%(root)s/fs/taken/{}"]
  locate: [/bin/echo, "%(root)s/fs/taken/{}"]
  remove: [/bin/rm, -f, "%(root)s/fs/taken/{}"]
"""
# It stands between the taking and the reading, for as long as it is told to.
WAITS = """\
  hooks:
    - when: after
      argv: [/bin/sh, -c, "echo $PPID > %(root)s/guardian.new;
             mv %(root)s/guardian.new %(root)s/guardian;
             while [ -e %(root)s/wait ]; do sleep 0.05; done"]
"""


def sh(*words):
    p = subprocess.run(words, capture_output=True, text=True, check=False,
                       timeout=LIMIT)
    check(p.returncode == 0, f"{words}: {p.stderr}")
    return p.stdout


class Tree(threading.Thread):
    """Writes one number to the first file, then to the last, and so on; each
    synced, as a database would: of what is not, a snapshot may hold the second
    without the first, like a crash."""

    def __init__(self, folder):
        super().__init__()
        self.first, self.last = folder + "/a", folder + "/z"
        self.write(self.first, 0)
        self.write(self.last, 0)
        self.stopped = threading.Event()

    @staticmethod
    def write(path, number):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.pwrite(fd, b"%12d" % number, 0)
        os.fdatasync(fd)
        os.close(fd)

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            self.write(self.first, number)
            self.write(self.last, number)

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.stopped.set()
        self.join()


def mount(world):
    image, disk = world.path("image"), world.path("fs")
    os.mkdir(disk)
    with open(image, "wb") as f:
        f.truncate(600 * MB)
    sh("mkfs.btrfs", "-q", image)
    done = subprocess.run(["mount", "-o", "loop", image, disk], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        print("skipped: no file system can be mounted:", done.stderr.strip())
        sys.exit(77)
    sh("btrfs", "subvolume", "create", disk + "/data")
    os.mkdir(disk + "/taken")


def begin(world, manifest):
    mount(world)
    data = world.path("fs/data")
    for i in range(300):
        os.makedirs(f"{data}/folder{i % 20}", exist_ok=True)
        with open(f"{data}/folder{i % 20}/file{i}", "w") as f:
            f.write(f"{i}\n" * 100)
    with open(data + "/left.tmp", "w") as f:
        f.write("left out\n")
    sh("btrfs", "subvolume", "create", data + "/folder1/nested")
    if manifest is VOLUME:
        sh("btrfs", "subvolume", "create", data + "/backup")
    # Where it would hold itself, if it were not known there.
    runs.begin(world, manifest, "fs/data/backup")


def details(done):
    return [s for s in done["steps"] if s["step"] == "snapshot"
            and s["details"]][0]["details"]


def names(folder):
    return sorted(n for n in os.listdir(folder))


def files_below(folder, without=()):
    found = {}
    for at, folders, files in os.walk(folder):
        folders[:] = [n for n in folders if n not in without]
        for name in files:
            path = os.path.join(at, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = f.read()
    return found


def restored(world, to):
    world.run("restore", "latest:" + world.path("fs/data"), "--to",
              world.path(to))
    return files_below(world.path(to))


def is_of_one_moment(world, manifest):
    """Of a tree that is written to, read and compared with what it was."""
    begin(world, manifest)
    data = world.path("fs/data")
    with Tree(data):
        for i in range(2):
            done = run(world)
            check(done["state"] == "succeeded", done)
            got = restored(world, f"busy{i}")
            first, last = int(got["a"]), int(got["z"])
            check(first - last in (0, 1), f"{first} and {last}")
    check(first > 0, "nobody wrote")
    time.sleep(2.1)  # what is younger when it is taken is read again
    done = run(world)
    want = files_below(data, ("backup", ".snapctl", "nested"))
    del want["left.tmp"]
    check(restored(world, "calm") == want, "it is not what it was")
    check(os.path.isdir(world.path("calm/folder1/nested")),
          "the folder that stands for a subvolume is not there")

    # Its parent is found, though each has a device of its own.
    check(details(run(world))["bytes_read"] == 0, "something was read again")
    with open(data + "/more", "wb") as f:
        f.write(os.urandom(MB))
    change = details(run(world))
    check(MB <= change["bytes_read"] < MB + 1000, change)
    check(change["bytes_new"] < MB + MB // 10, change)
    with open(data + "/more", "rb") as f:
        want["more"] = f.read()
    check(restored(world, "changed") == want, "it is not what it became")
    return change


def a_subvolume(world):
    change = is_of_one_moment(world, SUBVOLUME)
    check(change["left_out"] == [{"path": "folder1/nested", "message":
                                  "it is a subvolume of its own, and not in "
                                  "this snapshot"}], change)
    check(names(world.path("fs/data/.snapctl")) == [], "something stayed")
    # Of which moment each was is remembered, for the next one to walk less.
    check(names(world.path("cache/btrfs")), "nothing is remembered")
    # By hand it is the same.
    world.run("snapshot", "create", "--type", "btrfs", world.path("fs/data"))
    check('note: "folder1/nested": it is a subvolume of its own' in world.err,
          world.err)
    world.run("snapshot", "create", "--type", "btrfs",
              world.path("fs/data/folder1"), status=2)
    check("a folder in one" in world.err and "the subvolume that it lies in"
          in world.err, world.err)
    check(names(world.path("fs/data/.snapctl")) == [], "something stayed")


def a_volume(world):
    change = is_of_one_moment(world, VOLUME)
    check([p["passed"] for p in change["provider"]] == [True, True], change)
    check(names(world.path("fs/taken")) == [], "something stayed")
    check(names(world.path("state/volumes")) == [], "a name stayed")


def a_disk(world):
    begin(world, DISK)
    image = world.path("fs/disk.img")
    with open(image, "wb") as f:
        f.truncate(100 * MB)
        f.seek(20 * MB)
        f.write(os.urandom(20 * MB))
    first = details(run(world))
    check(first["bytes"] == 100 * MB, first)
    with open(image, "rb") as f:
        before = f.read()
    with open(image, "r+b") as f:
        f.seek(30 * MB)
        f.write(os.urandom(MB))
    second = details(run(world))
    check(second["bytes_new"] < 2 * MB, second)
    for which, want in (("latest", open(image, "rb").read()),
                        (first["snapshot"], before)):
        world.run("restore", which, "--output", world.path("out-" + which))
        with open(world.path("out-" + which), "rb") as f:
            check(f.read() == want, "it is not what it was")
    check(names(world.path("fs/taken")) == [], "something stayed")


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def held(world):
    """A run that has taken what it is to read: its number and process."""
    if os.path.exists(world.path("guardian")):
        # Else it may miss that there was nothing to wait for in between.
        last = int(open(world.path("guardian")).read())
        wait_for("the last one's hook to end", lambda: not is_alive(last))
        os.remove(world.path("guardian"))
    open(world.path("wait"), "w").close()
    number = world.json("run", "start", "nightly")["id"]
    meanwhile(world, number, "the hook",
              lambda: os.path.exists(world.path("guardian")))
    guardian = int(open(world.path("guardian")).read())
    return number, parent_of(guardian)


def kill_run(world, number, pid):
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    os.remove(world.path("wait"))
    check(wait_for("the run", lambda: ended(world, number))["state"] ==
          "failed", "killed")


def what_a_killed_run_leaves_is_removed(world):
    begin(world, SUBVOLUME + WAITS)
    folder = world.path("fs/data/.snapctl")
    number, pid = held(world)
    ours = names(folder)
    check(len(ours) == 1 and ours[0].startswith("mail-"), ours)
    kill_run(world, number, pid)
    check(names(folder) == ours, "it is gone already")
    for name in ("mine", "mail-x"):
        sh("btrfs", "subvolume", "snapshot", "-r", world.path("fs/data"),
           f"{folder}/{name}")
    check(run(world)["state"] == "succeeded", "the next run")
    check(names(folder) == ["mail-x", "mine"], names(folder))
    # One that is asked to stop does it by itself.
    number, pid = held(world)
    world.run("run", "cancel", str(number))
    os.remove(world.path("wait"))
    wait_for("the run", lambda: ended(world, number))
    check(names(folder) == ["mail-x", "mine"], names(folder))


def guardians(run):
    """Processes that run its hooks or its provider's programs."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if words[1:2] == [b"--guard"] and parent_of(name) == run:
                found.append(int(name))
        except OSError:
            pass
    return found


def whoever_dies_a_volume_is_removed_once(world):
    begin(world, VOLUME + WAITS)
    taken = world.path("fs/taken")

    number, pid = held(world)
    check(len(names(taken)) == 1, names(taken))
    kill_run(world, number, pid)
    wait_for("its removal", lambda: not names(taken))

    # With nobody left to do it, the next daemon does.
    number, pid = held(world)
    ours = guardians(pid)
    check(len(ours) == 2, ours)
    # None of them sees the others' end, and acts.
    run = os.getpgid(pid)
    os.killpg(run, signal.SIGSTOP)
    for guardian in ours:
        os.kill(guardian, signal.SIGSTOP)
    world.daemon.kill()
    world.daemon.wait()
    for guardian in ours:
        os.kill(guardian, signal.SIGKILL)
    os.killpg(run, signal.SIGKILL)
    os.remove(world.path("wait"))
    time.sleep(0.5)
    check(len(names(taken)) == 1, names(taken))
    world.start()
    wait_for("its removal", lambda: not names(taken))
    wait_for("its name's", lambda: not names(world.path("state/volumes")))


def one_that_stays_is_told_and_removed_later(world):
    begin(world, VOLUME.replace('remove: [/bin/btrfs, subvolume, delete, ',
                                'remove: ["%(root)s/remove", '))
    with open(world.path("remove"), "w") as f:
        f.write("#!/bin/sh" "\n[ ! -e \"$0.not\" ] || { echo in use; exit 5; }"
                "\nexec btrfs subvolume delete \"$1\"\n")
    os.chmod(world.path("remove"), 0o755)
    open(world.path("remove.not"), "w").close()
    done = run(world)
    check(done["state"] == "partial", done)
    text = world.run("run", "show", str(done["id"]))
    check("the snapshot is whole, but the volume's snapshot snapctl-mail-"
          in text and 'saying "in use"' in text, text)
    check(len(names(world.path("fs/taken"))) == 1, "it is gone")
    os.remove(world.path("remove.not"))
    check(run(world)["state"] == "succeeded", "the next run")
    check(names(world.path("fs/taken")) == [], "something stayed")


def unmounted(story):
    def told(world):
        try:
            story(world)
        finally:
            if world.daemon:
                world.daemon.kill()
                world.daemon.wait()
                world.daemon = None
            leave(world.path("fs"))
    told.__name__ = story.__name__
    return told


snap.tell(*map(unmounted, (a_subvolume, a_volume, a_disk,
                           what_a_killed_run_leaves_is_removed,
                           whoever_dies_a_volume_is_removed_once,
                           one_that_stays_is_told_and_removed_later)))
