#!/usr/bin/python3
"""Goal of this test: what someone reads when a repository says no.

Each row is a request that fails, its exit status, and words of the sentence
and of the advice.  Nothing may be left half-done, and names of any bytes must
come back as they were.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import snap
from runs import ended
from snap import LIMIT, SNAPCTL, check, wait_for


def without_ids(text):
    """Objects have new names each time."""
    return re.sub("([0-9a-f]{2}/)?[0-9a-f]{32}", "ID", text)


# Full paths begin with folders of root's, whose owner others cannot restore.
RESTORED = 3 if os.geteuid() else 0


class Engine:
    """A repository with its key, and a tree to protect."""

    def __init__(self, world):
        self.world = world
        world.env.pop("SNAPCTL_TEST_RUN", None)
        world.env["SNAPCTL_REPO"] = world.path("repo")
        world.env["SNAPCTL_KEY_FILE"] = world.path("key")
        self.tree = world.path("tree")
        os.mkdir(self.tree)
        self.write("tree/a", "first")
        world.run("repo", "init", world.path("repo"), "--key-file",
                  world.path("key"))

    def write(self, name, text, mode=0o600):
        path = self.world.path(name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def snapshot(self, *words, **more):
        return self.world.json("snapshot", "create", self.tree, *words,
                               **more)["snapshot"]

    def refuses(self, status, told, *words, hint=True, **env):
        """One sentence with the words of told, and a line of advice."""
        world = self.world
        world.run(*words, status=status, **env)
        lines = world.err.rstrip("\n").split("\n")
        check(len(lines) == 1 + hint and lines[0].startswith("snapctl: ") and
              all(x.startswith("  ") for x in lines[1:]), (words, world.err))
        for part in told:
            check(part in world.err, (words, part, world.err))
        # What is said in JSON is the same, and a hint is always a string.
        error = json.loads(world.run("--json", *words, status=status,
                                     **env))["error"]
        check(without_ids("snapctl: " + error["message"]) ==
              without_ids(lines[0]), (words, error))
        check(("  " + error["hint"] if hint else error["hint"]) ==
              (lines + [""])[1], (words, error))


def keys(world):
    engine = Engine(world)
    engine.snapshot()
    listing = ("snapshot", "list")
    engine.refuses(2, ["no key is given", "--key-file"], *listing,
                   SNAPCTL_KEY_FILE="")
    engine.refuses(5, ["no such file", "copy"], *listing, "--key-file",
                   world.path("absent"))
    phrase = engine.write("phrase", "open sesame\n")
    engine.refuses(2, ["no key file", "--passphrase-file"], *listing,
                   "--key-file", phrase)
    world.run("key", "add", "--new-passphrase-file", phrase)
    world.run(*listing, "--passphrase-file", phrase)
    world.run(*listing, "--passphrase-file", "-", stdin="open sesame\n")
    wrong = engine.write("wrong", "open barley\n")
    engine.refuses(4, ["the passphrase opens none of its 2 key slots",
                       "mistyped"], *listing, "--passphrase-file", wrong)
    world.run("repo", "init", world.path("other"), "--key-file",
              world.path("other.key"))
    engine.refuses(4, ["the key opens none of its 2 key slots", "revoked"],
                   *listing, "--key-file", world.path("other.key"))
    # What opens every snapshot must not be for all to read.
    for option, name in (("--key-file", "key"), ("--passphrase-file",
                                                 "phrase")):
        os.chmod(world.path(name), 0o644)
        engine.refuses(7, ["others may read it (mode 0644)",
                           "chmod 600 " + world.path(name)],
                       *listing, option, world.path(name))
        os.chmod(world.path(name), 0o600)
    engine.refuses(5, ['no key slot "xx"', "key list"], "key", "revoke", "xx")


def nothing_in_the_clear(world):
    """There is no mode without a key, and what is stored tells nothing of
    what it is of: no content, compressed or not, no name, no tag."""
    engine = Engine(world)
    bare = world.path("bare")
    engine.refuses(2, ["no key is given", "--key-file"], "repo", "init", bare,
                   SNAPCTL_KEY_FILE="")
    check(not os.path.exists(bare), "a repository without a key")
    noise = os.urandom(40).hex()
    engine.write("tree/name-of-a-file", noise)
    engine.write("tree/text", "what anybody could read\n" * 3000)
    engine.snapshot("--tag", "tag-of-it", "--source", "name-of-a-source")
    told = [noise[:20], noise[40:60], "name-of-a", "tag-of-it",
            "what anybody could read", os.uname().nodename + "\n"]
    seen = 0
    for folder, _, names in os.walk(world.path("repo")):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                stored = f.read()
            seen += len(stored)
            for text in told:
                check(text.encode() not in stored and text not in name,
                      (name, text))
    check(seen > 1000, seen)


def what_cannot_be_read_is_named(world):
    """A snapshot without all is partial, says so, and is not success."""
    os.chmod(world.root, 0o777)
    Engine(world)
    tree = world.path("tree")
    os.chmod(tree, 0o755)
    os.chmod(os.path.join(tree, "a"), 0o644)
    closed = os.path.join(tree, "closed")
    os.close(os.open(closed, os.O_CREAT, 0o000))
    access = ["--repo", world.path("r"), "--key-file", world.path("k")]

    def run(*words, status):
        if os.geteuid() == 0:
            p = world.run_as_nobody(*words)
            check(p.returncode == status, (words, p))
            return p.stdout + p.stderr
        return world.run(*words, status=status) + world.err

    run("repo", "init", *access[1:], status=0)
    told = run("snapshot", "create", tree, *access, status=3)
    check(closed in told, told)
    rows = json.loads(run("snapshot", "list", "--json", *access, status=0))
    check([r["state"] for r in rows] == ["partial"], rows)
    os.unlink(closed)
    run("snapshot", "create", tree, *access, status=0)


def documents(world):
    """A manifest that is not UTF-8 is told by its line, as any mistake is."""
    engine = Engine(world)
    world.start()
    name = world.path("m.yaml")
    for text, told in [(b"kind: x\na\xff: 1\n", "m.yaml:2: "),
                       (b"\xff", "m.yaml:1: "),
                       (b"a\0\n", "m.yaml holds a zero byte")]:
        with open(name, "wb") as f:
            f.write(text)
        engine.refuses(2, [told], "apply", "-f", name)
    world.stop()


def places(world):
    engine = Engine(world)
    engine.refuses(2, ["needs --repo", "SNAPCTL_REPO"], "snapshot", "list",
                   SNAPCTL_REPO="")
    engine.refuses(6, ['"main"', "not running", "file:///"],
                   "snapshot", "list", "--repo", "main")
    engine.refuses(5, ["there is no such folder", "mounted"], "snapshot",
                   "list", "--repo", world.path("absent"))
    engine.refuses(5, ["there is no repository", "repo init"], "snapshot",
                   "list", "--repo", engine.tree)
    engine.refuses(2, ["gone", "file:///"], "repo", "init", "mem:x",
                   "--key-file", world.path("new.key"))
    engine.snapshot()
    engine.refuses(1, ["there is a repository already"], "repo", "init",
                   world.path("repo"), "--key-file", world.path("new.key"))
    engine.refuses(1, ['it is not empty: it holds "a"'], "repo", "init",
                   engine.tree, "--key-file", world.path("new.key"))
    check(not os.path.exists(world.path("new.key")), "a key for nothing")
    # Also what no object could be called, or be.
    os.mkdir(world.path("taken"))
    for name, make in [("READ ME", lambda n: os.close(os.open(n, os.O_CREAT))),
                       (".hidden", os.mkdir), ("Docs", os.mkdir),
                       ("link", lambda n: os.symlink("nowhere", n)),
                       ("pipe", os.mkfifo)]:
        make(world.path("taken/" + name))
        for words in (["repo", "init", world.path("taken"), "--key-file",
                       world.path("new.key")],
                      ["region", "add", "there", world.path("taken")]):
            engine.refuses(1, [f'it is not empty: it holds "{name}"'], *words)
        check(os.listdir(world.path("taken")) == [name], "something changed")
        check(not os.path.exists(world.path("new.key")), "a key for nothing")
        subprocess.run(["rm", "-r", world.path("taken/" + name)], check=True)
    os.mkdir(world.path("taken/lost+found"))
    world.run("repo", "init", world.path("taken"))
    # A refusal leaves no folder.
    init = ("repo", "init", world.path("a/b"))
    bad = engine.write("bad", "no key\n")
    for status, words, env in [
            (2, [], {"SNAPCTL_KEY_FILE": ""}),
            (2, ["--key-file", bad], {}),
            (5, ["--key-file", world.path("a/b/key")], {}),
            (5, ["--key-file", world.path("absent/key")], {}),
            (5, ["--passphrase-file", world.path("absent")],
             {"SNAPCTL_KEY_FILE": world.path("new.key")}),
    ]:
        world.run(*init, *words, status=status, **env)
        check(not os.path.exists(world.path("a")), (words, "made a folder"))
    os.chmod(bad, 0o644)
    world.run(*init, "--key-file", bad, status=7)
    check(not os.path.exists(world.path("a")), "made a folder")
    engine.write("file", "")
    world.run("repo", "init", world.path("file/x"), "--key-file",
              world.path("new.key"), status=2)
    check(not os.path.exists(world.path("new.key")), "a key for nothing")


def formats(world):
    engine = Engine(world)
    engine.snapshot()
    config = world.path("repo/config")
    with open(config, "rb") as f:
        right = f.read()
    for at, status, told in [(9, 1, ["version 1", "upgrade"]),
                             (8, 4, ['object "config"', "other regions"]),
                             (20, 4, ['object "config"', "other regions"])]:
        wrong = bytearray(right)
        wrong[at] ^= 1
        os.chmod(config, 0o600)
        with open(config, "wb") as f:
            f.write(wrong)
        engine.refuses(status, told, "snapshot", "list")
        engine.refuses(status, told, "restore", "latest", "--to",
                       world.path("out"))
    check(not os.path.exists(world.path("out")), "a restore began")


def snapshots(world):
    engine = Engine(world)
    first = engine.snapshot("--source", "web")
    engine.snapshot("--source", "mail")
    for text, status, told in [
            ("latest", 2, ["several sources", "web", "mail", "--source"]),
            ("zz", 5, ['no snapshot "zz"', "32 hexadecimal"]),
            (first[:-1] + "x", 5, ["no snapshot"]),
            ("", 5, ["no snapshot"]),
    ]:
        engine.refuses(status, told, "ls", text)
    for name in "", "Web", "-", "a/b":
        engine.refuses(2, [f'"{name}" is no name', "ad hoc"], "snapshot",
                       "create", engine.tree, "--source", name)
    engine.refuses(5, ["no complete ad hoc"], "ls", "latest", "--source", "")
    engine.refuses(5, ['source "wbe"', "snapshot list"], "ls", "latest",
                   "--source", "wbe")
    engine.refuses(5, ["is not in snapshot", "snapctl ls"], "ls",
                   first + ":/absent")
    engine.refuses(2, ["is a folder", "restore"], "cat",
                   first + ":" + engine.tree)
    engine.refuses(2, ["is no path", "absolute"], "cat", first + ":a")
    engine.refuses(2, ["no command", "snapshot diff"], "diff", first, first)
    out = world.path("out")
    for words, told in [
            (["cat", first], ["no file is named", "latest:/etc/hosts"]),
            (["restore", first], ["where to?", "--to DIR"]),
            (["restore", first, "--output", out], ["no file is named",
                                                   "SNAP:PATH"]),
            (["snapshot", "create", engine.tree, "--tag", "=x"],
             ['"=x" is no tag', "KEY=VALUE"]),
            (["hold", "add", "--case", "C"], ["nothing to hold", "--source"]),
            (["replicate", "--to", "there"], ["name of a repository",
                                              '"there" as a location'])]:
        engine.refuses(2, told, *words)
    for words, told in [
            (["restore", first + ":/a", "--output", out, "--to", out],
             "--to means nothing with --output"),
            (["restore", first + ":/a", "--output", out, "--overwrite",
              "never"], "never means nothing with --output"),
            (["snapshot", "create", engine.tree, "--min-size", "1K"],
             "--min-size means nothing with --type files"),
            (["snapshot", "create", "--type", "command", "--timeout", "0s",
              "--file", "x", "true"], "within no time")]:
        world.run(*words, status=2)
        check(told in world.err, (words, world.err))
    check(not os.path.exists(out), "something was restored")
    # What somebody claims is kept beside what was seen.
    claimed = engine.snapshot("--source", "mail", "--time",
                              "2001-02-03T04:05:06Z")
    row, = [x for x in world.json("snapshot", "list") if x["id"] == claimed]
    check(row["time"].startswith("2001-02-03T04:05:06") and
          row["received"] > "2020", row)
    # Several snapshots with one first digit.
    ids = [first]
    while len({i[0] for i in ids}) == len(ids):
        ids.append(engine.snapshot("--source", "web"))
    twice = next(i[0] for i in ids if [j[0] for j in ids].count(i[0]) > 1)
    told = [s["id"] for s in world.json("snapshot", "list")
            if s["id"][0] == twice]
    engine.refuses(2, [f'"{twice}"', *told[:5]], "snapshot", "show", twice)
    for words in ["list"], ["find", "a"]:
        engine.refuses(5, ['"wbe"', '"web"'], "snapshot", *words, "--source",
                       "wbe")
        check(world.json("snapshot", *words, "--source", "") == [], words)
    # What looks like a restore and is none says so.
    last = world.json("snapshot", "list")[-1]["id"]
    for words, told in ((["--include", "nosuch"], "--include matches nothing"),
                        (["--dry-run"], "nothing was written"),
                        (["--include", "a", "--dry-run"], "dry run")):
        world.run("restore", last, "--to", out, *words,
                  status=0 if "--dry-run" in words else RESTORED)
        check(told in world.err, (words, world.err))
        check("a" not in os.listdir(out) if os.path.exists(out) else True,
              words)
    world.run("restore", last, "--to", out, "--include", "a",
              status=RESTORED)
    check("note" not in world.err, world.err)
    # An empty list says so where scripts do not look.
    check(world.run("snapshot", "find", "absent") == "", "lines")
    check(world.err == "(nothing to list)\n", world.err)
    world.run("snapshot", "find", "absent", "--quiet")
    check(world.err == "", world.err)
    check(world.json("snapshot", "find", "absent") == [], "JSON")


def ad_hoc(world):
    """One without a source beside others can be named, and they can."""
    engine = Engine(world)
    named = engine.snapshot("--source", "web")
    without = engine.snapshot()
    engine.refuses(2, ['"web"', "ad hoc", '--source ("" means'], "ls",
                   "latest")
    for source, snapshot in ("web", named), ("", without):
        check(world.json("snapshot", "show", "latest", "--source",
                         source)["id"] == snapshot, source)
    check('"" means' in world.run("restore", "--help"), "help")


def damaged_manifest(world):
    """What is asked for is never answered with something older."""
    engine = Engine(world)
    old = engine.snapshot()
    engine.write("tree/a", "second")
    new = engine.snapshot()
    [name] = [os.path.join(f, n) for f, _, names in
              os.walk(world.path("repo/snapshots")) for n in names
              if new in n]
    os.chmod(name, 0o600)
    with open(name, "r+b") as f:
        f.seek(-5, os.SEEK_END)
        last = f.read(1)
        f.seek(-5, os.SEEK_END)
        f.write(bytes([last[0] ^ 1]))
    for words in (["cat", "latest:" + engine.tree + "/a"],
                  ["restore", "latest", "--to", world.path("out")]):
        engine.refuses(4, [new, "damaged", old], *words)
    check(not os.path.exists(world.path("out")), "something was restored")
    engine.refuses(4, [new, "damaged", "another region"], "ls", new)
    # A list names what it cannot show, and shows all else.
    rows = world.json("snapshot", "list", status=4)
    check([x["id"] for x in rows] == [old] and new in world.err and
          "cannot be read" in world.err and "repo check" in world.err,
          (rows, world.err))
    world.run("restore", old, "--to", world.path("out"), status=RESTORED)


def holds(world):
    """A legal hold holds all that was asked for, or nothing."""
    engine = Engine(world)
    first = engine.snapshot("--source", "web")
    second = engine.snapshot("--source", "web")
    other = engine.snapshot("--source", "db")
    hold = ("hold", "add", first, "--source")
    engine.refuses(2, ["--case is empty"], *hold, "web", "--case", "")
    engine.refuses(2, ["--source is empty"], *hold, "", "--case", "C3")
    check(world.json("hold", "list") == [], "a hold after all")
    world.run(*hold, "web", "--case", "C3")
    check(world.err == "", world.err)
    [row] = world.json("hold", "list")
    check(row["source"] == "web" and row["snapshots"] == [first], row)
    held = {s["id"] for s in world.json("snapshot", "list") if s.get("held")}
    check(held == {first, second}, (held, other))
    world.run("hold", "add", "--source", "wbe", "--case", "C4")
    check('"wbe"' in world.err and '"web"' in world.err, world.err)
    # What is released is no longer listed, and holds nothing.
    for absent in "x", "0" * 32:
        engine.refuses(5, [f'no hold "{absent}"', "hold list"], "hold",
                       "release", absent)
    world.run("hold", "release", row["id"])
    check([h["source"] for h in world.json("hold", "list")] == ["wbe"],
          "released")
    check(not any(x.get("held") for x in world.json("snapshot", "list")),
          "still held")


REGIONS = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions:
  - {name: here, url: "file://ROOT/repo"}
  - {name: there, url: "file://ROOT/there"}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: web}
spec: {type: files, paths: [ROOT/tree]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [web]}
  repository: main
  replicateTo: [there]
  rpo: 26h
"""


def declared(world):
    """A repository of two regions, which the daemon knows as main."""
    engine = Engine(world)
    os.mkdir(world.path("keys"), 0o700)
    shutil.copy2(world.path("key"), world.path("keys/main.key"))
    world.env.pop("SNAPCTL_KEY_FILE")
    world.env["SNAPCTL_REPO"] = "main"
    world.start()
    world.apply(REGIONS.replace("ROOT", world.root))
    world.run("region", "add", "there", world.path("there"))
    return engine


def regions(world):
    engine = declared(world)
    engine.snapshot("--source", "web")
    world.run("snapshot", "delete", "latest")
    for name, status in ("web", 0), ("wbe", 5), ("new", 0):
        if name == "new":
            world.apply(REGIONS.replace("ROOT", world.root).replace(
                "{name: web}", "{name: new}").split("---")[1])
        world.run("snapshot", "list", "--source", name, status=status)
    engine.snapshot("--source", "web")
    # A location besides those that are declared belongs to no schedule.
    rows = world.json("region", "status", world.path("nowhere"), status=3)
    check([(r["region"], r["reachable"]) for r in rows] ==
          [("here", True), ("there", True), (None, False)], rows)
    check(rows[0]["rpo_seconds"] == rows[1]["rpo_seconds"] == 26 * 3600, rows)
    rows = world.json("region", "list")
    check([(r["region"], r["primary"]) for r in rows] ==
          [("here", True), ("there", False)] and
          rows[1]["url"].endswith("/there"), rows)
    key = ("--key-file", world.path("key"))
    [row] = world.json("region", "list", "--repo", world.path("repo"), *key)
    check(row["primary"] and row["url"] == world.path("repo"), row)
    # One that is named, and no other; slowly, if that is asked for.
    engine.snapshot("--source", "web")
    chosen = engine.snapshot("--source", "web")
    engine.snapshot("--source", "web")
    reply = world.json("replicate", chosen, "--to", "there", "--limit", "10M")
    check([x["snapshot"] for x in reply["snapshots"]] == [chosen] and
          reply["copied"] == 1, reply)
    engine.refuses(5, ["no region at", "region add"], "replicate", "--to",
                   engine.tree)
    engine.refuses(5, ['declares no region "elsewhere"'], "replicate", "--to",
                   "elsewhere", hint=False)
    engine.refuses(2, ['"No Name" is no name of a region', "lower-case"],
                   "region", "add", "No Name", world.path("new"))
    engine.refuses(2, ["is where the repository is"], "region", "add", "x",
                   world.path("repo"), hint=False)
    check(not os.path.exists(world.path("new")), "a region of no name")
    world.stop()


def as_written(world):
    """A path means what it says: a percent sign, and a slash at the end."""
    declared(world)
    there = world.path("a%20b")
    os.symlink("tree", world.path("link"))
    world.run("region", "add", "odd", there)
    text = REGIONS.replace("ROOT/tree", "ROOT/link/")
    world.apply(text.replace('"file://ROOT/there"', "ROOT/a%20b")
                .replace("ROOT", world.root))
    [main] = world.json("get", "repositories")
    check(main["spec"]["regions"][1]["url"] ==
          "file://%s/a%%2520b" % world.root, main)
    run = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, run))
    check(done["state"] == "succeeded", done)
    for place in "main", there, "file://" + there.replace("%", "%25"):
        names = [e["path"] for e in world.json(
            "ls", "latest:" + world.path("link"), "--repo", place,
            "--key-file", world.path("keys/main.key"))]
        check(world.path("link/a") in names, names)
    check(not os.path.exists(world.path("a b")), "decoded")
    # It is known as the region that is declared, however it is written.
    world.run("replicate", "--repo", there, "--to",
              "file://" + there.replace("%", "%25"), "--key-file",
              world.path("keys/main.key"), status=2)
    check("onto itself" in world.err, world.err)
    world.stop()


def revoked(world):
    """Until a copy is made there, other regions open to a revoked key."""
    declared(world)
    second = world.path("second")
    told = "`snapctl replicate --to REGION`"

    def slot():
        return world.json("key", "add", "--new-key-file", second)["slot"]

    def opens(place, status):
        world.run("repo", "stats", "--repo", world.path(place), "--key-file",
                  second, status=status)

    first = slot()
    world.run("replicate", "--to", "there")
    opens("there", 0)
    reply = world.json("key", "revoke", first)
    check(reply["still_opens"] == ["there"] and told in reply["note"], reply)
    opens("repo", 4)
    opens("there", 0)
    world.run("replicate", "--to", "there")
    opens("there", 4)
    # Of a location nobody knows which other regions there are.
    os.remove(second)
    reply = world.json("key", "revoke", slot(), "--repo", world.path("repo"),
                       "--key-file", world.path("key"))
    check(reply["still_opens"] is None and told in reply["note"], reply)
    world.stop()


DRILL = """\
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: %s}
spec:
  cron: "0 0 1 1 *"
  schedule: nightly
  region: there
  rto: 1h
  checks: [{type: tree}, {type: command, argv: [%s]}]
"""


def drills(world):
    """What was rehearsed is found again, with what it printed."""
    engine = declared(world)
    world.apply(REGIONS.replace("ROOT", world.root) +
                DRILL % ("proof", "ls, " + engine.tree.split("/")[1]) +
                DRILL % ("doubt", "ls, absent"))
    run = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, run))
    check(done["state"] == "succeeded", done)
    proof = world.json("drill", "run", "proof")
    doubt = world.json("drill", "run", "doubt", status=1)
    for drill, name, passed in (proof, "proof", True), (doubt, "doubt", False):
        check(drill["drill"] == name and drill["passed"] == passed and
              drill["region"] == "there" and
              [c["passed"] for c in drill["checks"]
               if c["type"] in ("tree", "command")] == [True, passed], drill)
        number = str(drill["id"])
        check(world.json("drill", "show", number) == drill, name)
        [row] = world.json("drill", "list", "--drill", name)
        check(row["id"] == drill["id"] and row["passed"] == passed and
              [row] == world.json("drill", "list", "--run",
                                  str(row["run"])), row)
        text = world.run("drill", "show", number)
        check(name + (" passed" if passed else " failed") in text and
              drill["snapshot"][:8] in text and ", complete)" in text, text)
        check(("absent" in text) != passed, text)
    rows = world.json("drill", "list")
    check([r["id"] for r in rows] == [doubt["id"], proof["id"]], rows)
    check(world.json("drill", "list", "--to", "2001-01-01T00:00:00Z") == [],
          "of no time")
    rows = world.json("report", "drills")
    check([(r["drill"], r["id"], r["state"]) for r in rows] ==
          [("doubt", doubt["id"], "failed"), ("proof", proof["id"], "passed")],
          rows)
    engine.refuses(5, ["no drill 999", "drill list"], "drill", "show", "999")
    world.stop()


def undeleted(world):
    """A deletion is taken back wherever it has come to."""
    engine = declared(world)
    kept = engine.snapshot("--source", "web")
    one = engine.snapshot("--source", "web")
    world.run("replicate", "--to", "there")
    gone = world.json("snapshot", "delete", one)
    check(gone["follows_in"] == ["there"], gone)
    world.run("replicate", "--to", "there")

    def regions(of=("here", "there"), status=0):
        got = world.json("snapshot", "undelete", one, status=status)
        check(got["undeleted"] == [one], got)
        check([r["region"] for r in got["regions"]] == list(of), got)
        return [(r["state"], r["restorable_until"]) for r in got["regions"]]

    def ids(region):
        return {s["id"] for s in
                world.json("snapshot", "list", "--repo", world.path(region),
                           "--key-file", world.path("key"))}

    check(ids("there") == {kept}, "the deletion was not copied")
    check(regions() == [("undeleted", None)] * 2, "both")
    check(ids("repo") == ids("there") == {kept, one}, "undeleted")
    engine.refuses(5, [one, "is not deleted"], "snapshot", "undelete", one)
    # What cannot be reached is told, with the time that is left for it.
    until = world.json("snapshot", "delete", one)["restorable_until"]
    world.run("replicate", "--to", "there")
    os.rename(world.path("there"), world.path("away"))
    check(regions(status=3) == [("undeleted", None), ("unreachable", until)],
          "one")
    os.rename(world.path("away"), world.path("there"))
    check(regions() == [("not deleted", None), ("undeleted", None)], "late")
    check(ids("there") == {kept, one}, "undeleted late")
    world.stop()


def many_paths(world):
    """A shell's pattern may stand for as many paths as the format takes."""
    engine = Engine(world)
    os.mkdir(world.path("many"))
    names = [world.path("many/%d" % i) for i in range(65537)]
    for name in names[:4200]:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
    taken = world.json("snapshot", "create", *names[:4200])
    check(taken["state"] == "complete" and taken["files"] == 4200, taken)
    check(len(world.json("snapshot", "list")[0]["paths"]) == 4200, "paths")
    before = sorted(os.listdir(world.path("repo")))
    # Relative names, or the kernel would refuse them before we do.
    os.chdir(world.path("many"))
    engine.refuses(2, ["more than 65536 paths", "folder"], "snapshot",
                   "create", *[str(i) for i in range(65537)])
    os.chdir("/")
    check(sorted(os.listdir(world.path("repo"))) == before, "written to")


def small_disk(world, name, size):
    """A file system of that size, or None for who may not mount."""
    path = world.path(name)
    os.mkdir(path)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True
                                           ).returncode != 0:
        return None
    return path


def full_disks(world):
    engine = Engine(world)
    disk = small_disk(world, "disk", "400k")
    if not disk:
        print("     not told: no mount without root")
        return
    try:
        with open(engine.tree + "/big", "wb") as f:
            f.write(os.urandom(2_000_000))
        engine.snapshot()
        engine.refuses(1, ["/big", "no space left", "make room"], "restore",
                       "latest", "--to", disk + "/out")
        left = [f for _, _, fs in os.walk(disk) for f in fs if f == "big"]
        check(left == [], "half a file under its name")
        shutil.rmtree(disk + "/out")
        world.run("repo", "init", disk + "/r", "--key-file",
                  world.path("key"))
        full = ("snapshot", "create", engine.tree, "--repo", disk + "/r")
        engine.refuses(1, [disk, "no space left", "make room"], *full)
        check(world.json("snapshot", "list", "--repo", disk + "/r") == [],
              "a snapshot that is none")
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        check(world.json(*full)["state"] == "complete", "after making room")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        engine.refuses(7, [disk, "only be read", "write"], *full)
        world.run("restore", "latest", "--to", world.path("out"), "--repo",
                  disk + "/r")
        check("read-only" in world.err, world.err)
        engine.refuses(7, ["read-only", "--to"], "restore", "latest", "--to",
                       disk + "/x")
        engine.refuses(7, ["read-only", "another place"], "repo", "init",
                       disk + "/x", "--key-file", world.path("new.key"))
        check(not os.path.exists(world.path("new.key")), "a key for nothing")
        engine.refuses(7, ["read-only", "another place"], "region", "add",
                       "there", disk + "/x", "--repo", disk + "/r")
    finally:
        subprocess.run(["umount", disk], check=True)


def interrupted(world):
    """Ctrl-C: 130, nothing half-done, and the next run finishes."""
    engine = Engine(world)
    os.mkfifo(world.path("gate"))
    for i in range(20):
        with open(f"{engine.tree}/{i}", "wb") as f:
            f.write(os.urandom(1_000_000))
    ended = []
    for words, done in ((["snapshot", "create", engine.tree], 0),
                        (["restore", "latest", "--to", world.path("out")],
                         RESTORED)):
        for delay in 0.02, 0.1:
            p = subprocess.Popen([SNAPCTL, *words, "--reread"]
                                 if words[0] == "snapshot" else
                                 [SNAPCTL, *words], env=world.env, text=True,
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
            time.sleep(delay)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=LIMIT)
            ended.append(p.returncode)
            # It may have been done already, or not have begun to listen.
            check(p.returncode in (done, 130, -signal.SIGINT), (words, err))
            if p.returncode == 130:
                check(err.endswith("snapctl: interrupted\n  nothing is "
                                   "half-done: run it again to continue\n"),
                      err)
                check(out == "", out)
        world.run(*words, status=done)
    check(subprocess.run(["diff", "-r", engine.tree, world.path("out") +
                          engine.tree]).returncode == 0, "the difference")
    check(world.json("repo", "check", "--read-data")["sound"] is True, ended)


def within_itself(world):
    """A repository in what it protects is left out, however it is written."""
    engine = Engine(world)
    where = engine.tree + "/re po"
    os.mkdir(where)
    world.run("repo", "init", where, "--key-file", world.path("key"))
    os.symlink(where, world.path("link"))
    inside = os.path.relpath(where)
    for repo in (where, where + "/.", inside, world.path("link"),
                 "file://" + where, "FILE://" + where,
                 "file://" + where.replace(" ", "%20"),
                 "File://" + where.replace("tree", "%74ree")):
        done = world.json("snapshot", "create", engine.tree, "--repo", repo)
        check(done["state"] == "complete" and done["files"] == 1,
              (repo, done))


def any_bytes(world):
    engine = Engine(world)
    odd = b"x\xffy\n\x1b[31m"
    folder = os.fsencode(engine.tree) + b"/" + odd
    os.mkdir(folder)
    with open(folder + b"/f" + odd, "w") as f:
        f.write("odd")
    os.symlink(b"to" + odd, folder + b"/l" + odd)
    where = os.fsdecode(folder)
    out = os.fsencode(world.root) + b"/out" + odd

    def run(*words):
        p = subprocess.run([SNAPCTL, *words], env=world.env,
                           capture_output=True)
        check(p.returncode == 0, (words, p))
        check(b"\x1b" not in p.stdout and b"\xff" not in p.stdout, p.stdout)
        check(b"\x1b" not in p.stderr, p.stderr)
        return p.stdout

    run("snapshot", "create", where)
    shown = rb"x\xffy\n\x1b[31m"
    for words in (["snapshot", "list"], ["ls", "latest"],
                  ["ls", "latest:" + where], ["snapshot", "find", "f*"],
                  ["snapshot", "show", "latest"]):
        check(shown in run(*words), (words, run(*words)))
        json.loads(run("--json", *words))
    run("restore", "latest:" + where, "--to", os.fsdecode(out))
    with open(out + b"/f" + odd) as f:
        check(f.read() == "odd", "the file")
    check(os.readlink(out + b"/l" + odd) == b"to" + odd, "the link")
    p = subprocess.run([SNAPCTL, "cat", "latest:" + where +
                        os.fsdecode(b"/f" + odd)], env=world.env,
                       capture_output=True)
    check(p.stdout == b"odd", p)
    p = subprocess.run([SNAPCTL, "cat", "latest:" + where + "/no"],
                       env=world.env, capture_output=True)
    check(p.returncode == 5 and shown in p.stderr, p)


def keys_by_name(world):
    """A name is a Repository's, whatever folder is called alike."""
    engine = Engine(world)
    os.mkdir(world.path("keys"), 0o700)
    shutil.copy(world.path("key"), world.path("keys/main.key"))
    os.rename(world.path("repo"), world.path("here"))
    world.start()
    world.apply(snap.MANIFEST % (world.root, 1))
    world.env.pop("SNAPCTL_KEY_FILE")
    slots = world.json("key", "list", "--repo", "main")
    check(len(slots) == 1, slots)
    engine.refuses(5, ["mian"], "key", "list", "--repo", "mian")
    # What takes more room stored than written is refused, not stored.
    text = snap.MANIFEST % (world.root, 1)
    long = ", ".join(["'" + "\\" * 4000 + "'"] * 150)
    world.run("apply", "-f", "-", status=2,
              stdin=text.replace("[/etc]", "[/etc], exclude: [" + long + "]"))
    check("too large" in world.err, world.err)
    world.json("status")
    world.stop()


def nohup(world):
    """Signals that whoever started it ignores stay ignored."""
    engine = Engine(world)
    world.env.pop("SNAPCTL_KEY_FILE")
    for ignored, status in ((True, 0), (False, 130)):
        p = subprocess.Popen(
            [SNAPCTL, "-q", "snapshot", "create", engine.tree,
             "--key-file", world.path("key")],
            env={**world.env, "SNAPCTL_TEST_SEAM": "stop:3"}, text=True,
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(
                signal.SIGHUP,
                signal.SIG_IGN if ignored else signal.SIG_DFL))
        # It stops itself at its third write: well within its work.
        os.waitid(os.P_PID, p.pid, os.WSTOPPED)
        p.send_signal(signal.SIGHUP)
        p.send_signal(signal.SIGCONT)
        told = p.communicate(timeout=300)[1]
        check(p.returncode == status, (ignored, p.returncode, told))


def without_a_home(world):
    """Neither root nor a HOME: what is asked for works all the same."""
    if os.geteuid() != 0:
        print("     not told: it takes root to be somebody else")
        return
    os.chmod(world.root, 0o777)
    env = {k: v for k, v in world.env.items()
           if k in ("PATH", "LC_ALL") or k.endswith("SAN_OPTIONS")}

    def run(*words, status=0, program=SNAPCTL, **more):
        p = world.run_as_nobody(*words, program=program, env={**env, **more})
        check(p.returncode == status, (words, p))
        return p

    access = ["--repo", world.path("r"), "--key-file", world.path("k")]
    os.mkdir(world.path("tree"))
    run("repo", "init", world.path("r"), "--key-file", world.path("k"))
    run("snapshot", "create", world.path("tree"), *access)
    run("restore", "latest", "--to", world.path("out"), *access,
        status=3)
    p = run("status", status=6, SNAPCTL_SOCKET=world.socket)
    check("not running" in p.stderr, p)
    p = run(status=2, program=snap.SNAPCTLD)
    check(p.stderr.count("neither HOME") == 1 and
          "SNAPCTL_STATE" in p.stderr, p)


snap.tell(keys, nothing_in_the_clear, what_cannot_be_read_is_named, documents,
          places, formats, snapshots, many_paths, full_disks, interrupted,
          within_itself, any_bytes, keys_by_name, nohup, regions,
          damaged_manifest, holds, drills, ad_hoc, as_written, revoked,
          undeleted, without_a_home)
