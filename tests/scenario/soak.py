#!/usr/bin/python3
"""Goal of this test: whatever happens at once, nothing acknowledged is lost.

Writers, collectors without grace, copies to a second region, restores, checks,
deletions and undeletions, each a process of its own, work at random on one
repository; some are killed, some are stopped past their lease and go on.
Outside of it is written down what each snapshot held that was acknowledged.

What must hold, while it goes on and at the end: each snapshot that was
acknowledged, and not deleted since, restores as its tree was; no command finds
damage; a collection when all is quiet leaves nothing of the dead behind.

soak.py BUILD [--minutes N] [--seed N] [--keep]

The seed decides what is done; in which order it happens the machine decides.
"""
import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import snap
from picture import picture

LEASE_MS = 500
WORKERS = 5
TREES = 4
# A command that takes longer hangs.
LIMIT = 120


class Broken(Exception):
    """What must hold does not."""


class Snapshot:
    """What is known of one that was acknowledged."""

    def __init__(self, name, held):
        self.name = name
        self.held = held
        self.state = "live"  # deleted, gone, unsure
        self.changes = 0  # of the state: whoever looks sees if it moved
        self.copied = False


class Soak:
    """A repository in two regions, some trees, and who works on them."""

    def __init__(self, root, seed):
        self.root = root
        self.seed = seed
        self.lock = threading.Lock()
        self.snapshots = []
        self.trees = [threading.Lock() for _ in range(TREES)]
        self.counts = collections.Counter()
        self.log = collections.deque(maxlen=400)
        self.begun = time.monotonic()
        self.broken = None
        self.stop = threading.Event()
        self.env = {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": root,
            "SNAPCTL_KEY_FILE": self.path("key"),
            "SNAPCTL_TEST_LEASE_MS": str(LEASE_MS),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def path(self, *names):
        return os.path.join(self.root, *names)

    def tell(self, *words):
        with self.lock:
            self.log.append(
                f"{time.monotonic() - self.begun:8.2f} " +
                " ".join(str(w) for w in words))

    def run(self, dice, *words, region="a", chaos=True):
        """snapctl, which may not live long: status (None: killed), reply."""
        p = subprocess.Popen(
            [snap.SNAPCTL, "--json", "--quiet", *words, "--repo",
             self.path(region)], env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        what = dice.random() if chaos else 1
        fate = "lives"
        if what < 0.3:
            fate = "killed" if what < 0.15 else "stopped"
            time.sleep(dice.random() * 0.15)
            p.send_signal(signal.SIGKILL if what < 0.15 else signal.SIGSTOP)
            if fate == "stopped":
                time.sleep(LEASE_MS / 1000 * (1 + dice.random()))
                p.send_signal(signal.SIGCONT)
        try:
            out, err = p.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise Broken(f"{words} hangs ({fate})") from None
        status = None if p.returncode == -signal.SIGKILL else p.returncode
        self.tell(words[:2], region, fate, status, (out + err)[:300].strip())
        with self.lock:
            self.counts[words[0] if words[0] in ("restore", "replicate")
                        else words[1], fate, status] += 1
        if status is None and fate == "killed":
            return None, None
        if status not in (0, 5, 6):
            raise Broken(f"{words} in {region} ({fate}): status {status}: "
                         f"{out}{err}")
        return status, json.loads(out) if out else None

    # ---- What is done ------------------------------------------------------

    def mutate(self, dice, n):
        """Some files of a tree are new, some go; many are shared by all."""
        tree = self.path("trees", str(n))
        for _ in range(dice.randrange(1, 4)):
            path = os.path.join(tree, f"f{dice.randrange(8)}")
            if dice.random() < 0.3 and os.path.exists(path):
                os.unlink(path)
                continue
            content = random.Random(dice.randrange(40))
            with open(path, "wb") as f:
                f.write(content.randbytes(content.choice(
                    (10, 5000, 300_000, 700_000))))

    def take(self, dice):
        n = dice.randrange(TREES)
        with self.trees[n]:
            self.mutate(dice, n)
            held = picture(self.path("trees", str(n)))
            status, reply = self.run(dice, "snapshot", "create",
                                     self.path("trees", str(n)), "--source",
                                     f"tree-{n}")
        if status == 0:
            with self.lock:
                self.snapshots.append(Snapshot(reply["snapshot"], held))

    def choose(self, dice, state):
        with self.lock:
            some = [s for s in self.snapshots if s.state == state]
            return dice.choice(some) if some else None

    def change(self, s, state):
        with self.lock:
            s.state = state
            s.changes += 1

    def delete(self, dice):
        with self.lock:
            live = [s for s in self.snapshots if s.state == "live"]
            if len(live) < 4:
                return
            s = dice.choice(live)
            s.state = "unsure"
            s.changes += 1
        status, _ = self.run(dice, "snapshot", "delete", s.name)
        if status == 0:
            self.change(s, "deleted")

    def undelete(self, dice):
        with self.lock:
            some = [s for s in self.snapshots if s.state == "deleted"]
            if not some:
                return
            s = dice.choice(some)
            s.state = "unsure"
            s.changes += 1
        status, _ = self.run(dice, "snapshot", "undelete", s.name)
        if status == 0:
            self.change(s, "live")
        elif status == 5:
            self.change(s, "gone")

    def restores(self, dice, s, region="a", chaos=True):
        to = tempfile.mkdtemp(dir=self.root, prefix="out-")
        before = s.changes
        status, _ = self.run(dice, "restore", s.name, "--to", to,
                             region=region, chaos=chaos)
        moved = s.changes != before
        if status == 0 and not moved:
            tree = next(n for n in range(TREES) if os.path.isdir(
                to + self.path("trees", str(n))))
            if picture(to + self.path("trees", str(tree))) != s.held:
                raise Broken(f"{s.name} in {region} is not what it was")
        elif status is not None and not moved and s.state == "live":
            raise Broken(f"{s.name} in {region} does not restore: {status}")
        shutil.rmtree(to)

    def restore(self, dice):
        s = self.choose(dice, "live")
        if s:
            self.restores(dice, s)

    def collect(self, dice):
        self.run(dice, "repo", "gc", "--grace", "0s", "--rewrite",
                 dice.choice(("0", "1M", "4G")),
                 region=dice.choice("aaab"))

    def check(self, dice):
        words = ("--read-data",) if dice.random() < 0.5 else ()
        self.run(dice, "repo", "check", *words, region=dice.choice("ab"))

    def copy(self, dice):
        with self.lock:
            live = [(s, s.changes) for s in self.snapshots
                    if s.state == "live"]
        status, _ = self.run(dice, "replicate", "--to", self.path("b"))
        with self.lock:
            for s, changes in live:
                if status == 0 and s.changes == changes:
                    s.copied = True

    # ---- All of it ---------------------------------------------------------

    def work(self, number):
        dice = random.Random(f"{self.seed} {number}")
        deeds = [self.take] * 5 + [self.collect] * 4 + [self.restore] * 3 + \
            [self.delete] * 3 + [self.undelete] * 2 + [self.copy] * 2 + \
            [self.check]
        while not self.stop.is_set():
            try:
                dice.choice(deeds)(dice)
            except Exception as e:  # noqa: every worker's failure is told
                with self.lock:
                    self.broken = self.broken or e
                self.stop.set()

    def quiet(self):
        """When all have ended."""
        dice = random.Random(self.seed)
        time.sleep(2 * LEASE_MS / 1000)
        self.run(dice, "replicate", "--to", self.path("b"), chaos=False)
        for region in "ab":
            for _ in range(3):
                _, got = self.run(dice, "repo", "gc", "--grace", "0s",
                                  region=region, chaos=False)
            if got["blocked_by"] or got["bytes_pending"]:
                raise Broken(f"something is left in {region}: {got}")
            for folder in ("sessions", "pins"):
                path = self.path(region, folder)
                if os.path.isdir(path) and os.listdir(path):
                    raise Broken(f"{folder} are left in {region}")
            _, got = self.run(dice, "repo", "check", "--read-data",
                              region=region, chaos=False)
            if got["unindexed"]:
                raise Broken(f"packs of nobody are left in {region}: {got}")
        for s in self.snapshots:
            if s.state != "live":
                continue
            self.restores(dice, s, "a", chaos=False)
            if s.copied:
                self.restores(dice, s, "b", chaos=False)

    def go(self, seconds):
        dice = random.Random(self.seed)
        for n in range(TREES):
            os.makedirs(self.path("trees", str(n)))
            self.mutate(dice, n)
        subprocess.run([snap.SNAPCTL, "-q", "repo", "init", self.path("a"),
                        "--key-file", self.path("key")], env=self.env,
                       check=True, stdout=subprocess.DEVNULL)
        self.run(dice, "region", "add", "there", self.path("b"), chaos=False)
        workers = [threading.Thread(target=self.work, args=(n,))
                   for n in range(WORKERS)]
        for w in workers:
            w.start()
        self.stop.wait(seconds)
        self.stop.set()
        for w in workers:
            w.join()
        if self.broken:
            raise self.broken
        self.quiet()

    def summary(self):
        rows = sorted(self.counts.items(), key=str)
        for (verb, fate, status), n in rows:
            print(f"  {verb:10} {fate:8} "
                  f"{'-' if status is None else status:>3} {n:6}")
        fences = sum(len(os.listdir(self.path(r, "fences"))) for r in "ab"
                     if os.path.isdir(self.path(r, "fences")))
        states = collections.Counter(s.state for s in self.snapshots)
        print(f"  {sum(self.counts.values())} commands, "
              f"{len(self.snapshots)} snapshots {dict(states)}, "
              f"{fences} sessions given up")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--minutes", type=float, default=0.75)
    parser.add_argument("--seed", default=os.environ.get("SNAPCTL_TEST_SEED")
                        or str(random.randrange(1 << 32)))
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    print(f"SNAPCTL_TEST_SEED={args.seed}", flush=True)
    root = tempfile.mkdtemp(prefix="snapctl-soak-", suffix=".d")
    soak = Soak(root, args.seed)
    try:
        soak.go(args.minutes * 60)
    except Exception as e:  # noqa: what went on is worth more than a trace
        print("\n".join(soak.log))
        print(f"FAIL {e!r}")
        print(f"kept: {root}" if args.keep else "--keep keeps the folder")
        return 1
    finally:
        soak.summary()
        if not args.keep:
            shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
