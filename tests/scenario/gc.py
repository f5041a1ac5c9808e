#!/usr/bin/python3
"""Goal of this test: space comes back, and nothing else goes with it.

Real processes on one repository: what a deletion frees and when, who sleeps
past the lease and wakes, and what a collection says.
"""
import os
import signal
import subprocess

import snap
from snap import LIMIT, SNAPCTL, check

LEASE_MS = 600


class Place:
    """A repository, a tree of some size, and snapshots of it."""

    def __init__(self, world):
        self.world = world
        world.env.pop("SNAPCTL_TEST_RUN", None)
        world.env["SNAPCTL_REPO"] = world.path("repo")
        world.env["SNAPCTL_KEY_FILE"] = world.path("key")
        world.env["SNAPCTL_TEST_LEASE_MS"] = str(LEASE_MS)
        self.tree = world.path("tree")
        os.mkdir(self.tree)
        self.write("kept")
        world.run("repo", "init", world.path("repo"), "--key-file",
                  world.path("key"))

    def write(self, name, size=300_000):
        with open(os.path.join(self.tree, name), "wb") as f:
            f.write(os.urandom(size))

    def remove(self, name):
        os.unlink(os.path.join(self.tree, name))

    def take(self, **more):
        return self.world.json("snapshot", "create", self.tree,
                               **more)["snapshot"]

    def gc(self, *words, **more):
        return self.world.json("repo", "gc", *words, **more)

    def restores(self, snapshot, name):
        """The bytes of one file, as they are in a snapshot."""
        path = f"{snapshot}:{self.tree}/{name}"
        p = subprocess.run([SNAPCTL, "cat", path], env=self.world.env,
                           capture_output=True, timeout=LIMIT)
        check(p.returncode == 0, p)
        return p.stdout

    def count(self, folder):
        path = self.world.path(os.path.join("repo", folder))
        return sum(len(files) for _, _, files in os.walk(path))

    def stopped(self, *words, at):
        """A snapctl that stopped itself before its nth write."""
        p = subprocess.Popen([SNAPCTL, "--json", *words], text=True,
                             env={**self.world.env,
                                  "SNAPCTL_TEST_SEAM": f"stop:{at}"},
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        done = os.waitid(os.P_PID, p.pid,
                         os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        check(done.si_code == os.CLD_STOPPED, (words, at, done))
        return p


def comes_back(world):
    """Deleted, restorable for a day, then gone, and the rest as it was."""
    place = Place(world)
    place.write("gone", 2_000_000)
    first = place.take()
    place.remove("gone")
    second = place.take()
    kept = place.restores(second, "kept")
    world.run("snapshot", "delete", first)
    got = place.gc()
    check(got["marked"] == got["deleted"] == 0, got)
    world.run("snapshot", "undelete", first)
    check(len(place.restores(first, "gone")) == 2_000_000, "undeleted")
    world.run("snapshot", "delete", first)
    text = world.run("repo", "gc", "--grace", "0s")
    check("bytes freed" in text, text)
    check(place.count("data") <= 2, os.listdir(world.path("repo/data")))
    world.run("snapshot", "undelete", first, status=5)
    check(place.restores(second, "kept") == kept, "what was kept")
    world.run("repo", "check", "--read-data")
    for _ in range(2):
        got = place.gc("--grace", "0s")
    check(got["bytes_pending"] == 0 and got["blocked_by"] == [] and
          got["chunks"] == got["chunks_needed"], got)
    check(place.count("sessions") == place.count("marks") == 0, got)


def overslept(world):
    """A writer that sleeps past its lease, wherever it stands, does not
    publish what may be gone: it begins again, and what it then says is
    there is there."""
    for at in range(3, 400, 9):
        other = World(world)
        place = Place(other)
        place.write("gone")
        first = place.take()
        place.remove("gone")
        place.write("new")
        try:
            p = place.stopped("snapshot", "create", place.tree, at=at)
        except snap.Failed:
            other.close()
            check(at > 20, f"it ended before write {at}")
            break
        other.run("snapshot", "delete", first)
        got = place.gc("--grace", "0s")
        check(place.count("sessions") == 0, (at, got))
        p.send_signal(signal.SIGCONT)
        out, err = p.communicate(timeout=LIMIT)
        check(p.returncode == 0, (at, p.returncode, out, err))
        place.gc("--grace", "0s")
        check(len(place.restores("latest", "kept")) == 300_000, at)
        check(len(place.restores("latest", "new")) == 300_000, at)
        other.run("repo", "check", "--read-data")
        other.close()


class World(snap.World):
    """One of several in a story."""

    def __init__(self, like):
        super().__init__()
        self.env = {**like.env, **{k: self.env[k] for k in self.env
                                   if k.startswith("SNAPCTL_")}}


def reader_died(world):
    """A restore that was killed keeps what it read for one lease more."""
    place = Place(world)
    place.write("gone")
    first = place.take()
    place.remove("gone")
    place.take()
    reader = place.stopped("restore", first, "--to", world.path("out"), at=12)
    check(place.count("pins") == 1, "a restore pins what it reads")
    world.run("snapshot", "delete", first)
    reader.kill()
    reader.communicate()
    got = place.gc("--grace", "0s")
    check(place.count("pins") == 0 and got["sessions_ended"] == 1 and
          got["snapshots"] == 1, got)


def damaged(world):
    """Nothing goes while anything is damaged, and the way on is told."""
    place = Place(world)
    place.write("gone")
    first = place.take()
    place.remove("gone")
    place.take()
    world.run("snapshot", "delete", first)
    packs = place.count("data")
    index = world.path("repo/index")
    for name in os.listdir(index):
        with open(os.path.join(index, name), "r+b") as f:
            f.seek(100)
            byte = f.read(1)
            f.seek(100)
            f.write(bytes([byte[0] ^ 1]))
    world.run("repo", "gc", "--grace", "0s", status=4)
    check("nothing was deleted" in world.err and
          "repo check --repair" in world.err, world.err)
    check(place.count("data") == packs, "packs")
    world.run("repo", "check", "--repair", status=4)
    got = place.gc("--grace", "0s")
    check(got["deleted"] > 0, got)
    world.run("repo", "check", "--read-data")


def reads(world):
    """What is asked for wrongly, and what cannot be written."""
    place = Place(world)
    place.take()
    world.run("repo", "gc", "--grace", "soon", status=2)
    world.run("repo", "gc", "--rewrite", "much", status=2)
    text = world.run("repo", "gc", "--help")
    check("blocked_by" in text and "--grace" in text, text)


snap.tell(comes_back, overslept, reader_died, damaged, reads)
