#!/usr/bin/python3
"""Goal of this test: of an image on btrfs only what changed is read, and never
too little.

An image lies on a btrfs of its own and is changed in every way that a file can
be: written to, punched, preallocated, cut, lengthened, cloned over, moved by a
balance, put back, taken from a snapshot of its subvolume. After each change it
is taken again; how much of it is read is counted, and what comes back compared
with what it was. What is remembered is damaged, lost, and of snapshots that
were never published. It takes root and loop devices.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys

import snap
from loop import leave, unmount
from snap import LIMIT, SNAPCTL, check

UNIT = 512 << 10  # of places and sizes
SIZE = 40 * UNIT
WHOLE = 15 * UNIT  # at least, when everything is read
BLOCK = 256 << 10
FICLONERANGE = 0x4020940d
PUNCH, KEEP = 2, 1


def sh(*words):
    p = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT,
                       check=False)
    check(p.returncode == 0, (words, p.stderr))
    return p.stdout.strip()


class Place:
    """A btrfs on a loop device on an image of its own."""

    def __init__(self, world):
        self.image = world.path("btrfs.img")
        with open(self.image, "wb") as f:
            f.truncate(500 << 20)
        try:
            self.device = subprocess.run(
                ["losetup", "--find", "--show", self.image], check=True,
                capture_output=True, text=True, timeout=LIMIT).stdout.strip()
        except subprocess.CalledProcessError as e:
            print("skipped: no loop device:", e.stderr.strip())
            sys.exit(77)
        self.folder = world.path("place")
        os.mkdir(self.folder)

    def make(self):
        sh("mkfs.btrfs", "-q", self.device)
        if subprocess.run(["mount", self.device, self.folder],
                          capture_output=True, check=False).returncode:
            print("skipped: this kernel has no btrfs")
            sys.exit(77)
        sh("btrfs", "subvolume", "create", self.folder + "/sub")

    def mount_again(self):
        unmount(self.device, self.folder)
        sh("mount", self.device, self.folder)

    def close(self):
        try:
            leave(self.folder)
        finally:
            subprocess.run(["losetup", "--detach", self.device], check=False)


class Image:
    def __init__(self, world, path):
        self.world = world
        self.path = path
        self.said = None

    def write(self, at, data):
        with open(self.path, "r+b") as f:
            f.seek(at)
            f.write(data)

    def fallocate(self, mode, at, n):
        libc = ctypes.CDLL(None)
        with open(self.path, "r+b") as f:
            check(libc.fallocate64(f.fileno(), mode, ctypes.c_long(at),
                                   ctypes.c_long(n)) == 0, "fallocate")

    def clone(self, source, source_at, n, at):
        with open(source, "rb") as s, open(self.path, "r+b") as f:
            fcntl.ioctl(f, FICLONERANGE,
                        struct.pack("qQQQ", s.fileno(), source_at, n, at))

    def content(self):
        with open(self.path, "rb") as f:
            return f.read()

    def take(self, what, at_most, at_least=0):
        """A snapshot of it; what comes back is compared."""
        done = self.world.json("snapshot", "create", "--type", "block",
                               "--file", "disk", self.path)
        self.said = self.world.err
        check(done["state"] == "complete", (what, done))
        read = done["bytes_read"]
        print(f"     {what}: {read >> 10} KiB read")
        check(at_least <= read <= at_most, (what, done))
        check(done["bytes"] == os.stat(self.path).st_size, (what, done))
        self.compare(what, done["snapshot"])

    def compare(self, what, snapshot):
        p = subprocess.run([SNAPCTL, "cat", snapshot + ":/disk"],
                           env=self.world.env, capture_output=True,
                           timeout=LIMIT, check=False)
        check(p.returncode == 0, (what, p.stderr))
        check(p.stdout == self.content(), (what, "it differs"))


def begin(world, place):
    world.env["SNAPCTL_REPO"] = world.path("repo")
    world.env["SNAPCTL_KEY_FILE"] = world.path("key")
    # A ctime counts from two seconds on.
    world.env["SNAPCTL_TEST_CLOCK"] = "100"
    world.run("repo", "init", world.path("repo"), "--key-file",
              world.path("key"))
    place.make()
    image = Image(world, place.folder + "/sub/disk.img")
    with open(image.path, "wb") as f:
        f.write(os.urandom(24 * UNIT))
        f.truncate(SIZE)
    image.write(34 * UNIT + 5000, os.urandom(2 * UNIT))
    return image


def is_written_to(image, other):
    image.take("first", SIZE, at_least=26 * UNIT)
    image.take("unchanged", 0)
    image.write(10 * UNIT + 1000, os.urandom(UNIT))
    image.take("written to", 2 * UNIT, at_least=UNIT)
    os.utime(image.path)
    image.take("nothing but its times", 0)
    for i in range(20):
        image.write(i * UNIT + 777, b"x" * 10)
    image.take("20 places", 20 * 2 * BLOCK, at_least=20 * 10)
    image.write(0, bytes(UNIT))
    image.take("zeros", 2 * UNIT)
    image.fallocate(PUNCH | KEEP, 2 * UNIT + 4096, UNIT)
    image.take("a hole", 2 * BLOCK)
    image.write(2 * UNIT + UNIT // 2, b"in the hole")
    image.take("a hole that is filled", 2 * BLOCK, at_least=11)
    image.fallocate(0, 28 * UNIT, 4 * UNIT)
    image.take("space for later", 2 * BLOCK)
    image.write(29 * UNIT + 123, os.urandom(UNIT))
    image.take("written into that", 2 * UNIT, at_least=UNIT)
    image.write(29 * UNIT + 123, os.urandom(UNIT))
    image.take("and again", 2 * UNIT, at_least=UNIT)
    with open(image.path, "r+b") as f:
        f.truncate(22 * UNIT + 12345)
    image.take("cut", 2 * BLOCK)
    with open(image.path, "r+b") as f:
        f.truncate(SIZE + 777)
    image.take("lengthened", 2 * BLOCK)
    image.write(SIZE + 700, b"to the end")
    image.take("written behind its end", 2 * BLOCK)
    clones(image, other)


def clones(image, other):
    with open(other, "wb") as f:
        f.write(os.urandom(4 * UNIT))
    image.clone(other, UNIT, 2 * UNIT, 5 * UNIT)
    image.take("cloned over", 3 * UNIT, at_least=2 * UNIT)
    # What it was in between was taken: putting it back is a change.
    before = image.path + ".before"
    sh("cp", "--reflink=always", image.path, before)
    image.write(12 * UNIT, os.urandom(UNIT))
    image.take("changed", 2 * UNIT, at_least=UNIT)
    image.clone(before, 12 * UNIT, UNIT, 12 * UNIT)
    image.take("put back", 2 * UNIT, at_least=UNIT)
    # An old extent at another place of the image.
    image.clone(before, 12 * UNIT, UNIT, 17 * UNIT)
    image.take("an old extent elsewhere", 2 * UNIT, at_least=UNIT)
    os.rename(before, image.path)
    image.take("another file of its name", 3 * UNIT, at_least=UNIT)


def is_moved(image, place):
    """A balance moves everything, and may put old data into freed places."""
    for _ in range(2):
        os.unlink(place.folder + "/sub/other")
        image.write(7 * UNIT, os.urandom(UNIT))
        sh("btrfs", "balance", "start", "-f", "-dusage=100", place.folder)
        with open(place.folder + "/sub/other", "wb") as f:
            f.write(os.urandom(4 * UNIT))
        image.take("moved", SIZE + UNIT, at_least=UNIT)
        image.write(15 * UNIT, b"then")
        image.take("and then written to", 2 * BLOCK, at_least=4)
    image.write(16 * UNIT, os.urandom(UNIT))
    sh("btrfs", "filesystem", "defragment", "-f", image.path)
    image.take("rearranged", SIZE + UNIT, at_least=UNIT)


def is_in_a_snapshot(image, place):
    """As one that is taken so that nobody writes to it meanwhile."""
    lies = image.path
    image.path = place.folder + "/shot/disk.img"
    for i in range(2):
        with open(lies, "r+b") as f:
            f.seek(8 * UNIT)
            f.write(os.urandom(UNIT))
        sh("btrfs", "subvolume", "snapshot", "-r", place.folder + "/sub",
           place.folder + "/shot")
        image.take("in a snapshot", 2 * UNIT if i else SIZE + UNIT, at_least=UNIT)
        sh("btrfs", "subvolume", "delete", place.folder + "/shot")
    image.path = lies


def is_not_remembered(image, place):
    cache = image.world.path("cache/block")

    def maps():
        return sorted((os.path.join(cache, n) for n in os.listdir(cache)),
                      key=os.path.getmtime)

    image.write(UNIT, b"1")
    image.take("after a while", SIZE + UNIT)
    image.write(UNIT, b"2")
    image.take("once more", 2 * BLOCK)
    check(len(maps()) == 6 + 2, maps())  # and of the one in a snapshot
    for path in maps():
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            byte = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([byte[0] ^ 1]))
    image.write(2 * UNIT, b"3")
    image.take("damaged", SIZE + UNIT, at_least=WHOLE)
    os.truncate(maps()[-1], os.path.getsize(maps()[-1]) - 1)
    image.write(3 * UNIT, b"4")
    image.take("cut off", SIZE + UNIT, at_least=WHOLE)
    # That of another snapshot, under this one's name.
    image.write(4 * UNIT, b"5")
    old = maps()[-1]
    image.take("right again", 2 * BLOCK)
    shutil.copyfile(old, maps()[-1])
    image.write(5 * UNIT, b"6")
    image.take("another one's", SIZE + UNIT, at_least=WHOLE)
    os.chmod(cache, 0o777)
    image.write(6 * UNIT, b"7")
    image.take("anybody's", SIZE + UNIT, at_least=WHOLE)
    check("others can write" in image.said, image.said)
    os.chmod(cache, 0o700)
    shutil.rmtree(cache)
    image.write(7 * UNIT, b"8")
    image.take("lost", SIZE + UNIT, at_least=WHOLE)
    image.write(8 * UNIT, b"9")
    place.mount_again()
    image.take("mounted again", SIZE + UNIT, at_least=WHOLE)
    image.write(9 * UNIT, b"0")
    image.take("and remembered since", 2 * BLOCK)
    image.world.json("snapshot", "create", "--type", "block", "--file", "disk",
                     "--reread", image.path)
    image.write(9 * UNIT, b"1")
    image.take("after --reread", 2 * BLOCK)
    check(len(maps()) == 5, maps())
    check(all(n.endswith(".map") for n in maps()), maps())


def is_killed(image):
    """What was not published is no parent, and what it learnt is nothing."""
    env = {**image.world.env, "SNAPCTL_TEST_SEAM": "kill:12"}
    words = [SNAPCTL, "snapshot", "create", "--type", "block", "--file", "disk",
             image.path]
    old = image.content()[20 * UNIT:21 * UNIT]
    image.write(20 * UNIT, os.urandom(UNIT))
    p = subprocess.run(words, env=env, capture_output=True, timeout=LIMIT,
                       check=False)
    check(p.returncode == -signal.SIGKILL, p)
    image.write(20 * UNIT, old)
    image.take("after one that was killed", 2 * UNIT, at_least=UNIT)


def is_written_in_place(image, place):
    path = place.folder + "/sub/in-place.img"
    open(path, "wb").close()
    sh("chattr", "+C", path)
    with open(path, "wb") as f:
        f.write(os.urandom(4 * UNIT))
    other = Image(image.world, path)
    other.take("in place", 4 * UNIT, at_least=4 * UNIT)
    other.write(UNIT, os.urandom(UNIT))
    other.take("in place, written to", 4 * UNIT, at_least=4 * UNIT)


def is_frozen(image, place):
    """Nothing waits for a file system that a hook has frozen."""
    image.write(21 * UNIT, os.urandom(UNIT // 2))
    sh("fsfreeze", "--freeze", place.folder)
    try:
        image.take("frozen", UNIT, at_least=UNIT // 2)
    finally:
        sh("fsfreeze", "--unfreeze", place.folder)


def the_whole_story(world):
    place = Place(world)
    try:
        image = begin(world, place)
        is_written_to(image, place.folder + "/sub/other")
        is_frozen(image, place)
        is_killed(image)
        is_moved(image, place)
        is_in_a_snapshot(image, place)
        is_not_remembered(image, place)
        is_written_in_place(image, place)
    finally:
        place.close()


if os.geteuid() != 0:
    print("skipped: it takes root and loop devices")
    sys.exit(77)
snap.tell(the_whole_story)
