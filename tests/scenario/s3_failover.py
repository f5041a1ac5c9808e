#!/usr/bin/python3
"""Goal of this test: a region in a bucket may go at any moment.

Two S3 servers are two regions of one repository. The first is taken away in
the middle of a run and of a restore: its process is killed, its connections
are cut and refused, or it says nothing any more. The run goes on in the
second, the restore ends from the second, and both say so; how long it took
from the loss to a tree that is there is printed. It is promoted; and when the
first is back, each run's snapshot is in both, once. Or it is silent from the
beginning, and not every request waits for it.

On a real server s3.py tells the last story.
"""
import os
import time
from contextlib import contextmanager

import snap
from s3_place import FakeServer, Proxy
from s3_world import MIB, begin, keep, spawn, tree_compare, write
from snap import LIMIT, check, wait_for

PLAN = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  failover: true
  gc: {every: 0s}
  regions:
    - {name: here, url: "%(here)s", primary: true}
    - {name: there, url: "%(there)s"}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc}
spec: {type: files, paths: ["%(root)s/tree"]}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 29 2 *"
  sources: {names: [etc]}
  repository: main
  replicateTo: [there]
  retries: 0
"""


class Regions:
    """Two servers, of which the first is behind a network that can be bad."""

    def __init__(self, world, here, there, net, prefix="r", patience_ms=700):
        self.world, self.here, self.there, self.net = world, here, there, net
        begin(world, "", here, init=False, big=MIB)
        world.env["SNAPCTL_TEST_PATIENCE_MS"] = str(patience_ms)
        os.mkdir(world.path("keys"), 0o700)
        key = world.path("keys/main.key")
        self.key = ("--key-file", key)
        self.urls = [here.url("backup", prefix + "1").replace(
            f":{here.port}", f":{net.port}"),
            there.url("backup", prefix + "2")]
        world.run("repo", "init", self.urls[0], *self.key)
        world.run("region", "add", "there", self.urls[1], "--repo",
                  self.urls[0], *self.key)
        world.env["SNAPCTL_REPO"] = "main"
        world.env["SNAPCTL_KEY_FILE"] = key
        world.start()
        world.apply(PLAN % {"root": world.root, "here": self.urls[0],
                            "there": self.urls[1]})
        self.taken = []

    def away(self):
        """Refused from now on, and what is under way is cut."""
        self.net.control("refuse")
        self.net.control("cut", reset=True)

    def back(self):
        self.net.control("set", black_hole=False)
        self.net.control("refuse", on=False)

    def begin_run(self):
        return self.world.json("run", "start", "nightly")["id"]

    def end_run(self, number, state):
        def ended():
            row = self.world.json("run", "show", str(number))
            if row["state"] not in ("queued", "running"):
                return row
            time.sleep(0.1)  # asking costs more than waiting
            return None
        done = wait_for("the run", ended)
        check(done["state"] == state, done)
        self.taken.append(done["snapshot"][0])
        return done

    def run(self, state="succeeded"):
        return self.end_run(self.begin_run(), state)

    def restored(self, tree, says=None, region=None):
        """The newest, by name; what was said meanwhile is looked at."""
        out = self.world.path("out-" + os.urandom(4).hex())
        got = self.world.json("restore", "latest:" + self.world.tree, "--to",
                              out)
        found = tree_compare.differences(tree, out)
        check(found == [], found[:5])
        check(region in (None, got["region"]), got)
        check(says is None or says in self.world.err, self.world.err)
        return got

    def same_everywhere(self):
        """Every run's snapshot is in both, once, and to the last byte."""
        for url in self.urls:
            at = ("--repo", url, *self.key)
            listed = [s["id"] for s in
                      self.world.json("snapshot", "list", *at)]
            check(sorted(listed) == sorted(self.taken), (listed, self.taken))
            self.world.run("repo", "check", "--read-data", *at)


@contextmanager
def two_regions(world):
    with FakeServer(buckets=["backup"]) as here, \
            FakeServer(buckets=["backup"], region="eu-west-3") as there, \
            Proxy(here.port) as net:
        yield Regions(world, here, there, net)


def struck(server):
    return all(f["struck"] for f in server.control("faults"))


def told_where(done, says):
    """The run says what became of it, and so does its step."""
    check(says in done["message"] and "snapshots went to region there" in
          done["message"], done)
    step = next(s for s in done["steps"] if s["step"] == "snapshot" and
                not s.get("region"))
    check("in region there, as the primary" in step["message"], step)


def in_the_middle_of_a_run(world):
    """Connections are cut while packs are sent; it is promoted meanwhile."""
    with two_regions(world) as r:
        r.run()
        r.here.fault("hang", "PUT backup/r1/data/", every=1, seconds=60)
        write(os.path.join(world.tree, "big"), MIB, 5)
        run = r.begin_run()
        wait_for("a pack to be sent", lambda: struck(r.here))
        lost = time.monotonic()
        r.away()
        done = r.end_run(run, "partial")
        told_where(done, "the primary is away")
        r.restored(world.tree, 'reading from "there"', "there")
        print(f"     {time.monotonic() - lost:.1f} s from the loss, in the "
              "middle of a run, to its end elsewhere and a restored tree",
              flush=True)
        told = [p["message"] for p in world.json("status")["problems"]]
        check(any("region here of main does not work" in m for m in told),
              told)
        # Another is the primary from now on; what was there follows.
        got = world.json("region", "promote", "there")
        check((got["was"], got["missing"]) == ("here", 0), got)
        write(os.path.join(world.tree, "words"), 5000, 6)
        r.run("partial")
        r.here.control("clear")
        r.back()
        write(os.path.join(world.tree, "words"), 5000, 7)
        r.run()
        r.same_everywhere()
        r.restored(world.tree, region="there")
        check(world.json("status")["problems"] == [], world.json("status"))
        world.stop()


def it_says_nothing_any_more(world):
    """A black hole, in the middle of a run and of a restore."""
    with two_regions(world) as r:
        r.run()
        first = keep(world, "first")
        r.here.fault("hang", "PUT backup/r1/data/", every=1, seconds=60)
        write(os.path.join(world.tree, "big"), MIB, 5)
        run = r.begin_run()
        wait_for("a pack to be sent", lambda: struck(r.here))
        before = r.net.control("counts")["connections"]
        r.net.control("set", black_hole=True)
        wait_for("other tries", lambda: r.net.control("counts")
                 ["connections"] > before + 2)
        # The silence was met; what follows need not wait for it again.
        r.away()
        told_where(r.end_run(run, "partial"), "the primary is away")
        r.restored(world.tree, 'reading from "there"', "there")
        r.here.control("clear")
        r.back()
        r.run()
        r.same_everywhere()
        # And while it is read.
        # All data may come by one request.
        r.here.fault("hang", "GET backup/r1/data/", every=1,
                     seconds=60)
        out = world.path("out")
        child = spawn(world, "--json", "restore", r.taken[0] + ":" +
                      world.tree, "--to", out)
        wait_for("data to be read", lambda: struck(r.here), child=child)
        lost = time.monotonic()
        r.net.control("set", black_hole=True)
        said, err = child.communicate(timeout=LIMIT)
        check(child.returncode == 0 and '"region":"there"' in said and
              'reading from "there"' in err, (child.returncode, said, err))
        print(f"     {time.monotonic() - lost:.1f} s from the silence, in the "
              "middle of a restore, to the restored tree", flush=True)
        found = tree_compare.differences(first, out)
        check(found == [], found[:5])
        world.stop()


def it_is_silent_from_the_beginning(world):
    """One quick question tells a reader so; a run waits, but once."""
    with two_regions(world) as r:
        r.run()
        tries = r.net.control("counts")["connections"]

        def asked():
            nonlocal tries
            before, tries = tries, r.net.control("counts")["connections"]
            return tries - before

        r.net.control("set", black_hole=True)
        began = time.monotonic()
        r.restored(world.tree, 'reading from "there"', "there")
        took, n = time.monotonic() - began, asked()
        print(f"     {took:.1f} s and {n} tries from the command to a "
              "restored tree", flush=True)
        # What is asked at once, each once; 12 when each of all that is asked
        # had three tries.
        check(n < 9, f"{n} tries")
        began = time.monotonic()
        told_where(r.run("partial"), "the primary is away")
        took, n = time.monotonic() - began, asked()
        print(f"     {took:.1f} s and {n} tries from the beginning of a run "
              "to its end elsewhere", flush=True)
        # The first step's, and whether it is back; 60 when each of the five
        # steps that need it waited.
        check(n < 30, f"{n} tries")
        r.back()
        r.run()
        # Where no other one is left, it has all the patience there is.
        r.here.fault("hang", "GET backup/r1", next=3, seconds=60)
        r.there.child.kill()
        r.restored(world.tree, 'region "there" cannot be reached', "here")
        check(struck(r.here), r.here.control("faults"))
        check('region "here" cannot be reached' in world.err, world.err)
        world.stop()


def its_server_is_killed(world):
    """For good, while it is read: the other one has all."""
    with two_regions(world) as r:
        r.run()
        # All data may come by one request.
        r.here.fault("hang", "GET backup/r1/data/", every=1,
                     seconds=60)
        out = world.path("out")
        child = spawn(world, "--json", "restore", "latest:" + world.tree,
                      "--to", out)
        wait_for("data to be read", lambda: struck(r.here), child=child)
        lost = time.monotonic()
        r.here.child.kill()
        said, err = child.communicate(timeout=LIMIT)
        check(child.returncode == 0 and '"region":"there"' in said and
              'reading from "there"' in err, (child.returncode, said, err))
        print(f"     {time.monotonic() - lost:.1f} s from the kill, in the "
              "middle of a restore, to the restored tree", flush=True)
        found = tree_compare.differences(world.tree, out)
        check(found == [], found[:5])
        r.run("partial")
        r.restored(world.tree, 'reading from "there"', "there")
        world.stop()


def it_takes_nothing_any_more(world):
    """Its rights were taken, or its quota is used up: it can be read."""
    with two_regions(world) as r:
        r.run()
        for code, says in (("AccessDenied", "access denied"),
                           ("QuotaExceeded", "the quota is used up")):
            r.here.fault("error", "PUT backup/r1/", every=1, code=code)
            write(os.path.join(world.tree, "words"), 5000, len(code))
            done = r.run("partial")
            told_where(done, "the primary cannot be written to")
            problems = world.json("status")["problems"]
            check(any("region here of main cannot be written to" in
                      p["message"] and says in p["message"] and
                      "runs write to another region" in p["hint"]
                      for p in problems), problems)
            rows = world.json("region", "health", "main")
            check([(x["region"], x["answers"], x["writable"])
                   for x in rows] == [("here", True, False),
                                      ("there", True, True)], rows)
            r.here.control("clear")
        r.restored(world.tree, "does not have the newest", "there")
        r.run()
        r.same_everywhere()
        check(world.json("status")["problems"] == [], world.json("status"))
        world.stop()


def on_a_real_server(world, s3):
    """Twice the same, of which one is behind a network that goes."""
    with Proxy(s3.port) as net:
        # Where r1 and r2 are, others have been.
        r = Regions(world, s3, s3, net, "failover", patience_ms=5000)
        r.run()
        write(os.path.join(world.tree, "big"), 9 * MIB, 5)
        before = net.control("counts")["up"]
        # Slow enough to be met in the middle.
        net.control("set", bandwidth=4 * MIB)
        run = r.begin_run()
        wait_for("a pack to be sent", lambda: net.control("counts")["up"] >
                 before + MIB)
        lost = time.monotonic()
        r.away()
        r.end_run(run, "partial")
        r.restored(world.tree, 'reading from "there"', "there")
        print(f"     {time.monotonic() - lost:.1f} s from the loss to a "
              "restored tree", flush=True)
        world.json("region", "promote", "there")
        net.control("set", bandwidth=0)
        r.back()
        r.run()
        r.same_everywhere()
        world.stop()


if __name__ == "__main__":
    snap.tell_at_once(in_the_middle_of_a_run, it_says_nothing_any_more,
                      it_is_silent_from_the_beginning, its_server_is_killed,
                      it_takes_nothing_any_more)
