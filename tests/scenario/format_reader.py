#!/usr/bin/python3
"""Goal of this test: what snapctl stores is what FORMAT.md says, and what it
restores is what was there.

A tree of everything that Linux holds goes into a repository. From there it is
restored by tests/format/reader.py, which shares no code with snapctl, and by
snapctl; both are compared with the original and with each other by a third
program that knows nothing of either.  With "root" as a second argument the
tree also holds what only root can make.
"""
import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import snap
from snap import LIMIT, SNAPCTL, check

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
READER = os.path.join(TESTS, "format", "reader.py")
sys.path.insert(0, os.path.join(TESTS, "support"))

import everything  # noqa: E402
import tree_compare  # noqa: E402

PRIVILEGED = sys.argv[2:] == ["root"]


def room():
    """A file system that takes attributes and keeps holes: one in memory,
    unless it is small or its kernel old."""
    try:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as f:
            os.setxattr(f.name, "user.test", b"1")
            free = os.statvfs(f.name)
        if free.f_bavail * free.f_frsize >= 1 << 30:
            return "/dev/shm"
    except OSError:
        pass
    return "/var/tmp"


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def equal(left, right, root=True):
    found = tree_compare.differences(left, right, root)
    check(not found, f"{left} and {right} differ in {len(found)} things: " +
          "; ".join(d[:300] for d in found[:10]))


class Keeper:
    """A repository, the tree that it keeps, and two who restore it."""

    def __init__(self, world):
        self.world, self.number = world, 0
        self.repo, self.tree = world.path("repo"), world.path("tree")
        self.key = world.path("key")
        world.env |= {"SNAPCTL_REPO": self.repo, "SNAPCTL_KEY_FILE": self.key}
        world.run("repo", "init", self.repo, "--key-file", self.key)

    def snapshot(self, *words):
        done = self.world.json("snapshot", "create", self.tree, *words)
        check(done["state"] == "complete" and not done["errors"], done)
        return done["snapshot"]

    def reader(self, *words, status=0, secret=()):
        p = subprocess.run(
            [sys.executable, READER, "--repo", self.repo,
             *(secret or ("--key-file", self.key)), *words],
            capture_output=True, timeout=LIMIT)
        check(p.returncode == status, (words, p.returncode, p.stderr,
                                       p.stdout[-3000:]))
        return p.stdout.decode(errors="surrogateescape")

    def fresh(self):
        self.number += 1
        return self.world.path(f"out{self.number}")

    def restore(self, what, to, *words, status=0):
        return self.world.json("restore", what, "--to", to, *words,
                               status=status)

    def prove(self, snapshot, like):
        """Both restore it, and all agree with what it was made of."""
        ours, theirs = self.fresh(), self.fresh()
        what = f"{snapshot}:{self.tree}"
        self.reader("restore", what, theirs)
        done = self.restore(what, ours)
        check(not done["errors"] and not done["left_out"], done)
        equal(like, theirs)
        equal(like, ours)
        equal(ours, theirs)
        self.reader("compare", what, ours)
        self.reader("compare", what, like)
        shutil.rmtree(theirs)
        shutil.rmtree(ours)


def make(world):
    keeper = Keeper(world)
    everything.make(os.fsencode(keeper.tree), 1, PRIVILEGED)
    return keeper


@functools.lru_cache
def kept():
    """A tree and its snapshot for the stories that change neither."""
    world = snap.World()
    atexit.register(world.close)
    keeper = make(world)
    return keeper, keeper.snapshot()


def change(tree):
    """Some of everything: bytes, names, types, metadata."""
    def at(*names):
        return os.path.join(tree, *names)

    write(at("many", "17"), b"changed")
    write(at("sizes", "new"), b"new" * 100000)
    with open(at("sizes", "random"), "r+b") as f:
        f.seek(5_000_000)
        f.write(b"in the middle")
    os.remove(at("many", "100"))
    os.remove(at("names", "a!b"))
    os.remove(at("links", "m", "file"))
    os.rename(at("many", "200"), at("many", "renamed"))
    os.rename(at("times"), at("times moved"))
    os.chmod(at("many", "300"), 0o600)
    os.setxattr(at("many", "301"), "user.new", b"1")
    os.removexattr(at("attributes", "file"), "user.empty")
    os.remove(at("specials", "fifo"))
    os.mkdir(at("specials", "fifo"))
    os.utime(at("many", "302"), ns=(5, 5))
    with open(at("holes", "middle"), "r+b") as f:
        f.seek(500 << 20)
        f.write(b"no hole here")


def everything_comes_back(_):
    keeper, snapshot = kept()
    keeper.prove(snapshot, keeper.tree)
    check("sound" in keeper.reader("verify"), "verify")
    # Full paths below the folder, and the folders above as they are.
    ours, theirs = keeper.fresh(), keeper.fresh()
    # For others than root those above are not theirs: left out, and told.
    keeper.restore(snapshot, ours, status=3 if os.geteuid() else 0)
    keeper.reader("restore", snapshot, theirs)
    equal(ours, theirs)
    equal(keeper.tree, ours + keeper.tree)
    # Both list the same.
    paths = keeper.reader("paths", snapshot).split("\0")[:-1]
    listed = keeper.world.json("ls", snapshot)
    check(len(paths) == len(listed), (len(paths), len(listed)))


def second_snapshot_and_keys(world):
    keeper = make(world)
    first, before = keeper.snapshot(), keeper.fresh()
    keeper.reader("restore", f"{first}:{keeper.tree}", before)
    equal(keeper.tree, before)
    change(keeper.tree)
    second = keeper.snapshot()
    keeper.prove(second, keeper.tree)
    keeper.prove(first, before)
    # A passphrase opens the same.
    phrase, other = world.path("phrase"), world.path("other")
    write(phrase, "correct h\u00f6rse".encode() + b"\n")
    os.chmod(phrase, 0o600)
    world.run("key", "add", "--new-passphrase-file", phrase, "--label", "p")
    world.run("key", "add", "--new-key-file", other, "--label", "other")
    by_key = keeper.reader("list")
    for secret in (("--passphrase-file", phrase), ("--key-file", other)):
        check(keeper.reader("list", secret=secret) == by_key, "lists differ")
    check("sound" in keeper.reader("verify",
                                   secret=("--passphrase-file", phrase)), "")
    # Revoked, it opens nothing, and what is new is of a new epoch.
    slot = next(s for s in world.json("key", "list")
                if s["label"] == "other")["slot"]
    world.run("key", "revoke", slot)
    keeper.reader("list", secret=("--key-file", other), status=4)
    world.run("snapshot", "list", "--key-file", other, status=4)
    write(os.path.join(keeper.tree, "after"), b"sealed by the second epoch")
    third = keeper.snapshot()
    check("sound" in keeper.reader("verify"), "verify")
    check("sound" in keeper.reader("verify",
                                   secret=("--passphrase-file", phrase)), "")
    keeper.prove(third, keeper.tree)
    # Deleted, and back: both see it.
    world.run("snapshot", "delete", second)
    rows = {r["id"]: r["deleted"]
            for r in snap.json.loads(keeper.reader("list"))}
    check(rows == {first: False, second: True, third: False}, rows)
    world.run("snapshot", "undelete", second)
    rows = snap.json.loads(keeper.reader("list"))
    check(not any(r["deleted"] for r in rows), rows)
    check("sound" in keeper.reader("verify"), "verify")


def parts(_):
    keeper, snapshot = kept()
    for part in ("names", "links", "deep", "holes", "attributes", "times"):
        ours = keeper.fresh()
        keeper.restore(f"{snapshot}:{keeper.tree}/{part}", ours)
        equal(os.path.join(keeper.tree, part), ours)
    for part in ("sizes/text", "names/La!b", "specials/fifo"):
        ours, theirs = keeper.fresh(), keeper.fresh()
        what = f"{snapshot}:{keeper.tree}/{part}"
        keeper.restore(what, ours)
        keeper.reader("restore", what, theirs)
        equal(ours, theirs, root=False)
    text = subprocess.run(
        [SNAPCTL, "cat", f"{snapshot}:{keeper.tree}/sizes/text"],
        env=keeper.world.env, capture_output=True, check=True,
        timeout=LIMIT).stdout
    with open(os.path.join(keeper.tree, "sizes", "text"), "rb") as f:
        check(text == f.read(), "cat")
    patterns(keeper, snapshot)


def there(folder):
    return {os.fsdecode(path).lstrip("/")
            for path, about in tree_compare.walk(os.fsencode(folder))
            if "same as" in about}


def patterns(keeper, snapshot):
    """--include and --exclude choose, and change nothing of what they chose;
    anchored patterns are paths as they were."""
    what = f"{snapshot}:{keeper.tree}"
    whole = there(keeper.tree)
    for words, wanted in (
            (("--include", "links/"),
             lambda p: p.startswith("links/")),
            (("--include", "*9"), lambda p: p.endswith("9")),
            (("--exclude", "many/", "--exclude", keeper.tree + "/sizes/r*"),
             lambda p: not p.startswith(("many/", "sizes/r"))),
            (("--include", keeper.tree + "/many/*", "--exclude", "*1"),
             lambda p: p.startswith("many/") and not p.endswith("1"))):
        ours = keeper.fresh()
        keeper.restore(what, ours, *words)
        found, expected = there(ours), {p for p in whole if wanted(p)}
        check(found == expected, (words, sorted(found ^ expected)[:10]))
        keeper.reader("compare", "--partly", what, ours)
        shutil.rmtree(ours)


def overwriting(_):
    keeper, snapshot = kept()
    what = f"{snapshot}:{keeper.tree}"

    def spoilt():
        """A restored tree with changes; and which of them are content."""
        out = keeper.fresh()
        keeper.restore(what, out)
        at = os.path.join(out, "many", "")
        stat = os.stat(at + "1")
        write(at + "1", bytes(stat.st_size))  # looks unchanged
        os.utime(at + "1", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        write(at + "2", b"another size")
        os.chmod(at + "3", 0o777)
        os.setxattr(at + "4", "user.stranger", b"1")
        os.remove(at + "5")
        os.remove(at + "6")
        os.symlink("/etc/passwd", at + "6")
        os.remove(os.path.join(out, "links", "m", "file"))
        shutil.rmtree(os.path.join(out, "deep"))
        return out, at

    out, at = spoilt()
    done = keeper.restore(what, out, "--overwrite", "changed")
    check(done["reused"] > 1500, done)
    with open(at + "1", "rb") as f:
        check(not f.read().strip(b"\0"), "changed looked at the bytes")
    shutil.copyfile(os.path.join(keeper.tree, "many", "1"), at + "1")
    keeper.restore(what, out, "--overwrite", "changed")
    equal(keeper.tree, out, root=False)
    shutil.rmtree(out)

    out, at = spoilt()
    done = keeper.restore(what, out, "--overwrite", "always")
    check(done["reused"] == 0, done)
    equal(keeper.tree, out, root=False)
    shutil.rmtree(out)

    out, at = spoilt()
    write(at + "stranger", b"stays")
    keeper.restore(what, out, "--overwrite", "never")
    with open(at + "2", "rb") as f:
        check(f.read() == b"another size", "never wrote over a file")
    check(os.readlink(at + "6") == "/etc/passwd", "never wrote over a link")
    equal(os.path.join(keeper.tree, "deep"), os.path.join(out, "deep"))
    # A folder that was there shows that a file was put into it.
    was = os.stat(os.path.join(keeper.tree, "links", "m"))
    put = os.path.join(out, "links", "m")
    check(os.stat(put).st_mtime_ns != was.st_mtime_ns, "never wrote over times")
    os.utime(put, ns=(was.st_atime_ns, was.st_mtime_ns))
    equal(os.path.join(keeper.tree, "links"), os.path.join(out, "links"),
          root=False)
    check(os.path.exists(at + "stranger"), "a stranger was deleted")
    shutil.rmtree(out)

    # Into an empty folder all three are one.
    out = keeper.fresh()
    keeper.restore(what, out, "--overwrite", "never")
    equal(keeper.tree, out)
    # And a dry run touches nothing.
    out, at = spoilt()
    copy = keeper.fresh()
    subprocess.run(["cp", "-a", out, copy], check=True)
    keeper.restore(what, out, "--dry-run", "--overwrite", "always")
    equal(copy, out)


def interrupted(_):
    """Ended again and again, it continues; nothing is left behind."""
    keeper, snapshot = kept()
    what, out = f"{snapshot}:{keeper.tree}", keeper.fresh()
    calls = keeper.world.path("calls")
    keeper.world.json("restore", what, "--to", keeper.fresh(),
                      SNAPCTL_TEST_SEAM="count:" + calls)
    with open(calls, encoding="ascii") as f:
        some = int(f.read()) // 8
    for number in range(7):
        process = subprocess.Popen(
            [SNAPCTL, "-q", "restore", what, "--to", out],
            env={**keeper.world.env, "SNAPCTL_TEST_SEAM": f"stop:{some}"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # It stops itself in the middle of its work.
        done = os.waitid(os.P_PID, process.pid,
                         os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        check(done.si_code == os.CLD_STOPPED, (number, done))
        process.send_signal((signal.SIGKILL, signal.SIGTERM)[number % 2])
        process.send_signal(signal.SIGCONT)
        check(process.wait(timeout=LIMIT) != 0, number)
    done = keeper.restore(what, out)
    check(done["reused"] > 0 and not done["errors"], done)
    # A folder that was there before is its owner's: the top stays as it is.
    equal(keeper.tree, out, root=False)
    check("sound" in keeper.reader("verify"), "verify")


def unless_root_may():
    with tempfile.TemporaryDirectory() as folder:
        why = everything.lacking(os.fsencode(folder))
    if why:
        print("SKIPPED format_reader_root: owners, devices, capabilities, "
              "trusted attributes need root with all its rights:", why,
              flush=True)
        sys.exit(77)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    tempfile.tempdir = room()
    if PRIVILEGED:
        unless_root_may()
    snap.tell(everything_comes_back, second_snapshot_and_keys, parts,
              overwriting, interrupted)
