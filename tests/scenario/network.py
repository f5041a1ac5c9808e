#!/usr/bin/python3
"""Goal of this test: a link that is cut, switched off or resets costs time.

Two hosts, which are network namespaces, and a cable between them
(tests/support/cable.py); on the second is an S3 server, on the first are
snapctl and a region on a disk. In the middle of an object that is copied there,
and of one that is restored from there, something happens to the link. When it
is back in time all goes on; when it is not, a command ends with 6, says what
did not answer, and the next one goes on with what arrived.
"""
import ctypes
import os
import subprocess
import sys
from contextlib import contextmanager

import snap
from s3_place import PYTHON, SUPPORT, Child, FakeServer, tell
from s3_world import MIB, begin, tree_compare, write
from snap import LIMIT, SNAPCTL, check, wait_for

SERVER = "10.87.0.2"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(pid):
    """What this thread opens meanwhile is of that namespace."""
    mine = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        check(libc.setns(theirs, CLONE_NEWNET) == 0, "setns")
        yield
    finally:
        check(libc.setns(mine, CLONE_NEWNET) == 0, "setns back")
        os.close(mine)
        os.close(theirs)


class Cable(Child):
    """cable.py, and the processes whose namespaces the hosts are."""

    def __init__(self):
        self.start("cable.py", "up")
        line = self.child.stdout.readline()
        words = line.split()
        if words[:1] != ["hosts"]:
            self.stop()
            print("SKIPPED network:", line.strip())
            sys.exit(77)
        self.hosts = [int(word) for word in words[1:]]

    def tell(self, *words):
        self.child.stdin.write(" ".join(map(str, words)) + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    def on(self, n):
        """Words before a program's, that is to run on that host."""
        return ["nsenter", f"--net=/proc/{self.hosts[n]}/ns/net", "--"]


class Server(FakeServer):
    """Ours, on the second host."""

    def __init__(self, cable, *words, **more):
        self.cable = cable
        super().__init__(*words, "--bind", SERVER, **more)

    def start(self, program, *words):
        self.child = subprocess.Popen(
            [*self.cable.on(1), PYTHON, "-B", os.path.join(SUPPORT, program),
             *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def endpoint(self):
        return f"{self.scheme}://{SERVER}:{self.port}"

    def env(self):
        return {**super().env(), "no_proxy": SERVER}

    def control(self, do, **words):
        with inside(self.cable.hosts[1]):
            return tell(self.port, self.context, SERVER, do=do, **words)


class Here:
    """The first host: what runs there, and what the link does meanwhile."""

    def __init__(self, world, cable, s3):
        self.world, self.cable, self.s3 = world, cable, s3
        world.run("repo", "init", world.path("disk"), "--key-file",
                  world.path("key"))
        begin(world, world.path("disk"), s3, init=False, big=4 * MIB)
        world.env["SNAPCTL_TEST_PATIENCE_MS"] = "20000"
        self.there = s3.url("backup", "r2")
        self.done(self.spawn("region", "add", "far", self.there))
        world.run("snapshot", "create", world.tree)

    def spawn(self, *words):
        return subprocess.Popen(
            [*self.cable.on(0), SNAPCTL, "--json", *words], text=True,
            env=self.world.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def done(self, child, status=0):
        out, err = child.communicate(timeout=LIMIT)
        check(child.returncode == status, (child.returncode, out, err))
        return out + err

    def copy(self):
        return self.spawn("replicate", "--to", self.there)

    def restore(self):
        self.out = self.world.path("out-" + os.urandom(4).hex())
        return self.again()

    def again(self):
        return self.spawn("restore", "latest:" + self.world.tree, "--to",
                          self.out, "--repo", self.there)

    def happened(self, child, what):
        """In the middle of what the child does, and it is under way still;
        unless the link is whole already, and it may be fast."""
        wait_for("it to happen", lambda: child.poll() is not None or
                 self.cable.tell("due") == "no")
        if self.cable.tell("due") != "no" or \
                MENDS[what] and child.poll() is not None:
            raise snap.Failed((what, *child.communicate()))

    def is_there(self):
        found = tree_compare.differences(self.world.tree, self.out)
        check(found == [], found[:5])

    def is_sound(self):
        """Over there, to the last byte; and nothing is left under way."""
        self.done(self.spawn("repo", "check", "--read-data", "--repo",
                             self.there))
        check(self.s3.control("uploads") == [], self.s3.control("uploads"))


@contextmanager
def two_hosts(world):
    with Cable() as cable, Server(cable, buckets=["backup"]) as s3:
        yield Here(world, cable, s3)


def changed(here, seed):
    write(os.path.join(here.world.tree, "big"), 4 * MIB, seed)
    here.world.run("snapshot", "create", here.world.tree)


# What brings back what happened; a reset is over at once.
MENDS = {"cut": "mend", "down": "up", "reset": None}


def it_goes_on(world):
    """Each thing once while it is copied, and once while it is restored."""
    with two_hosts(world) as here:
        for seed, (what, mend) in enumerate(MENDS.items()):
            changed(here, seed)
            here.cable.tell("after", 2 * MIB, "there", what)
            child = here.copy()
            here.happened(child, what)
            if mend:
                check(here.cable.tell(mend) == "ok", mend)
            told = here.done(child)
            check('"failed":0' in told, told)
            here.cable.tell("after", 2 * MIB, "back", what)
            child = here.restore()
            here.happened(child, what)
            if mend:
                check(here.cable.tell(mend) == "ok", mend)
            here.done(child)
            here.is_there()
        here.is_sound()


def told_unreached(told):
    """Whichever of its requests it waited for last."""
    check(("did not answer in time" in told or "cannot be reached" in told) and
          f'\\"{SERVER}:' in told and "try again" in told, told)


def it_stays_away(world):
    """Longer than anybody waits: it is told, and gone on with later."""
    with two_hosts(world) as here:
        world.env["SNAPCTL_TEST_PATIENCE_MS"] = "700"
        here.cable.tell("after", 2 * MIB, "there", "cut")
        told_unreached(here.done(here.copy(), 6))
        check(here.cable.tell("due") == "no", "it was not cut")
        here.cable.tell("mend")
        here.done(here.copy())
        here.cable.tell("after", 2 * MIB, "back", "cut")
        told_unreached(here.done(here.restore(), 6))
        here.cable.tell("mend")
        here.done(here.again())
        here.is_there()
        here.is_sound()


snap.tell_at_once(it_goes_on, it_stays_away)
