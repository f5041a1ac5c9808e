#!/usr/bin/python3
"""Real file systems that are full: under the repository, the cache, a
restore's target, the catalog.  Each time what happened is told with the place
and what to do, nothing that was there is lost, and with room again it works.
"""
import os
import sqlite3
import subprocess
import sys

from loop import Disk, sh
from snap import LIMIT, MANIFEST, SNAPCTL, check, tell, wait_for

MIB = 1 << 20
FILLER = "filler"


class Small(Disk):
    """An ext4 of some MiB, mounted."""

    def __init__(self, world, name, size):
        super().__init__(world, name, size)
        # No blocks that root alone may use.
        sh("mkfs.ext4", "-q", "-m", "0", self.device)
        self.mount()

    def fill(self):
        """To the last block."""
        with open(os.path.join(self.folder, FILLER), "ab", 0) as f:
            for step in (MIB, 4096, 1):
                try:
                    while f.write(b"\1" * step) == step:
                        pass
                except OSError:
                    pass

    def room(self):
        st = os.statvfs(self.folder)
        return st.f_bavail * st.f_frsize

    def empty(self):
        os.unlink(os.path.join(self.folder, FILLER))


def tree(world, size):
    """Bytes that do not compress, in a few files; what is in them."""
    made = {}
    os.makedirs(world.path("tree"), exist_ok=True)
    for i in range(4):
        path = os.path.join(world.path("tree"), f"file{i}")
        made[path] = os.urandom(size // 4)
        with open(path, "wb") as f:
            f.write(made[path])
    return made


def same(made, root):
    for path, content in made.items():
        with open(root + path, "rb") as f:
            check(f.read() == content, f"{path} is not what it was")


def begin(world, repo):
    world.env["SNAPCTL_REPO"] = repo
    world.env["SNAPCTL_KEY_FILE"] = world.path("key")
    world.run("repo", "init", repo)


def take(world, **more):
    return world.run("snapshot", "create", "--source", "tree",
                     world.path("tree"), **more)


def says_full(world, *places):
    check("no space left on device" in world.err and
          "make room" in world.err, world.err)
    for place in places:
        check(place in world.err, f"{place} is not named: {world.err}")


def leftovers(folder):
    """Unfinished uploads and temporary files below it."""
    return [os.path.join(d, n) for d, _, names in os.walk(folder)
            for n in names if n.endswith(".part") or n.startswith(".tmp-") or
            n.startswith(".snapctl")]


def a_full_repository(world):
    disk = Small(world, "disk", 24 * MIB)
    try:
        repo = os.path.join(disk.folder, "repo")
        begin(world, repo)
        first = tree(world, 2 * MIB)
        take(world)
        room = disk.room()
        tree(world, 40 * MIB)
        take(world, status=1)
        says_full(world, repo)
        check(not leftovers(repo), leftovers(repo))
        check(len(world.json("snapshot", "list")) == 1, "not one")
        # What the failed run had stored by then goes at once, if it must.
        world.run("repo", "gc", "--grace", "0s")
        check(disk.room() > room - MIB, f"{room} became {disk.room()}")
        # To the last block: what is there restores, and is sound.
        disk.fill()
        world.run("restore", "latest", "--source", "tree", "--to",
                  world.path("out"))
        same(first, world.path("out"))
        world.run("repo", "check", "--read-data")
        second = tree(world, 3 * MIB)
        for words in (("snapshot", "create", "--source", "tree",
                       world.path("tree")), ("repo", "gc")):
            world.run(*words, status=1)
            says_full(world, repo)
        disk.empty()
        take(world)
        world.run("restore", "latest", "--source", "tree", "--to",
                  world.path("out2"))
        same(second, world.path("out2"))
        world.run("repo", "check", "--read-data")
    finally:
        disk.close()


def a_full_cache(world):
    disk = Small(world, "cache", 8 * MIB)
    try:
        disk.fill()
        begin(world, world.path("repo"))
        made = tree(world, 2 * MIB)
        take(world)
        take(world)
        world.run("restore", "latest", "--source", "tree", "--to",
                  world.path("out"))
        same(made, world.path("out"))
    finally:
        disk.close()


def a_full_target(world):
    disk = Small(world, "target", 24 * MIB)
    try:
        begin(world, world.path("repo"))
        made = tree(world, 40 * MIB)
        take(world)
        out = os.path.join(disk.folder, "out")
        words = ("restore", "latest", "--source", "tree", "--to", out)
        world.run(*words, status=1)
        says_full(world)
        check(not leftovers(disk.folder), leftovers(disk.folder))
        # What is there under its name and size is right.
        for path, content in made.items():
            if os.path.exists(out + path) and \
                    os.stat(out + path).st_size == len(content):
                with open(out + path, "rb") as f:
                    check(f.read() == content, f"{path} is half-done")
        disk.unmount()
        os.truncate(disk.image, 64 * MIB)
        sh("losetup", "--set-capacity", disk.device)
        sh("e2fsck", "-fp", disk.device)
        sh("resize2fs", disk.device)
        disk.mount()
        world.run(*words)
        same(made, out)
    finally:
        disk.close()


def declare(world, name):
    """One policy more; the process that did it, or could not."""
    return subprocess.run(
        [SNAPCTL, "apply", "-f", "-"], env=world.env, text=True,
        capture_output=True, check=False, timeout=LIMIT,
        input="apiVersion: snapctl.io/v1\nkind: Policy\nmetadata: {name: %s}\n"
        "spec: {retention: {keep-last: 3}}\n" % name)


def declared(world):
    return {x["metadata"]["name"] for x in world.json("get", "policy")}


def a_full_catalog(world):
    disk = Small(world, "state", 16 * MIB)
    try:
        os.mkdir(world.path("keys"), 0o700)
        world.run("repo", "init", world.path("here"), "--key-file",
                  os.path.join(world.path("keys"), "main.key"))
        tree(world, MIB)
        world.start()
        world.apply(MANIFEST % (world.root, 1) + (
            "---\napiVersion: snapctl.io/v1\nkind: Source\n"
            "metadata: {name: tree}\n"
            "spec: {type: files, paths: [%s]}\n" % world.path("tree")))
        disk.fill()
        refused, there = 0, set()
        for i in range(400):
            p = declare(world, f"p{i}")
            if p.returncode == 0:
                there.add(f"p{i}")
                continue
            refused += 1
            check(p.returncode == 1 and "no space left" in p.stderr and
                  "catalog" in p.stderr, f"{p.returncode}: {p.stderr}")
            if refused == 3:
                break
        check(refused == 3, "a full catalog takes all")
        check(declared(world) == there, "what was refused is there")
        disk.empty()
        wait_for("room", lambda: declare(world, "last").returncode == 0)
        check(declared(world) == there | {"last"}, "something was lost")
        world.run("audit", "verify")
        world.stop()
        db = sqlite3.connect(world.path("state/catalog.db"))
        check(db.execute("pragma integrity_check").fetchall() == [("ok",)],
              "the catalog is damaged")
        db.close()
    finally:
        disk.close()


if os.geteuid() != 0:
    print("skipped: it takes root and loop devices")
    sys.exit(77)
tell(a_full_repository, a_full_cache, a_full_target, a_full_catalog)
