#!/usr/bin/python3
"""Goal of this test: a program that dies anywhere harms nobody.

Each story is one command. It is killed before its first call that writes, then,
in a fresh copy of the same folder, before its second, and so on to its last;
and each time:

  1. the repository is sound at once, every stored byte read;
  2. every snapshot that it lists restores bit for bit, and it lists all that
     were acknowledged;
  3. another process takes a snapshot at once;
  4. the command, given again, completes;
  5. a collection after the lease leaves nothing of the dead one's, and all of
     the above still holds.

The catalog's own writes are among those calls: where the story has one, it is
whole after each death, and a story may say what of it must stand.

kill.py BUILD [--story NAME]… [--at K] [--full] [--keep]
"""
import argparse
import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import apart
import snap
from picture import picture
from snap import Failed, check

# Shorter than the lease: who waits for a dead one's is caught.
LIMIT = 100
# The lease in the collection that clears up.
LEASE_MS = 300
SHORT_LEASE = {"SNAPCTL_TEST_LEASE_MS": str(LEASE_MS)}
# Kill points of a story that are tried without --full (`./dev kill`): the first
# ones, then some, spread over the rest.
FIRST = 24
SPREAD = 16
# A sleep of the lease in most rounds: more rounds at a time than cores.
WORKERS = 2 * (os.cpu_count() or 1)


# ---- Trees ----------------------------------------------------------------

def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def make_trees(root):
    """one, two and three, each like the one before; other is like three."""
    some = random.Random(1)
    large = bytearray(some.randbytes(700_000))
    for n, name in enumerate(("one", "two", "three", "other")):
        tree = os.path.join(root, name)
        os.makedirs(os.path.join(tree, "d"), 0o750)
        write(os.path.join(tree, "d", "small"), b"of all trees")
        write(os.path.join(tree, "d", name), some.randbytes(3000))
        os.link(os.path.join(tree, "d", "small"), os.path.join(tree, "link"))
        os.symlink("d/small", os.path.join(tree, "symlink"))
        large[n * 90_000:n * 90_000 + 200] = some.randbytes(200)
        write(os.path.join(tree, "large"), large)
        os.chmod(os.path.join(tree, "large"), 0o640)
        os.utime(tree, ns=(n, 1_600_000_000_123_456_789 + n))


# ---- A folder with a repository -------------------------------------------

class Place:
    """What one round happens in: regions, keys, a state."""

    def __init__(self, root, trees):
        self.root = root
        self.trees = trees
        self.env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": root,
            "SNAPCTL_ETC": self.path("etc"),
            "SNAPCTL_STATE": self.path("state"),
            "SNAPCTL_KEYS": self.path("keys"),
            "SNAPCTL_CACHE": self.path("cache"),
            "SNAPCTL_SOCKET": self.path("s.sock"),
            "SNAPCTL_REPO": self.path("a"),
            "SNAPCTL_KEY_FILE": self.path("keys/main.key"),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def path(self, name):
        return os.path.join(self.root, name)

    def tree(self, name):
        return os.path.join(self.trees, name)

    def spawn(self, *words, **env):
        return subprocess.run([snap.SNAPCTL, "--json", *words], text=True,
                              capture_output=True, timeout=LIMIT,
                              stdin=subprocess.DEVNULL,
                              env={**self.env, **env})

    def run(self, *words, status=0, **env):
        p = self.spawn(*words, **env)
        check(p.returncode == status,
              f"{' '.join(words)}: status {p.returncode}, not {status}: "
              f"{p.stdout}{p.stderr}")
        return json.loads(p.stdout)

    def take(self, tree, region="a"):
        return self.run("snapshot", "create", self.tree(tree), "--repo",
                        self.path(region))["snapshot"]

    def names(self, folder):
        try:
            return sorted(os.listdir(self.path(folder)))
        except FileNotFoundError:
            return []

    def listed(self, region="a"):
        """Snapshots that are not deleted: the tree of each by its id."""
        rows = self.run("snapshot", "list", "--repo", self.path(region))
        return {r["id"]: os.path.basename(r["paths"][0]) for r in rows}

    def deleted(self, region="a"):
        rows = self.run("snapshot", "list", "--deleted", "--repo",
                        self.path(region))
        return {r["id"] for r in rows} - set(self.listed(region))

    def sound(self, region):
        got = self.run("repo", "check", "--read-data", "--repo",
                       self.path(region))
        check(got["sound"], got)
        return got


# ---- Stories --------------------------------------------------------------

Story = collections.namedtuple("Story", (
    "name",
    "prepare",  # (place) -> facts, a dictionary: once
    "command",  # (place, facts) -> words
    "regions",  # in which everything must hold
    "after",    # (place, facts): once the command has completed
    "again",    # statuses other than 0 of a command given again that says
                # that all is done
    "again_env",  # more environment of that one
    "env",      # more environment of the first
    "deletes",  # the fact that names what it, or what it copies, deletes
    "steady",   # each run makes about as many calls as the one counted
    "stands",   # (facts, open catalog): right after a death
    "first",    # how many of the points tried are the first ones
), defaults=(("a",), None, (), {}, {}, None, True, None, FIRST))


def init(p):
    os.mkdir(p.path("keys"), 0o700)
    os.mkdir(p.path("etc"))
    p.run("repo", "init", p.path("a"))


def with_two(p):
    init(p)
    return {"one": p.take("one"), "two": p.take("two")}


def create(p, f):
    return "snapshot", "create", p.tree("three")


def created(p, f):
    check("three" in p.listed().values(), "it is not listed")


def for_restore(p):
    return with_two(p)


def restore(p, f):
    return "restore", f["two"], "--to", p.path("restored")


def restored(p, f):
    got = picture(p.path("restored") + p.tree("two"))
    check(got == picture(p.tree("two")), got)


def for_region_add(p):
    return with_two(p)


def region_add(p, f):
    return "region", "add", "there", p.path("b")


def region_added(p, f):
    p.sound("b")


def for_replicate(p):
    """There is a snapshot to copy, a deletion and a hold that follow."""
    f = with_two(p)
    p.run("region", "add", "there", p.path("b"))
    p.run("replicate", "--to", p.path("b"))
    f["three"] = p.take("three")
    p.run("snapshot", "delete", f["one"])
    p.run("hold", "add", f["three"], "--case", "c")
    return f


def replicate(p, f):
    return "replicate", "--to", p.path("b")


def replicated(p, f):
    check(set(p.listed("a")) <= set(p.listed("b")), p.listed("b"))
    check(f["one"] not in p.listed("b"), "the deletion did not follow")
    p.run("snapshot", "delete", f["three"], "--repo", p.path("b"), status=7)


def for_first_copy(p):
    init(p)
    f = {"one": p.take("one")}
    p.run("region", "add", "there", p.path("b"))
    return f


def first_copied(p, f):
    check(set(p.listed("a")) <= set(p.listed("b")), p.listed("b"))


def delete(p, f):
    return "snapshot", "delete", f["two"]


def is_deleted(p, f):
    check(f["two"] not in p.listed(), "it is not deleted")


def for_undelete(p):
    f = with_two(p)
    p.run("snapshot", "delete", f["two"])
    return f


def undelete(p, f):
    return "snapshot", "undelete", f["two"]


def undeleted(p, f):
    check(f["two"] in p.listed(), "it is still deleted")


def key_add(p, f):
    return "key", "add", "--new-key-file", p.path("keys/second.key")


def key_added(p, f):
    p.run("snapshot", "list", SNAPCTL_KEY_FILE=p.path("keys/second.key"))


def for_revoke(p):
    f = with_two(p)
    f["slot"] = p.run(*key_add(p, f))["slot"]
    return f


def revoke(p, f):
    return "key", "revoke", f["slot"]


def revoked(p, f):
    second = p.spawn("snapshot", "list",
                     SNAPCTL_KEY_FILE=p.path("keys/second.key"))
    check(second.returncode != 0, "the revoked key opens: " + second.stdout)
    check(len(p.names("a/keys")) == 1, p.names("a/keys"))
    check(len(p.names("a/keyring")) == 1, p.names("a/keyring"))


def hold_add(p, f):
    return "hold", "add", f["two"], "--case", "c"


def held(p, f):
    p.run("snapshot", "delete", f["two"], status=7)


def for_release(p):
    f = with_two(p)
    f["hold"] = p.run(*hold_add(p, f))["hold"]
    return f


def release(p, f):
    return "hold", "release", f["hold"]


def released(p, f):
    check(p.run("hold", "list") == [], "it is still held")


def for_rebuild(p):
    """What a daemon left that lost its catalog."""
    w = snap.World()
    try:
        w.env.pop("SNAPCTL_TEST_RUN")
        os.mkdir(w.path("keys"), 0o700)
        w.run("repo", "init", w.path("here"), "--key-file",
              w.path("keys/main.key"))
        w.start()
        w.apply(snap.MANIFEST.replace("/etc", p.tree("one")) % (w.root, 1) +
                snap.SCHEDULE % ("yearly", "0 0 1 1 *", ""))
        run = str(w.json("run", "start", "yearly")["id"])
        snap.wait_for("the run", lambda: w.json("run", "show", run)["state"]
                      not in ("queued", "running"))
        w.stop()
        os.mkdir(p.path("etc"))
        shutil.copytree(w.path("keys"), p.path("keys"))
        shutil.copytree(w.path("here"), p.path("a"))
    finally:
        w.close()
    p.run(*rebuild(p, {}))
    f = {"catalog": resources(p)}
    check(f["catalog"], "nothing was rebuilt")
    with contextlib.closing(sqlite3.connect(p.path("state/catalog.db"))) as db:
        f["rows"] = rows(db)
    check(all(f["rows"]), f["rows"])
    shutil.rmtree(p.path("state"))
    return f


def resources(p):
    db = sqlite3.connect("file:" + p.path("state/catalog.db") + "?mode=ro",
                         uri=True)
    try:
        tables = db.execute("select name from sqlite_schema where type = "
                            "'table' and name not like 'sqlite_%' "
                            "order by name").fetchall()
        # Besides what others did meanwhile.
        return {t: db.execute(f'select count(*) from "{t}"').fetchone()[0]
                for (t,) in tables if t not in ("snapshots",
                                                "snapshot_tags")}
    finally:
        db.close()


REBUILT = ("resources", "runs", "run_steps", "audit", "snapshots")


def rows(db):
    """Of what a rebuilding brings back; none before the migrations."""
    there = {t for (t,) in db.execute(
        "select name from sqlite_schema where type = 'table'")}
    return [db.execute(f'select count(*) from "{t}"').fetchone()[0]
            if t in there else 0 for t in REBUILT]


def old_or_new(f, db):
    got = rows(db)
    check(not any(got) or got == f["rows"], (got, f["rows"]))


def rebuild(p, f):
    return "catalog", "rebuild", "--name", "main"  # it was elsewhere


def rebuilt(p, f):
    check(resources(p) == f["catalog"], (resources(p), f["catalog"]))


def for_gc(p):
    f = with_two(p)
    f["gone"] = p.take("three")
    p.run("snapshot", "delete", f["gone"])
    return f


def gc(p, f):
    return "repo", "gc", "--grace", "0s"


def collected(p, f):
    check(f["gone"] not in p.deleted(), "what was deleted is still there")


def gc_mark(p, f):
    return "repo", "gc"


def for_gc_due(p):
    """Marked already: what is to come is the second look."""
    f = for_gc(p)
    p.run("snapshot", "delete", f["two"])
    p.run("repo", "gc")
    time.sleep(1.1)
    return f


def gc_due(p, f):
    return "repo", "gc", "--grace", "1s"


def for_gc_rewrite(p):
    """Packs of which half is needed, and many small ones."""
    f = with_two(p)
    for _ in range(3):
        for tree in ("three", "other"):
            f["gone"] = p.take(tree)
            p.run("snapshot", "delete", f["gone"])
        f["last"] = p.take("other")
    return f


def for_gc_dead(p):
    """A writer died before its manifest, a collector before its void."""
    f = for_gc(p)
    words = create(p, f)
    n = calls(p.copy("count"), words, {})
    p.spawn(*words, SNAPCTL_TEST_SEAM=f"kill:{n - 12}")
    check(p.names("a/sessions"), "no session was left")
    for k in itertools.count(5, 3):
        last = p.copy(f"dead-{k}")
        last.spawn(*gc(last, f), **SHORT_LEASE, SNAPCTL_TEST_SEAM=f"kill:{k}")
        if last.names("a/fences"):
            break
    check(last.names("a/sessions") and not last.names("a/voids"),
          f"the collector was not killed at the right place, but at {k}")
    shutil.rmtree(p.path("a"))
    os.rename(last.path("a"), p.path("a"))
    return f


NOT_FOUND = 5

STORIES = (
    Story("create", with_two, create, after=created),
    Story("restore", for_restore, restore, after=restored),
    Story("region-add", for_region_add, region_add, after=region_added,
          again=(1,)),
    Story("first-copy", for_first_copy, replicate, ("b",), first_copied),
    Story("replicate", for_replicate, replicate, ("a", "b"), replicated,
          deletes="one"),
    Story("delete", with_two, delete, after=is_deleted, deletes="two"),
    Story("undelete", for_undelete, undelete, after=undeleted,
          again=(NOT_FOUND,)),
    Story("key-add", with_two, key_add, after=key_added, again=(1,)),
    Story("key-revoke", for_revoke, revoke, after=revoked,
          again=(NOT_FOUND,)),
    Story("hold-add", with_two, hold_add, after=held),
    Story("hold-release", for_release, release, after=released,
          again=(NOT_FOUND,)),
    Story("rebuild", for_rebuild, rebuild, after=rebuilt, again=(1,),
          stands=old_or_new, first=20),  # migrations, at first
    Story("gc", for_gc, gc, after=collected, again_env=SHORT_LEASE),
    Story("gc-mark", for_gc, gc_mark, again_env=SHORT_LEASE),
    Story("gc-due", for_gc_due, gc_due, again_env=SHORT_LEASE),
    Story("gc-rewrite", for_gc_rewrite, gc, after=collected,
          again_env=SHORT_LEASE),
    Story("gc-dead", for_gc_dead, gc, after=collected, env=SHORT_LEASE,
          again_env=SHORT_LEASE, steady=False),
)


# ---- Rounds ---------------------------------------------------------------

def restores(p, region, expected, wanted=None):
    """Each snapshot that region lists (one of them) is what its tree is."""
    listed = p.listed(region)
    chosen = sorted(listed.items())
    if wanted is not None and chosen:
        chosen = [chosen[wanted % len(chosen)]]
    for snapshot, tree in chosen:
        to = p.path(f"to-{snapshot}")
        p.run("restore", snapshot, "--to", to, "--repo", p.path(region))
        check(picture(to + p.tree(tree)) == expected[tree],
              f"{snapshot} in {region} is not restored as {tree} is")
        shutil.rmtree(to)
    return set(listed)


def clear_up(p, region):
    """After the lease, and a day: nothing is left of who died."""
    for name in p.names(region + "/tmp"):
        os.utime(p.path(f"{region}/tmp/{name}"), (0, 0))
    got = p.run("repo", "gc", "--grace", "0s", "--repo", p.path(region),
                **SHORT_LEASE)
    check(not got["blocked_by"], got)
    for folder in ("sessions", "pins", "tmp"):
        left = p.names(f"{region}/{folder}")
        check(left == [], f"left in {region}/{folder}: {left}")
    got = p.sound(region)
    check(got["unindexed"] == 0 and got["unknown"] == 0, got)
    packs = sum(len(names) for kind in ("data", "meta") for _, _, names in
                os.walk(p.path(f"{region}/{kind}")))
    named = p.run("repo", "stats", "--repo", p.path(region))["packs"]
    check(packs == named, f"{packs} packs in {region}, {named} in its index")


def catalog_stands(p, story, facts):
    """Looked at in a copy: the next command finds it as the dead one left it."""
    if not os.path.exists(p.path("state/catalog.db")):
        return
    copy = p.path("state-copy")
    shutil.copytree(p.path("state"), copy)
    db = sqlite3.connect(os.path.join(copy, "catalog.db"))
    try:
        got = db.execute("pragma integrity_check").fetchall()
        check(got == [("ok",)], got)
        got = db.execute("pragma foreign_key_check").fetchall()
        check(got == [], got)
        if story.stands:
            story.stands(facts, db)
    finally:
        db.close()
        shutil.rmtree(copy)


def one_round(bench, story, base, facts, acked, k):
    """Whether it was killed."""
    p = base.copy(f"{story.name}-{k}")
    words = story.command(p, facts)
    killed = p.spawn(*words, **story.env, SNAPCTL_TEST_SEAM=f"kill:{k}")
    dead = killed.returncode == -signal.SIGKILL
    check(dead or killed.returncode == 0, killed)
    catalog_stands(p, story, facts)
    if not dead and story.after:
        story.after(p, facts)
    kept = {r: acked[r] - {facts.get(story.deletes)} for r in story.regions}
    for region in story.regions:
        p.sound(region)
    for region in story.regions:
        kept[region].add(p.take("other", region))
        lost = kept[region] - restores(p, region, bench.expected)
        check(not lost, f"lost in {region}: {lost}")
    again = p.spawn(*words, **story.again_env)
    check(again.returncode == 0 or dead and again.returncode in story.again,
          again)
    for region in story.regions:
        clear_up(p, region)
        lost = kept[region] - restores(p, region, bench.expected,
                                       None if bench.full else k)
        check(not lost, f"lost in {region} after a collection: {lost}")
    if story.after:
        story.after(p, facts)
    if not bench.keep:
        shutil.rmtree(p.root)
    return dead


def calls(p, words, env):
    """How many calls that write an undisturbed run makes."""
    p.run(*words, **env, SNAPCTL_TEST_SEAM="count:" + p.path("count"))
    with open(p.path("count")) as f:
        return int(f.read())


def points(n, full, first):
    """Of n, the ones tried: nothing is drawn, so that each run is the same."""
    spread = FIRST + SPREAD - first
    if full or n <= first + spread:
        return list(range(1, n + 1))
    return (list(range(1, first + 1)) +
            [first + (i + 1) * (n - first) // spread for i in range(spread)])


class Bench:
    """Where the rounds are."""

    def __init__(self, args, root):
        self.root = root
        self.keep = args.keep
        self.full = args.full
        self.at = args.at
        trees = os.path.join(self.root, "trees")
        make_trees(trees)
        self.trees = trees
        self.expected = {n: picture(os.path.join(trees, n))
                         for n in os.listdir(trees)}
        self.pool = concurrent.futures.ThreadPoolExecutor(WORKERS)


class Base(Place):
    """What the rounds of a story begin with."""

    def copy(self, name):
        root = os.path.join(os.path.dirname(self.root), name)
        subprocess.run(["cp", "-a", "--reflink=auto", self.root, root],
                       check=True)
        return Place(root, self.trees)


def tell(bench, story):
    """One story with all its kill points; how many failed."""
    begun = time.monotonic()
    base = Base(os.path.join(bench.root, story.name), bench.trees)
    os.mkdir(base.root)
    facts = story.prepare(base)
    acked = {r: set(base.listed(r)) for r in story.regions}
    trial = base.copy(story.name + "-count")
    n = calls(trial, story.command(trial, facts), story.env)
    check(n > 0, "it writes nothing")
    tried = [bench.at] if bench.at else points(n, bench.full, story.first)
    rounds = {k: bench.pool.submit(one_round, bench, story, base, facts,
                                   acked, k) for k in tried}
    failed = 0
    killed = 0
    for k, r in rounds.items():
        try:
            killed += r.result()
        except Exception as e:  # the other rounds may still tell something
            failed += 1
            print(f"FAIL {story.name} at {k}: {e!r}\n"
                  f"     once more: kill.py {snap.BUILD} --story {story.name} "
                  f"--at {k} --keep (in {bench.root})", flush=True)
    # Else the faults did not come, and nothing was tried.
    if not failed and not bench.at and (
            killed < len(tried) * (0.9 if story.steady else 0.5)):
        failed += 1
        print(f"FAIL {story.name}: only {killed} of {len(tried)} were killed",
              flush=True)
    print(f"{'FAIL' if failed else 'ok  '} {story.name}: {n} kill points, "
          f"{len(tried)} tried, " +
          (f"{failed} failed" if failed else "all held") +
          f" ({time.monotonic() - begun:.1f} s)", flush=True)
    return failed


def main():
    names = [s.name for s in STORIES]
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--story", action="append", choices=names)
    parser.add_argument("--at", type=int)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    os.umask(0o022)  # whatever the user's: restores compare permissions
    sys.exit(apart.run(lambda root: tell_all(args, root), "snapctl-kill-",
                       args.keep))


def tell_all(args, root):
    bench = Bench(args, root)
    failed = 0
    for story in STORIES:
        if story.name in (args.story or [s.name for s in STORIES]):
            try:
                failed += tell(bench, story)
            except Exception as e:
                failed += 1
                print(f"FAIL {story.name}: {e!r}", flush=True)
    return failed != 0


main()
