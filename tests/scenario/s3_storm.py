#!/usr/bin/python3
"""Goal of this test: whatever an S3 server does, nothing acknowledged is lost.

Snapshots are taken, restored, copied, checked, deleted and collected while the
server and the network misbehave at random, by a seed: errors, now and then with
the work done all the same, replies that end early or never come, connections
that are reset, cut or silent, wrong bytes, lists that are old, short, endless
or no lists at all.  What must hold, of each command and in the end:

  1. who was told that a snapshot is taken can restore it, as it was, from each
     region that it was copied to;
  2. what a restore calls done is equal to what was saved;
  3. nothing but wrong content is ever called damage;
  4. with a healthy server all regions are sound, and all that was acknowledged
     and not deleted is there.

s3_storm.py BUILD [--seconds N] [--seed N]

The weather, and what is done in it, are up to the seed; the order of requests
is the machine's.  The environment's SNAPCTL_TEST_FULL=1 is 300 seconds.
"""
import argparse
import json
import os
import random
import threading
import time
from contextlib import contextmanager

import snap
from s3_place import FakeServer, Proxy
from s3_world import MIB, begin, keep, restored, tree_compare, write
from snap import check

BUSY = [{"kind": "error", "code": "InternalError"},
        {"kind": "error", "code": "InternalError", "done": True},
        {"kind": "error", "code": "SlowDown"},
        {"kind": "error", "code": "ServiceUnavailable", "retry_after": 1},
        {"kind": "error", "code": "BadGateway", "early": True},
        {"kind": "error", "code": "RequestTimeout"},
        {"kind": "lost_reply"}, {"kind": "lost_reply", "reset": True},
        {"kind": "dropped"}, {"kind": "hang", "seconds": 0.4},
        {"kind": "hang", "seconds": 30}]
CUT = [{"kind": "truncate", "bytes": 100}, {"kind": "truncate", "bytes": 9000},
       {"kind": "reset", "bytes": 100}, {"kind": "reset", "bytes": 70_000},
       {"kind": "hang", "bytes": 50, "seconds": 0.3}]
DENIED = [{"kind": "error", "code": "AccessDenied"},
          {"kind": "error", "code": "QuotaExceeded"},
          {"kind": "no_etag"}]
# For the rest of a command; told soon, since without a reply it tries thrice.
OUTAGE = [{"kind": "dropped"}, {"kind": "lost_reply"},
          {"kind": "lost_reply", "reset": True}]
# What a client takes for the server's word.
LIES = [("GetObject", {"kind": "wrong_bytes", "bytes": 40}),
        ("GetObject", {"kind": "wrong_bytes", "bytes": 5000}),
        ("GetObject", {"kind": "cut_body", "bytes": 60}),
        ("GetObject", {"kind": "garbage"}),
        ("ListObjectsV2", {"kind": "garbage"}),
        ("ListObjectsV2", {"kind": "bomb"}),
        ("ListObjectsV2", {"kind": "endless_list"}),
        ("ListObjectsV2", {"kind": "short_list", "keys": 0}),
        ("ListObjectsV2", {"kind": "short_list", "keys": 1}),
        ("ListObjectsV2", {"kind": "stale_list", "seconds": 2}),
        ("ListObjectsV2", {"kind": "stale_list", "hide": "/snapshots/"}),
        ("ListObjectsV2", {"kind": "stale_list", "hide": "/(index|data)/"}),
        ("ListObjectsV2", {"kind": "stale_list", "hide": "/[a-z]+/[0-7]"}),
        ("UploadPart|PutObject", {"kind": "wrong_etag"}),
        ("CompleteMultipartUpload", {"kind": "garbage"}),
        ("CompleteMultipartUpload|PutObject", {"kind": "ok_error"})]
OPERATIONS = ["", "", "PutObject", "GetObject", "ListObjectsV2", "HeadObject",
              "DeleteObject", "UploadPart", "MultipartUpload"]
# Where a single failure is to be met.
PLACES = ["PUT backup/r1/" + kind for kind in
          ("data", "data", "meta", "index", "snapshots", "")] + [
              "GET backup/r1/", "DELETE ", "ListObjectsV2"]


class Storm:
    """The weather, and all that was acknowledged in it."""

    def __init__(self, world, dice):
        self.world = world
        self.dice = dice
        self.saved = {}    # snapshot: a copy of the tree as it was
        self.copied = set()
        self.gone = set()  # asked to be deleted, whatever came of it
        self.lies = False
        self.deeds = {}
        self.rules = []
        self.story = []
        self.n = 0

    def weather(self, s3, proxy):
        """Rules for the next command."""
        dice = self.dice
        s3.control("clear")
        self.lies = dice.random() < 0.4
        for _ in range(dice.randint(1, 3)):
            pool = dice.choice([BUSY, BUSY, CUT, CUT, DENIED, DENIED, OUTAGE])
            rule = dice.choice(pool)
            match = dice.choice(OPERATIONS)
            if pool is DENIED:
                match = dice.choice(PLACES)
                when = {"next": 1, "after": dice.randrange(3)}
            elif pool is OUTAGE:
                when = {"next": 200, "after": dice.randrange(25)}
            elif "seconds" in rule or "retry_after" in rule:
                when = {"next": 2, "after": dice.randrange(40)}
            else:
                when = {"every": dice.randint(6, 30)}
            s3.fault(match=match, **rule, **when)
        if self.lies:
            match, rule = dice.choice(LIES)
            when = [{"every": dice.randint(2, 9)},
                    {"next": 1, "after": dice.randrange(60)}]
            # A collection believes a list that leaves out the same in both of
            # its surveys, once it has found the store to list all: that LIST
            # sees what was PUT is what is asked of a store.
            s3.fault(match=match, **rule, **dice.choice(
                when[1:] if rule["kind"] in ("stale_list", "short_list")
                else when))
        for _ in range(dice.randrange(3)):
            proxy.control("reset_after", bytes=dice.randrange(200_000),
                          way=dice.choice(["up", "down"]))

    def tell(self):
        """What was done, in which weather: of a test that failed."""
        for rules, words, status, out, err in self.story:
            print(*rules, words, status, out.strip(), err.strip(), sep="\n  ",
                  flush=True)

    def gusts(self, proxy, plan, ended):
        """What happens to the network while a command runs."""
        for pause, what in plan:
            if ended.wait(pause / 3):
                return
            if what in ("cut", "rst"):
                proxy.control("cut", reset=what == "rst")
            elif what:
                proxy.control("set", black_hole=True)
                ended.wait(pause)
                proxy.control("set", black_hole=False)

    @contextmanager
    def blowing(self, s3, proxy):
        self.weather(s3, proxy)
        self.rules = s3.control("faults")
        ended = threading.Event()
        plan = [(self.dice.random(), self.dice.choice(
            ["cut", "rst", "hole", "", ""])) for _ in range(3)]
        gusts = threading.Thread(target=self.gusts, args=(proxy, plan, ended))
        gusts.start()
        # In calm weather who is silent for so long is only slow.
        self.world.env["SNAPCTL_TEST_PATIENCE_MS"] = "1000"
        try:
            yield
        finally:
            del self.world.env["SNAPCTL_TEST_PATIENCE_MS"]
            ended.set()
            gusts.join()
            s3.control("clear")

    def run(self, name, *words):
        """Status and standard output, of a command that may fail."""
        out = self.world.run("--json", *words, status=None)
        status = self.world.status
        self.deeds.setdefault(name, []).append(status)
        self.story.append((self.rules, words, status, out[-300:],
                           self.world.err[-600:]))
        told = f"{words}: {status}: {out}{self.world.err}"
        # 1 failed, 3 in part, 6 busy, 7 denied; damage must be a lie.
        check(status in (0, 1, 3, 6, 7) or status == 4 and self.lies, told)
        return status, told, out

    # ---- deeds ----

    def take(self):
        self.n += 1
        size = self.dice.choice([1000, 300_000, 9 * MIB])
        write(os.path.join(self.world.tree, f"new-{self.n % 4}"), size, self.n)
        status, told, out = self.run("create", "snapshot", "create",
                                     self.world.tree)
        check(status != 3, told)
        if status == 0:
            snapshot = json.loads(out)["snapshot"]
            self.saved[snapshot] = keep(self.world, "as-" + snapshot[:12])

    def there(self):
        return [s for s in self.saved if s not in self.gone]

    def give_back(self):
        if not self.there():
            return
        snapshot = self.dice.choice(self.there())
        out = self.world.path(f"back-{self.n}-{os.urandom(3).hex()}")
        status, told, _ = self.run("restore", "restore",
                                   f"{snapshot}:{self.world.tree}", "--to",
                                   out)
        if status == 0:
            self.equal(snapshot, out, told)

    def equal(self, snapshot, out, told):
        found = tree_compare.differences(self.saved[snapshot], out)
        check(found == [], (told, found[:3]))

    def copy(self):
        before = self.there()
        status, _, _ = self.run("replicate", "replicate", "--to", self.far)
        if status == 0:
            self.copied.update(before)

    def look(self):
        more = self.dice.choice([[], ["--read-data"]])
        self.run("check", "repo", "check", *more)

    def delete(self):
        if len(self.there()) < 3:
            return
        snapshot = self.dice.choice(self.there())
        self.gone.add(snapshot)
        self.run("delete", "snapshot", "delete", snapshot)

    def collect(self):
        self.run("gc", "repo", "gc", "--grace", "0s")

    def deed(self):
        self.dice.choice([self.take, self.take, self.take, self.give_back,
                          self.copy, self.look, self.delete, self.collect,
                          self.collect])()

    # ---- the end ----

    def calm(self, urls):
        world = self.world
        self.copied.update(self.there())
        world.run("replicate", "--to", self.far)
        for url in urls:
            world.run("repo", "gc", "--grace", "0s", "--repo", url)
            world.run("repo", "check", "--read-data", "--repo", url)
            listed = {s["id"] for s in world.json("snapshot", "list",
                                                  "--repo", url)}
            lost = set(self.there()) - listed
            check(not lost, f"lost: {lost} of {self.there()}, {listed}")
        for snapshot in self.there():
            for url in urls:
                restored(world, snapshot, self.saved[snapshot],
                         SNAPCTL_REPO=url)


def options():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--seconds", type=float, default=300 if os.environ.get(
        "SNAPCTL_TEST_FULL") == "1" else 10)
    p.add_argument("--seed", type=int, default=int(os.environ.get(
        "SEED", random.randrange(1 << 30))))
    return p.parse_args()


def storm(world):
    o = options()
    print(f"     SEED={o.seed}, {o.seconds:g} s", flush=True)
    world.env["SNAPCTL_TEST_LEASE_MS"] = "3000"
    with FakeServer(buckets=["backup"]) as s3, \
            FakeServer(buckets=["backup"]) as far, Proxy(s3.port) as proxy:
        url = s3.url("backup", "r1")
        begin(world, url.replace(f":{s3.port}", f":{proxy.port}"), s3)
        it = Storm(world, random.Random(o.seed))
        it.far = far.url("backup", "r1")
        world.run("region", "add", "far", it.far)
        it.take()
        end = time.monotonic() + o.seconds
        while time.monotonic() < end:
            with it.blowing(s3, proxy):
                it.deed()
        try:
            it.calm([url, it.far])
        except Exception:
            it.tell()
            world.run("repo", "check", "--read-data", status=None)
            raise
        print("    ", {n: {s: v.count(s) for s in sorted(set(v))}
                       for n, v in sorted(it.deeds.items())}, flush=True)
        check(it.saved, "no snapshot was taken at all")


snap.tell(storm)
