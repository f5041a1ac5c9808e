#!/usr/bin/python3
"""Goal of this test: a disk is backed up, and comes back, as a disk.

A file system on a loop device is taken twice, with a change in between;
restored as an image and onto another device; refused where that is mounted or
too small. Where a disk cannot be read it is said; a restore that is killed is
taken over by the next. It takes root and loop devices.
"""
import os
import signal
import subprocess
import sys

import snap
from loop import Disk, sh
from snap import LIMIT, SNAPCTL, check

MB = 1 << 20


def begin(world):
    world.env["SNAPCTL_REPO"] = world.path("repo")
    world.env["SNAPCTL_KEY_FILE"] = world.path("key")
    world.run("repo", "init", world.path("repo"), "--key-file",
              world.path("key"))


def take(world, path, **more):
    return world.json("snapshot", "create", "--type", "block", path, **more)


def comes_back(world, disk, spare):
    sh("mkfs.ext4", "-q", disk.device)
    disk.mount()
    disk.write("kept", os.urandom(20 * MB))
    disk.write("changed", b"before\n")
    disk.unmount()
    first = take(world, disk.device)
    check(first["bytes"] == 200 * MB and first["state"] == "complete", first)
    check(first["bytes_new"] < 30 * MB, first)  # most of it is zeros
    before = disk.content()
    disk.mount()
    disk.write("changed", b"after\n")
    disk.unmount()
    second = take(world, disk.device)
    check(second["bytes_new"] < 4 * MB, (first, second))

    image = world.path("restored.img")
    done = world.json("restore", first["snapshot"], "--output", image)
    check(done["bytes"] == 200 * MB, done)
    with open(image, "rb") as f:
        check(f.read() == before, "the image differs")
    check(os.stat(image).st_blocks * 512 < 40 * MB, "it is not sparse")
    world.run("restore", "latest", "--output", image, status=1)
    check("is there already" in world.err, world.err)

    world.json("restore", "latest", "--output", spare.device)
    check(spare.content() == disk.content(), "the device differs")
    again = world.json("restore", first["snapshot"], "--output", spare.device)
    check(again["bytes_written"] < 4 * MB, again)
    check(spare.content() == before, "the device differs")
    spare.mount()
    with open(spare.folder + "/changed", "rb") as f:
        check(f.read() == b"before\n", "an old file is not as it was")
    world.run("restore", "latest", "--output", spare.device, status=6)
    check("mounted" in world.err and "unmount it" in world.err, world.err)
    spare.unmount()


def too_small_is_refused(world):
    small = Disk(world, "small", 100 * MB)
    try:
        world.run("restore", "latest", "--output", small.device, status=2)
        check("holds 104857600 bytes" in world.err, world.err)
    finally:
        small.close()


def reads_zeros(device, offset):
    fd = os.open(device, os.O_RDONLY)
    try:
        return os.pread(fd, 4096, offset) == bytes(4096)
    except OSError:
        return False
    finally:
        os.close(fd)


def what_cannot_be_read_is_named(world):
    bad = Disk(world, "bad", 8 * MB)
    try:
        with open(bad.device, "wb") as f:
            f.write(os.urandom(8 * MB))
            os.fsync(f.fileno())
        # What lies behind the end of its image fails to be read.
        os.truncate(bad.image, 5 * MB + 4096)
        sh("blockdev", "--flushbufs", bad.device)
        if reads_zeros(bad.device, 5 * MB + 4096):
            print("     not told: here nothing fails behind the end of an "
                  "image")
            return
        done = take(world, bad.device, status=3)
        check(done["state"] == "partial", done)
        names = [e["message"] for e in done["errors"]]
        check(len(names) == 1 and "bytes 5246976 to 8388607 cannot be read"
              in names[0], names)
        image = world.path("bad-restored.img")
        world.json("restore", done["snapshot"], "--output", image)
        with open(image, "rb") as f:
            back = f.read()
        with open(bad.image, "rb") as f:
            check(back == f.read() + bytes(8 * MB - 5 * MB - 4096),
                  "it is not what could be read")
    finally:
        bad.close()


def a_killed_restore_is_taken_over(world, disk):
    target = world.path("killed.img")
    words = ("restore", newest(world, disk), "--output", target)
    world.json(*words, SNAPCTL_TEST_SEAM="count:" + world.path("calls"))
    with open(world.path("calls")) as f:
        calls = int(f.read())
    os.unlink(target)
    p = subprocess.Popen([SNAPCTL, *words], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL,
                         env={**world.env,
                              "SNAPCTL_TEST_SEAM": f"kill:{calls // 2}"})
    check(p.wait(timeout=LIMIT) == -signal.SIGKILL, "it was not killed")
    check(not os.path.exists(target), "something looks whole")
    left = [n for n in os.listdir(world.root) if n.endswith(".part")]
    check(len(left) == 1, left)
    world.json(*words)
    left = [n for n in os.listdir(world.root) if n.endswith(".part")]
    check(left == [], left)
    with open(target, "rb") as f:
        check(f.read() == disk.content(), "it differs")


def newest(world, disk):
    return [s["id"] for s in world.json("snapshot", "list")
            if disk.device in s["paths"]][-1]


def the_whole_story(world):
    begin(world)
    disk = Disk(world, "disk", 200 * MB)
    try:
        spare = Disk(world, "spare", 200 * MB)
        try:
            comes_back(world, disk, spare)
        finally:
            spare.close()
        too_small_is_refused(world)
        a_killed_restore_is_taken_over(world, disk)
        what_cannot_be_read_is_named(world)
    finally:
        disk.close()


if os.geteuid() != 0:
    print("skipped: it takes root and loop devices")
    sys.exit(77)
snap.tell(the_whole_story)
