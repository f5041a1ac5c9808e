#!/usr/bin/python3
"""Goal of this test: what earlier programs wrote is kept readable for ever.

tests/golden holds a repository of each version of the format, made once by the
program of then.  Here it is checked, listed, restored, gone on with, collected,
copied, and its catalog is rebuilt, at a clock that says it is an hour later.
"""
import json
import os
import stat
import sys
import tarfile
import time

import snap
from picture import picture
from snap import check, wait_for

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOLDEN = os.path.join(TESTS, "golden")
sys.path.insert(0, GOLDEN)

import golden_tree  # noqa: E402
import make  # noqa: E402

VERSIONS = [1]
OWNERS = slice(1, 3)  # in a picture's entry
# For others than root owners are told as left out.
RESTORED = 3 if os.geteuid() else 0
SETUID = stat.S_ISUID | stat.S_ISGID


class Golden:
    """One of the repositories, unpacked, and what was known of it."""

    def __init__(self, world, version):
        self.world, self.number = world, 0
        with open(os.path.join(GOLDEN, f"v{version}.json"),
                  encoding="ascii") as f:
            self.facts = json.load(f)
        folder = world.path("golden")
        with tarfile.open(os.path.join(GOLDEN, f"v{version}.tar")) as tar:
            tar.extractall(folder)
        self.here = os.path.join(folder, "here")
        self.there = os.path.join(folder, "there")
        self.key = os.path.join(folder, "key")
        self.phrase = os.path.join(folder, "passphrase")
        for secret in (self.key, self.phrase):
            os.chmod(secret, 0o600)
        world.env |= {"SNAPCTL_REPO": self.here, "SNAPCTL_KEY_FILE": self.key}
        world.env.pop("SNAPCTL_TEST_RUN", None)
        self.later(3600)

    def later(self, seconds):
        """The clock, so long after it was made."""
        self.world.set_clock(self.facts["made"] + seconds - time.time())

    def restore(self, snapshot, repo):
        """It comes back as it was, to the byte and the nanosecond."""
        self.number += 1
        to = self.world.path(f"out{self.number}")
        tree = os.path.join(self.facts["root"], "tree")
        self.world.run("restore", f"{snapshot}:{tree}", "--to", to, "--repo",
                       repo, status=RESTORED)
        same(make.plain(picture(to)), self.facts["trees"][snapshot])

    def there_now(self):
        return [s for s in self.facts["trees"] if s != self.facts["deleted"]]


def same(found, wanted):
    check(found.keys() == wanted.keys(), (found.keys(), wanted.keys()))
    for path, entry in wanted.items():
        entry, now = list(entry), list(found[path])
        if os.geteuid():  # nobody else gives files away, with such bits
            entry[OWNERS] = now[OWNERS] = []
            entry[0], now[0] = entry[0] & ~SETUID, now[0] & ~SETUID
        check(now == entry, (path, now, entry))


def covers(found, wanted, where="it"):
    """found says all that wanted says; a later program may say more."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            check(key in found, f"{where} has no {key}")
            covers(found[key], value, f"{where}.{key}")
    elif isinstance(wanted, list):
        check(len(found) == len(wanted), (where, found, wanted))
        for number, pair in enumerate(zip(found, wanted)):
            covers(*pair, f"{where}[{number}]")
    else:
        check(found == wanted, (where, found, wanted))


def is_sound_and_lists(golden):
    world = golden.world
    for region in (golden.here, golden.there):
        world.run("repo", "check", "--read-data", "--repo", region)
    covers(world.json("snapshot", "list"), golden.facts["snapshots"])
    covers(world.json("snapshot", "list", "--repo", golden.there),
           golden.facts["elsewhere"])
    covers(world.json("hold", "list"), golden.facts["holds"])
    covers(world.json("key", "list"), golden.facts["keys"])
    # By passphrase, too.
    by_phrase = dict(world.env)
    world.env.pop("SNAPCTL_KEY_FILE")
    covers(world.json("snapshot", "list", "--passphrase-file", golden.phrase),
           golden.facts["snapshots"])
    world.env |= by_phrase


def comes_back(golden):
    for snapshot in golden.there_now():
        golden.restore(snapshot, golden.here)
    for row in golden.facts["elsewhere"]:
        if row["id"] in golden.facts["trees"]:
            golden.restore(row["id"], golden.there)
    for path in ("long", "small"):
        whole = f"{golden.there_now()[0]}:{golden.facts['root']}/tree/{path}"
        check(golden.world.run("cat", whole), whole)


def deletions_are_what_they_were(golden):
    world, gone = golden.world, golden.facts["deleted"]
    row = world.json("snapshot", "show", gone)
    check(row["deleted"], row)
    world.run("snapshot", "undelete", gone)
    golden.restore(gone, golden.here)
    world.run("snapshot", "delete", golden.facts["held"], status=7)


def goes_on(golden):
    """A snapshot of the same data finds most of it stored."""
    world = golden.world
    tree = world.path("tree")
    golden_tree.make(tree, os.geteuid() == 0)
    golden_tree.change(tree)
    golden_tree.put(os.path.join(tree, "now"), golden_tree.noise(3, 5000))
    done = world.json("snapshot", "create", tree)
    check(done["state"] == "complete", done)
    new = done["bytes_new"]
    check(0 < new < 40000, f"{new} bytes are new")
    to = world.path("again")
    world.run("restore", f"{done['snapshot']}:{tree}", "--to", to,
              status=RESTORED)
    same(make.plain(picture(to)), make.plain(picture(tree)))
    # Each change of keys goes on from there.
    world.run("key", "add", "--new-key-file", world.path("fresh"), "--label",
              "fresh")
    slot = next(s["slot"] for s in world.json("key", "list")
                if s["label"] == "fresh")
    world.run("key", "revoke", slot)
    world.run("region", "add", "third", world.path("third"))
    world.run("replicate", "--to", world.path("third"))
    world.run("repo", "check", "--read-data", "--repo", world.path("third"))
    golden.restore(golden.there_now()[0], world.path("third"))
    world.run("repo", "check", "--read-data")


def is_collected(golden):
    """Years later: what was deleted goes, all else stays."""
    world = golden.world
    golden.later(3 * 365 * 86400)
    for _ in range(2):
        world.run("repo", "gc", "--grace", "0s")
    world.run("repo", "check", "--read-data")
    world.run("snapshot", "show", golden.facts["deleted"], status=5)
    for snapshot in golden.there_now():
        golden.restore(snapshot, golden.here)


def brings_its_catalog_back(golden):
    world, facts = golden.world, golden.facts
    rebuild = ("catalog", "rebuild", "--repo", golden.here, "--key-file",
               golden.key, "--name", "main")
    world.run(*rebuild)
    os.mkdir(world.path("keys"), 0o700)
    os.link(golden.key, world.path("keys/main.key"))
    world.start()
    for name in ("resources", "retention", "runs", "audit"):
        covers(make.ASK[name](world), facts[name], name)
    world.run("audit", "verify")
    # Its runs go on where it lies now.
    tree = world.path("tree")
    golden_tree.make(tree, os.geteuid() == 0)
    world.apply(make.DECLARED.format(root=world.root))
    wait_for("a run", lambda: make.run_schedule(world))
    world.stop()


def told_by(version, part):
    def story(world):
        part(Golden(world, version))
    story.__name__ = f"version_{version}_{part.__name__}"
    return story


if __name__ == "__main__":
    snap.tell(*[told_by(version, part) for version in VERSIONS for part in (
        is_sound_and_lists, comes_back, deletions_are_what_they_were, goes_on,
        is_collected, brings_its_catalog_back)])
