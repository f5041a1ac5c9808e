#!/usr/bin/python3
"""Goal of this test: the power goes, and what real file systems have by then
is enough.

A restore, snapshots and collections write to an ext4, or a btrfs. The disk
below it is a file, which is cloned at random moments: with all that the file
system had sent there by then, and nothing of what it held in memory. Each clone
is mounted as after a power cut.

  - Of a restore no file has the size and the time that it is to have without
    its content, for the next restore takes it for done; and that one completes.
  - A repository is sound, and what was acknowledged before restores.

It takes root and loop devices. $SNAPCTL_TEST_FULL: many more moments.
"""
import fcntl
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import apart
import snap
from loop import Disk, leave, sh
from snap import LIMIT, SNAPCTL, check

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "support"))

from tree_compare import differences  # noqa: E402

MIB = 1 << 20
FICLONE = 0x40049409
FULL = bool(os.environ.get("SNAPCTL_TEST_FULL"))
# Of the clones of a story, how many are looked at, and gone on with.
LOOKED_AT, GONE_ON = (100, 20) if FULL else (12, 3)
TELLINGS = 3 if FULL else 1
# Descriptors that a restore may have: of few, fewer files wait for the disk
# together, and their times come in between.
FEW = 1600
# What may wait in memory to be written: little, so that much is on its way.
WAITING = 2 * MIB
MAKE = {"ext4": ("mkfs.ext4", "-q"), "btrfs": ("mkfs.btrfs", "-q")}

some = random.Random()


def mount_made(disk, kind):
    """A new file system of that kind."""
    sh(*MAKE[kind], disk.device)
    if subprocess.run(["mount", disk.device, disk.folder], check=False,
                      capture_output=True).returncode:
        print("skipped: this kernel has no", kind)
        sys.exit(77)


class Disks:
    """One that is written to, on a file that can be cloned; and its clones."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.below = Disk(world, "below", 4096 * MIB)
        self.disk = None
        self.clones = []  # (image, what was true when it was made)
        try:
            mount_made(self.below, "btrfs")
            self.disk = Disk(world, "below/disk", 400 * MIB)
            mount_made(self.disk, kind)
            self.hurry()
        except BaseException:
            self.close()
            raise

    def hurry(self):
        """The kernel begins to write soon, where it can be told to."""
        about = os.stat(self.disk.folder).st_dev
        at = f"/sys/class/bdi/{os.major(about)}:{os.minor(about)}/"
        for name, value in (("strict_limit", 1), ("max_bytes", WAITING)):
            if os.path.exists(at + name):
                with open(at + name, "w") as f:
                    f.write(str(value))

    def clone(self, facts):
        """The disk as it is; facts() before and after."""
        image = f"clone-{len(self.clones)}"
        known = facts()
        with open(self.disk.image, "rb") as source, \
                open(self.world.path(f"below/{image}.img"), "wb") as f:
            fcntl.ioctl(f, FICLONE, source.fileno())
        self.clones.append((image, known, facts()))

    def clone_until(self, ended, facts):
        """At random moments; some right after a commit of the journal that
        others have asked for, with data on its way."""
        with open(os.path.join(self.disk.folder, "of-others"), "wb", 0) as f:
            while not ended.is_set():
                time.sleep(some.uniform(0, 0.03))
                f.write(b"x" * 5000)
                os.fsync(f.fileno())
                if some.random() < 0.5:
                    time.sleep(some.uniform(0, 0.02))
                self.clone(facts)

    def during(self, work, facts=lambda: None):
        """What work() returns, with clones made meanwhile."""
        ended = threading.Event()
        cutter = threading.Thread(target=self.clone_until,
                                  args=(ended, facts))
        cutter.start()
        try:
            return work()
        finally:
            ended.set()
            cutter.join()

    def chosen(self, most):
        """The clones to look at; the first ones hold hardly anything."""
        later = self.clones[len(self.clones) // 8:]
        return some.sample(later, min(most, len(later)))

    def look(self, image, judge):
        """judge(folder) of a clone, mounted as after a power cut."""
        clone = Disk(self.world, "below/" + image)
        try:
            clone.mount()
            judge(clone.folder)
            clone.unmount()
        finally:
            clone.close()
            if self.kind == "btrfs":  # all of them have one name
                subprocess.run(["btrfs", "device", "scan", "--forget"],
                               capture_output=True, check=False)

    def close(self):
        """From above: what a device still lies on is in use, and a device is
        for as long as anybody has it mounted, as in loop.unmount()."""
        if self.disk:
            self.disk.close()
        try:
            leave(self.below.folder)
        finally:
            self.below.close()


def begin(world, repository):
    world.env["SNAPCTL_REPO"] = repository
    world.env["SNAPCTL_KEY_FILE"] = world.path("key")
    world.run("repo", "init", repository)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def make_tree(tree):
    """Small files above all; large ones, holes, links."""
    for i in range(16):
        folder = os.path.join(tree, f"d{i}")
        os.makedirs(folder)
        for k in range(80):
            write(os.path.join(folder, f"f{k}"), some.randbytes(
                some.choice((1, 100, 3000, 9000, 40000))))
        os.link(os.path.join(folder, "f0"), os.path.join(folder, "link"))
        with open(os.path.join(folder, "sparse"), "wb") as f:
            f.write(some.randbytes(5000))
            f.seek(100_000)
            f.write(some.randbytes(5000))
            f.truncate(300_000)
        if i % 4 == 0:
            write(os.path.join(folder, "large"), some.randbytes(3 * MIB))


def half_done(tree, restored):
    """Files that a restore would take for right, and are not; how many are."""
    wrong, right = [], 0
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            there = restored + path
            if not os.path.exists(there):
                continue
            one, two = os.stat(path), os.stat(there)
            if (one.st_size, one.st_mtime_ns) == (two.st_size,
                                                  two.st_mtime_ns):
                with open(path, "rb") as f, open(there, "rb") as g:
                    if f.read() == g.read():
                        right += 1
                    else:
                        wrong.append(path)
    return wrong, right


def restore(world, folder, descriptors=None):
    limits = ["prlimit", f"--nofile={descriptors}"] if descriptors else []
    done = subprocess.run(
        [*limits, SNAPCTL, "restore", "latest", "--source", "tree", "--to",
         os.path.join(folder, "out")], env=world.env, text=True,
        capture_output=True, timeout=LIMIT, check=False)
    check(done.returncode == 0, done)


def a_restore(world, kind, changes, descriptors=FEW):
    """Into an empty folder, or over another state of the tree."""
    tree = world.path("tree")
    begin(world, world.path("repo"))
    make_tree(tree)
    world.run("snapshot", "create", "--source", "tree", tree)
    disks = Disks(world, kind)
    done = []
    try:
        if changes:
            restore(world, disks.disk.folder)
            for folder, _, names in os.walk(tree):
                for name in names:
                    with open(os.path.join(folder, name), "r+b") as f:
                        f.write(b"*")
            world.run("snapshot", "create", "--source", "tree", tree)
        disks.during(lambda: restore(world, disks.disk.folder, descriptors))
        disks.disk.unmount()

        def judge(folder):
            wrong, right = half_done(tree, os.path.join(folder, "out"))
            check(not wrong, f"{len(wrong)} are half-done beside {right}: "
                  f"{wrong[:5]}")
            done.append(right)
            if len(done) > GONE_ON:
                return
            restore(world, folder)
            different = differences(tree, os.path.join(folder, "out") + tree)
            check(not different, different[:5])

        for image, _, _ in disks.chosen(LOOKED_AT):
            disks.look(image, judge)
    finally:
        disks.close()
    print(f"     {len(disks.clones)} clones, files done in those looked at: "
          f"{sorted(done)}")


def a_restore_to_ext4(world):
    a_restore(world, "ext4", False)


def a_restore_over_another(world):
    a_restore(world, "ext4", True)


def a_restore_to_btrfs(world):
    a_restore(world, "btrfs", False)


def a_restore_of_many_at_once(world):
    a_restore(world, "ext4", False, None)


class Writer:
    """Snapshots of a tree that changes, deletions, collections."""

    def __init__(self, world):
        self.world = world
        self.tree = world.path("tree")
        self.acked = {}     # id: a copy of its tree
        self.deleted = set()  # or just about to be

    def facts(self):
        return dict(self.acked), set(self.deleted)

    def take(self, n):
        for k in range(20):
            write(os.path.join(self.tree, f"f{some.randrange(60)}"),
                  some.randbytes(some.choice((10, 5000, 200_000))))
        copy = self.world.path(f"tree-{n}")
        sh("cp", "-a", self.tree, copy)
        got = self.world.json("snapshot", "create", "--source", "tree",
                              self.tree)
        self.acked[got["snapshot"]] = copy

    def erase(self):
        left = [i for i in self.acked if i not in self.deleted]
        if len(left) > 2:
            self.deleted.add(left[0])
            self.world.run("snapshot", "delete", left[0])

    def work(self):
        for n in range(30 if FULL else 6):
            self.take(n)
            if n % 2:
                self.erase()
                self.world.run("repo", "gc", "--grace", "0s")


def a_repository(world, kind):
    disks = Disks(world, kind)
    try:
        writer = Writer(world)
        os.mkdir(writer.tree)
        begin(world, os.path.join(disks.disk.folder, "repo"))
        disks.during(writer.work, writer.facts)
        disks.disk.unmount()
        for image, (acked, _), (_, deleted) in disks.chosen(GONE_ON):
            def judge(folder):
                world.env["SNAPCTL_REPO"] = os.path.join(folder, "repo")
                # What is remembered was lost, too.
                world.env["SNAPCTL_CACHE"] = world.path("cache-" + image)
                world.run("repo", "check", "--read-data")
                there = {r["id"] for r in world.json("snapshot", "list")}
                lost = set(acked) - deleted - there
                check(not lost, f"acknowledged, and lost: {lost}")
                for taken in sorted(set(acked) - deleted):
                    to = world.path("to")
                    world.run("restore", taken + ":" + writer.tree, "--to", to)
                    different = differences(acked[taken], to)
                    check(not different, different[:5])
                    shutil.rmtree(to)
                # And it goes on.
                world.run("snapshot", "create", "--source", "tree",
                          writer.tree)
                world.run("repo", "gc", "--grace", "0s",
                          SNAPCTL_TEST_LEASE_MS="300")
                world.run("repo", "check", "--read-data")

            disks.look(image, judge)
    finally:
        disks.close()
    print(f"     {len(disks.clones)} clones")


def a_repository_on_ext4(world):
    a_repository(world, "ext4")


def a_repository_on_btrfs(world):
    a_repository(world, "btrfs")


if os.geteuid() != 0:
    print("skipped: it takes root and loop devices")
    sys.exit(77)
tempfile.tempdir = apart.memory()
seed = os.environ.get("SNAPCTL_TEST_SEED") or str(time.time_ns())
print("SNAPCTL_TEST_SEED=" + seed)
some.seed(int(seed))
stories = [a_restore_to_ext4, a_restore_over_another, a_restore_to_btrfs,
           a_repository_on_ext4, a_repository_on_btrfs]
if FULL:
    stories.append(a_restore_of_many_at_once)
snap.tell(*stories * TELLINGS)
