#!/usr/bin/python3
"""Goal of this test: whatever happens at once, nothing acknowledged is lost.

Writers, collectors with and without grace, copies to a second region,
restores, checks and repairs, deletions and undeletions, holds, keys added and
revoked, each a process of its own, work at random on one repository.  Some are
killed, alone or two at once, at any moment of their life; some are asked to
end; some are stopped past their lease and go on.  Outside of it is written
down what was acknowledged (soak_known.py).

What must hold, while it goes on and at the end:

  1. each snapshot that was acknowledged, and not deleted since, is listed, not
     as deleted, and restores as its tree was; also from b, once it was copied;
  2. what was asked to be deleted is deleted or not, or gone, whenever who
     asked was killed; it is undeleted within the grace of all collectors;
  3. a hold that was acknowledged is obeyed: who deletes is refused, what was
     deleted stays restorable;
  4. no command finds damage, and each ends as STATUSES says;
  5. when all is quiet one collection leaves nothing of the dead behind, and
     further ones find nothing to do.

soak.py BUILD [--minutes N] [--seed N] [--keep]

The seed decides what each worker does, one deed after the other; in which
order those of different workers happen the machine decides.
"""
import argparse
import collections
import contextlib
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
from soak_known import Broken, Hold, Known, Snapshot

LEASE_MS = 500
LEASE = LEASE_MS / 1000
WORKERS = 5
TREES = 4
# More that are live are not wanted: each is restored at the end.
LIVE = 60
HOLDS = 6
# A command that takes longer hangs.
LIMIT = 120
# Seconds: in each third phase no collector is without grace.
PHASE = 6
GRACE = 2
# Seconds between two changes of the keys: there are 1,024 epochs at most.
KEYS_EVERY = 8

DONE, FAILED, NOT_FOUND, BUSY, DENIED, INTERRUPTED = 0, 1, 5, 6, 7, 130

# How a command may end: always; if what it names may be gone; if it may be
# held.  One that was asked to end may say that it was interrupted, and one
# during whose life the region's keys may have changed, that it is busy.
STATUSES = {
    "snapshot create": ((DONE, BUSY), (), ()),
    "snapshot delete": ((DONE,), (NOT_FOUND,), (DENIED,)),
    "snapshot undelete": ((DONE, BUSY), (NOT_FOUND,), ()),
    "snapshot list": ((DONE,), (), ()),
    "restore": ((DONE,), (NOT_FOUND,), ()),
    "replicate": ((DONE, BUSY), (), ()),
    "region add": ((DONE,), (), ()),
    "repo gc": ((DONE, BUSY), (), ()),
    "repo check": ((DONE, BUSY), (), ()),
    "repo stats": ((DONE,), (), ()),
    "hold add": ((DONE,), (NOT_FOUND,), ()),
    "hold release": ((DONE,), (), ()),
    "hold list": ((DONE,), (), ()),
    "key add": ((DONE,), (), ()),
    "key revoke": ((DONE,), (NOT_FOUND,), ()),
}


def catches_sigterm(pid):
    """Whether it would be asked; before, and by then, it just dies."""
    try:
        with open(f"/proc/{pid}/status") as f:
            mask = next(line for line in f if line.startswith("SigCgt"))
        return int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1
    except (OSError, StopIteration):
        return False


class Command:
    """One process, and what was done to it."""

    def __init__(self, words, process):
        self.words = words
        self.process = process
        self.begun = time.monotonic()
        self.fate = "lives"
        self.lived = None  # how long, by its end
        self.killed = False
        self.asked = False  # to end
        self.listens = False  # to that, by then

    def kill(self):
        self.fate = "killed"
        self.killed = True
        self.process.kill()

    def ask(self):
        self.fate = "asked"
        self.asked = True
        self.listens = catches_sigterm(self.process.pid)
        self.process.send_signal(signal.SIGTERM)

    def died(self):
        """As it was told to, without an acknowledgement."""
        status = self.process.returncode
        return (self.killed and status == -signal.SIGKILL or
                self.asked and status == INTERRUPTED or
                self.asked and not self.listens and
                status == -signal.SIGTERM)


class Soak:
    """A repository in two regions, some trees, and who works on them."""

    def __init__(self, root, seed):
        self.root = root
        self.seed = seed
        self.lock = threading.RLock()
        self.known = Known(self.lock)
        self.trees = [threading.Lock() for _ in range(TREES)]
        self.keys = threading.Lock()
        self.keys_at = 0
        self.slots = []  # [slot, key file, state]
        # When a region's keys may have changed last.
        self.keys_changed = {"a": 0, "b": 0}
        self.changing = {"a": 0, "b": 0}
        self.counts = collections.Counter()
        self.running = []
        # What a verb takes on average when nobody disturbs it.
        self.takes = collections.defaultdict(lambda: 0.05)
        self.numbers = iter(range(1 << 62))
        self.log = collections.deque(maxlen=400)
        self.begun = time.monotonic()
        self.broken = None
        self.stop = threading.Event()
        os.mkdir(self.path("scratch"))
        self.whole_log = open(self.path("log"), "w", buffering=1)
        self.env = {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": root,
            "TMPDIR": self.path("scratch"),
            "SNAPCTL_KEY_FILE": self.path("key"),
            "SNAPCTL_TEST_LEASE_MS": str(LEASE_MS),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def path(self, *names):
        return os.path.join(self.root, *names)

    def tree(self, source):
        return self.path("trees", source)

    def tell(self, *words):
        line = (f"{time.monotonic() - self.begun:8.2f} "
                f"{threading.current_thread().name:8} " +
                " ".join(str(w) for w in words))
        with self.lock:
            self.log.append(line)
            self.whole_log.write(line + "\n")

    # ---- One command -------------------------------------------------------

    def disturb(self, c, dice, verb):
        """Do to it what the dice say, at some moment of its life."""
        what = dice.random()
        moment = dice.random() * 1.1
        pause = LEASE * (1 + dice.random())
        twin = dice.random() < 0.3
        which = dice.random()
        if what > 0.32:
            return
        with self.lock:
            delay = moment * self.takes[verb]
        try:
            c.process.wait(delay)
            return
        except subprocess.TimeoutExpired:
            pass
        if what < 0.14:
            with self.lock:
                others = [x for x in self.running if x is not c]
                c.kill()
                if twin and others:
                    others[int(which * len(others))].kill()
        elif what < 0.2:
            c.ask()
        else:
            c.fate = "stopped"
            c.process.send_signal(signal.SIGSTOP)
            time.sleep(pause)
            c.process.send_signal(signal.SIGCONT)

    def finish(self, c):
        try:
            out, err = c.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            c.process.kill()
            c.process.communicate()
            raise Broken(f"{c.words} hangs ({c.fate})") from None
        c.lived = time.monotonic() - c.begun
        return out, err

    def start(self, words, region, key):
        return Command(words, subprocess.Popen(
            [snap.SNAPCTL, "--json", "--quiet", *words, "--repo",
             self.path(region)], text=True,
            env={**self.env, "SNAPCTL_KEY_FILE": key or self.path("key")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE))

    def run(self, dice, *words, region="a", chaos=True, gone=False,
            held=False, key=None):
        """snapctl, which may not live long: (status, reply, command).

        The status is None of who was killed, or interrupted, or gave up as
        a key was revoked meanwhile.
        """
        verb = (words[0] if words[0] in ("restore", "replicate")
                else " ".join(words[:2]))
        c = self.start(words, region, key)
        if chaos:
            with self.lock:
                self.running.append(c)
        try:
            if chaos:
                self.disturb(c, dice, verb)
            out, err = self.finish(c)
        finally:
            with self.lock:
                if c in self.running:
                    self.running.remove(c)
        status = c.process.returncode
        self.tell(" ".join(w.replace(self.root, "") for w in words), region,
                  c.fate, status, f"{c.lived:.2f} s",
                  (out + err)[:300].strip())
        with self.lock:
            self.counts[verb, c.fate, status] += 1
            if c.fate == "lives":
                self.takes[verb] += (c.lived - self.takes[verb]) / 8
        if c.died():
            return None, None, c
        with self.lock:
            late = self.keys_changed[region] >= c.begun
        if (status == BUSY and late and BUSY not in STATUSES[verb][0] and
                "a key was revoked meanwhile" in out):
            return None, None, c
        always, if_gone, if_held = STATUSES[verb]
        if status not in (*always, *(if_gone if gone else ()),
                          *(if_held if held else ())):
            raise Broken(f"{words} in {region} ({c.fate}): status {status}: "
                         f"{out}{err}")
        return status, json.loads(out) if out else None, c

    # ---- Snapshots ---------------------------------------------------------

    def mutate(self, dice, source):
        """Some files of a tree are new, some go; many are shared by all."""
        tree = self.tree(source)
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
        source = f"tree-{n}"
        with self.lock:
            full = sum(s.state["a"] == "live"
                       for s in self.known.snapshots) >= LIVE
        if full:
            self.delete(dice)
            return
        with self.trees[n]:
            self.mutate(dice, source)
            held = picture(self.tree(source))
            status, reply, _ = self.run(dice, "snapshot", "create",
                                        self.tree(source), "--source",
                                        source)
        if status == DONE:
            if reply["state"] != "complete":
                raise Broken(f"what was taken is not complete: {reply}")
            self.known.take(Snapshot(reply["snapshot"], source, held))
        # Who was given up begins anew, and may leave one besides.
        with self.lock:
            self.known.unacknowledged.setdefault(source, []).append(held)

    def ask_deletion(self, dice, s, chaos=True, gone=False):
        """snapshot delete of one that is claimed, and live: the status."""
        since = time.monotonic()
        firm = self.known.firm_holds(s, "a")
        with self.lock:
            before = s.state["b"]
            s.become("b", "unsure")
            s.tried_in_b = False
        status, _, _ = self.run(dice, "snapshot", "delete", s.name, held=True,
                                chaos=chaos, gone=gone)
        if status == DONE and self.known.in_force(firm):
            raise Broken(f"{s.name} was deleted under a hold")
        if status == DENIED and not self.known.may_be_held(s, "a", since):
            raise Broken(f"{s.name} is not held, and could not be deleted")
        with self.lock:
            if status == DENIED and before in ("live", "absent"):
                s.become("b", before)
            s.become("a", {DONE: "deleted", DENIED: "live",
                           NOT_FOUND: "unsure", None: "unsure"}[status])
        return status

    def ask_undeletion(self, dice, s, region, chaos=True):
        """snapshot undelete of one that is claimed: the status."""
        firm = self.known.firm_holds(s, region)
        status, _, c = self.run(dice, "snapshot", "undelete", s.name,
                                region=region, gone=True, chaos=chaos)
        if status == NOT_FOUND and self.known.in_force(firm):
            raise Broken(f"{s.name} cannot be undeleted in {region}, though "
                         "it is held")
        with self.lock:
            if status != DONE and region == "a":
                # It was killed sooner than it can have been given up.
                s.doubt = c.lived >= LEASE
            s.become(region, "live" if status == DONE else "unsure")
        return status

    def delete(self, dice):
        # One that is held in b, and not in a, follows there and must stay.
        with self.lock:
            held = [s for s in self.known.snapshots
                    if s.state["a"] == "live" and
                    self.known.firm_holds(s, "b") and
                    not self.known.firm_holds(s, "a")]
        s = self.known.claim(dice, "a", "live", 4,
                             held if dice.random() < 0.5 else ())
        if s:
            self.ask_deletion(dice, s)

    def undelete(self, dice):
        s = self.known.claim(dice, "a", "deleted")
        if not s:
            return
        with self.lock:
            s.become("b", "unsure")
        self.ask_undeletion(dice, s, "a")

    def undelete_in_b(self, dice):
        """In b only: it stays so, whatever a does but to delete it anew."""
        with self.lock:
            some = [s for s in self.known.snapshots
                    if s.state["b"] == "deleted" and
                    s.state["a"] in ("deleted", "gone")]
            if not some:
                return
            s = dice.choice(some)
            s.become("b", "moving")
            s.tried_in_b = True
            changes = s.changes["b"]
        firm = self.known.firm_holds(s, "b")
        status, _, _ = self.run(dice, "snapshot", "undelete", s.name,
                                region="b", gone=True)
        if status == NOT_FOUND and self.known.in_force(firm):
            raise Broken(f"{s.name} cannot be undeleted in b, but is held")
        with self.lock:
            # Else a new deletion may have come by a copy.
            if s.changes["b"] == changes:
                s.become("b", "live" if status == DONE else "unsure")

    def regret(self, dice):
        """Delete, and undelete at once."""
        s = self.known.claim(dice, "a", "live", least=4)
        if not s:
            return
        since = time.monotonic()
        if self.ask_deletion(dice, s, chaos=False) != DONE:
            return
        with self.lock:
            s.become("a", "moving")
        status = self.ask_undeletion(dice, s, "a", chaos=False)
        graces = self.known.collections_since("a", since)
        took = time.monotonic() - since
        if all(took < g for g in [GRACE, *graces]):
            self.tell("within the grace of all")
            with self.lock:
                self.counts["(regret)", "within the grace", status] += 1
            if status == NOT_FOUND:
                raise Broken(f"{s.name} was not undeleted within the grace")

    # ---- Looking -----------------------------------------------------------

    def listed(self, dice, region, chaos=True):
        """Rows by id, after they were held against what is known."""
        seen = self.known.seen()
        firm = {s: self.known.firm_holds(s, region) for s in seen}
        since = time.monotonic()
        _, rows, _ = self.run(dice, "snapshot", "list", "--deleted",
                              region=region, chaos=chaos)
        if rows is None:
            return None
        found = {r["id"]: "deleted" if "deleted" in r else "live"
                 for r in rows}
        if len(found) != len(rows):
            raise Broken(f"a snapshot is listed twice in {region}")
        with self.lock:
            for s in seen:
                state = self.known.stayed(seen, s, region)
                got = found.get(s.name, "gone")
                fits = {"live": ("live",), "deleted": ("deleted", "gone"),
                        "gone": ("gone",)}.get(state)
                if fits and got not in fits:
                    raise Broken(f"{s.name} is {state} in {region}, and "
                                 f"listed as {got}")
                if got == "gone" and self.known.in_force(firm[s]):
                    raise Broken(f"{s.name} is gone in {region}, but held")
        self.known.found(region, since, found)
        return found

    def look(self, dice):
        """Settle what those were at who were killed."""
        region = "b" if dice.random() < 0.3 else "a"
        unsure = []
        while region == "a":
            s = self.known.claim(dice, "a", "unsure")
            if not s:
                break
            unsure.append(s)
        found = None
        try:
            found = self.listed(dice, region)
        finally:
            for s in unsure:
                self.settle(dice, s, found and found.get(s.name, "gone"))

    def settle(self, dice, s, state):
        """A claimed one that is listed so; None: nobody could list."""
        if state is None:
            self.known.become(s, "a", "unsure")
        elif state == "live" and s.doubt:
            # A collector may not be done with who undeleted it: only a
            # deletion leaves no doubt.
            if self.ask_deletion(dice, s, gone=True) == DONE:
                s.doubt = False
            elif s.state["a"] == "live":
                self.known.become(s, "a", "unsure")
        else:
            s.doubt = False
            self.known.become(s, "a", state)
            self.tell(s.name, "is found to be", state)

    def restores(self, dice, s, region="a", chaos=True, must=False):
        with self.lock:
            state, changes = s.state[region], s.changes[region]
        firm = self.known.firm_holds(s, region)
        to = tempfile.mkdtemp(dir=self.root, prefix="out-")
        status, _, _ = self.run(dice, "restore", s.name, "--to", to,
                                region=region, chaos=chaos, gone=True)
        must = must or self.known.in_force(firm)
        with self.lock:
            must = must or state == "live" and changes == s.changes[region]
        if status == DONE:
            self.compare(to, s.name, s.source, [s.picture], region)
        elif status is not None and must:
            raise Broken(f"{s.name}, which is {state} in {region}" +
                         (" and held" if firm else "") +
                         f", does not restore: {status}")
        shutil.rmtree(to)

    def compare(self, to, name, source, pictures, region):
        if picture(to + self.tree(source)) not in pictures:
            raise Broken(f"{name} in {region} is not what it was: {to}")

    def restore(self, dice):
        region = dice.choice("aab")
        state = "live" if dice.random() < 0.6 else "deleted"
        with self.lock:
            some = [s for s in self.known.snapshots
                    if s.state[region] == state]
            if state == "deleted":
                some = [s for s in some
                        if self.known.firm_holds(s, region)] or some
            s = dice.choice(some) if some else None
        if s:
            self.restores(dice, s, region)

    def check(self, dice):
        words = [w for w, often in (("--read-data", 0.5), ("--repair", 0.3))
                 if dice.random() < often]
        status, got, _ = self.run(dice, "repo", "check", *words,
                                  region=dice.choice("ab"))
        if status == DONE and not got["sound"]:
            raise Broken(f"it is not sound: {got}")

    # ---- Collecting and copying --------------------------------------------

    def is_calm(self):
        return int((time.monotonic() - self.begun) / PHASE) % 3 == 2

    def collect(self, dice):
        region = dice.choice("aaab")
        rewrite = dice.choice(("0", "1M", "4G"))
        grace = GRACE * dice.randrange(1, 3)
        if dice.random() < 0.7 and not self.is_calm():
            grace = 0
        row = self.known.begin_collection(region, grace)
        self.run(dice, "repo", "gc", "--grace", f"{grace}s", "--rewrite",
                 rewrite, region=region)
        self.known.end_collection(row)

    def copy(self, dice, chaos=True):
        seen = self.known.seen()
        with self.lock:
            holds = [(h, h.state) for h in self.known.holds]
        with self.change_keys("b"):
            status, _, _ = self.run(dice, "replicate", "--to",
                                    self.path("b"), chaos=chaos)
        if status != DONE:
            return status
        with self.lock:
            for s in seen:
                if (self.known.stayed(seen, s, "b") in (None, "moving") or
                        s.tried_in_b and s.state["a"] != "live"):
                    continue
                state = self.known.stayed(seen, s, "a")
                if state == "live" and s.state["b"] != "live":
                    s.become("b", "live")
                elif state == "deleted":
                    s.become("b", "deleted")
            now = self.known.seen()
            for h, before in holds:
                if before == h.state == "in force":
                    for region in {"a", "b"} - h.regions:
                        self.known.acknowledge(h, region, now, False)
                elif before == h.state == "released":
                    for region in {"a", "b"} - set(h.ended):
                        h.end(region)
        return status

    # ---- Holds -------------------------------------------------------------

    def hold_add(self, dice):
        region = dice.choice("aab")
        of_source = dice.random() < 0.1
        source = f"tree-{dice.randrange(TREES)}" if of_source else None
        state = "live" if dice.random() < 0.6 else "deleted"
        with self.lock:
            if sum(h.state != "released" for h in self.known.holds) >= HOLDS:
                return
            some = [s for s in self.known.snapshots
                    if s.state[region] == state]
            if not of_source and not some:
                return
            chosen = [] if of_source else sorted(
                {dice.choice(some) for _ in range(2)}, key=lambda s: s.name)
            case = f"case {next(self.numbers)}"
            h = Hold(case, region, source, chosen)
            self.known.holds.append(h)
        seen = self.known.seen()
        since = time.monotonic()
        status, reply, _ = self.run(
            dice, "hold", "add", *(s.name for s in chosen), "--case", case,
            *(("--source", source) if source else ()), region=region,
            gone=True)
        quiet = not self.known.collections_since(region, since)
        with self.lock:
            if status == DONE:
                h.id = reply["hold"]
                h.state = "in force"
                self.known.acknowledge(h, region, seen, quiet)
            elif status is None:
                h.state = "unsure"
            else:
                h.state = "released"
                h.end("a")
                h.end("b")
                if all(self.known.stayed(seen, s, region) == "live"
                       for s in chosen):
                    raise Broken(f"{case}: what is to be held is not found")

    def hold_release(self, dice):
        with self.lock:
            some = [h for h in self.known.holds if h.state == "in force"]
            if len(some) < 2:
                return
            # Those of sources stand in the way of all who delete.
            some = [h for h in some if h.source] or some
            h = dice.choice(some)
            h.state = "moving"
        region = dice.choice(sorted(h.regions))
        status, _, _ = self.run(dice, "hold", "release", h.id, region=region)
        with self.lock:
            h.region = region
            h.state = "released" if status == DONE else "unsure"
            if status == DONE:
                h.end(region)

    def hold_look(self, dice, region=None, chaos=True):
        """Those in force are listed; what came of the unsure ones is seen."""
        region = region or dice.choice("ab")
        seen = self.known.seen()
        with self.lock:
            unsure = [h for h in self.known.holds if h.state == "unsure" and
                      h.region == region]
            for h in unsure:
                h.state = "moving"
            before = [(h, h.state, set(h.regions), set(h.ended))
                      for h in self.known.holds]
        _, rows, _ = self.run(dice, "hold", "list", region=region,
                              chaos=chaos)
        with self.lock:
            if rows is None:
                for h in unsure:
                    h.state = "unsure"
                return
            listed = {r["case"]: r for r in rows}
            known = {h.case for h in self.known.holds}
            if set(listed) - known:
                raise Broken(f"holds that nobody asked for: {listed}")
            for h, state, regions, ended in before:
                row = listed.get(h.case)
                if (state == h.state == "in force" and region in regions and
                        (not row or row["id"] != h.id)):
                    raise Broken(f"{h.case} is not listed in {region}")
                if row and region in ended:
                    raise Broken(f"{h.case} was released in {region}")
            for h in unsure:
                row = listed.get(h.case)
                if row:
                    h.id = row["id"]
                    h.state = "in force"
                    self.known.acknowledge(h, region, seen, False)
                else:
                    h.state = "released"
                    h.end(region)
                    if not h.regions:  # it never came to be
                        h.end("b" if region == "a" else "a")

    # ---- Keys --------------------------------------------------------------

    def key(self, dice):
        """A key more, or one of them less; it opens, or no more."""
        if not self.keys.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self.keys_at < KEYS_EVERY:
                return
            self.keys_at = time.monotonic()
            live = [s for s in self.slots if s[2] != "revoked"]
            if len(live) < 2:
                self.key_add(dice)
            else:
                self.key_revoke(dice, live[0])
        finally:
            self.keys.release()

    @contextlib.contextmanager
    def change_keys(self, region):
        """Whoever is at work there meanwhile may meet a new epoch."""
        with self.lock:
            self.changing[region] += 1
            self.keys_changed[region] = float("inf")
        try:
            yield
        finally:
            with self.lock:
                self.changing[region] -= 1
                if not self.changing[region]:
                    self.keys_changed[region] = time.monotonic()

    def key_add(self, dice):
        file = self.path(f"key-{len(self.slots)}-{next(self.numbers)}")
        status, reply, _ = self.run(dice, "key", "add", "--new-key-file",
                                    file)
        if status == DONE:
            self.slots.append([reply["slot"], file, "added"])
            self.run(dice, "hold", "list", key=file, chaos=False)

    def key_revoke(self, dice, slot):
        # Repeated, it finishes what another began, and may find it done.
        again = slot[2] == "unsure"
        slot[2] = "unsure"
        with self.change_keys("a"):
            status, _, _ = self.run(dice, "key", "revoke", slot[0],
                                    gone=again)
        if status is not None:
            slot[2] = "revoked"
            self.opens(dice, slot, "a")

    def opens(self, dice, slot, region):
        """A key that was revoked does not; one that was added does."""
        c = self.start(("snapshot", "list"), region, slot[1])
        self.finish(c)
        if (c.process.returncode == 0) != (slot[2] == "added"):
            raise Broken(f"key slot {slot} in {region}: snapshot list ends "
                         f"with {c.process.returncode}")

    # ---- When all have ended -----------------------------------------------

    def collect_all(self, dice, region):
        """Once; then nothing of the dead is there, and nothing to do."""
        for name in self.names(region, "tmp"):  # as if a day ago
            os.utime(self.path(region, "tmp", name), (0, 0))
        self.run(dice, "repo", "gc", "--grace", "0s", region=region,
                 chaos=False)
        for folder in ("sessions", "pins", "tmp"):
            left = self.names(region, folder)
            if left:
                raise Broken(f"left in {region}/{folder}: {left}")
        # The first may end with a merge: what of the index that replaces
        # goes with the second.
        for idle in ("chunks", "chunks_needed", "bytes_freed"), (
                "chunks", "chunks_needed"):
            _, got, _ = self.run(dice, "repo", "gc", "--grace", "0s",
                                 region=region, chaos=False)
            if any(got[k] for k in got if k not in idle):
                raise Broken(f"a further collection in {region} does {got}")
        _, got, _ = self.run(dice, "repo", "check", "--read-data",
                             region=region, chaos=False)
        packs = sum(len(names) for kind in ("data", "meta") for _, _, names
                    in os.walk(self.path(region, kind)))
        _, stats, _ = self.run(dice, "repo", "stats", region=region,
                               chaos=False)
        if (not got["sound"] or got["unindexed"] or got["unknown"] or
                packs != stats["packs"]):
            raise Broken(f"in {region} are {packs} packs: {got}, {stats}")

    def names(self, *names):
        try:
            return sorted(os.listdir(self.path(*names)))
        except FileNotFoundError:
            return []

    def restore_all(self, dice, region):
        """All that is listed; of what nobody acknowledged, what is there."""
        found = self.listed(dice, region, chaos=False)
        known = {s.name: s for s in self.known.snapshots}
        for name in found:
            s = known.get(name)
            if s:
                if found[name] == "live" or self.known.firm_holds(s, region):
                    self.restores(dice, s, region, chaos=False, must=True)
                continue
            to = tempfile.mkdtemp(dir=self.root, prefix="out-")
            self.run(dice, "restore", name, "--to", to, region=region,
                     chaos=False)
            source = os.listdir(to + self.path("trees"))[0]
            self.compare(to, name, source,
                         self.known.unacknowledged.get(source, []), region)
            shutil.rmtree(to)
    def quiet(self):
        dice = random.Random(self.seed)
        time.sleep(2 * LEASE)
        self.tell("all have ended")
        for region in "ab":
            self.hold_look(dice, region, chaos=False)
        if self.copy(dice, chaos=False) != DONE:
            raise Broken("nobody is there, and it cannot be copied")
        for region in "ab":
            self.collect_all(dice, region)
            self.restore_all(dice, region)
            for slot in self.slots:
                if slot[2] != "unsure":
                    self.opens(dice, slot, region)
        for h in self.known.holds:
            if h.state == "in force":
                self.run(dice, "hold", "release", h.id, chaos=False,
                         region=min(h.regions))
                h.state = "released"
        self.copy(dice, chaos=False)
        for region in "ab":
            self.collect_all(dice, region)
            found = self.listed(dice, region, chaos=False)
            if "deleted" in found.values():
                raise Broken(f"what was deleted is still in {region}")
            lost = [s.name for s in self.known.snapshots
                    if s.state["a"] == "live" and s.name not in found]
            if lost:
                raise Broken(f"lost in {region}: {lost}")
        if self.names("scratch"):
            raise Broken(f"left behind: {self.names('scratch')}")

    # ---- All of it ---------------------------------------------------------

    def work(self, number):
        deeds = [self.take] * 10 + [self.collect] * 7 + \
            [self.restore] * 5 + [self.delete] * 6 + [self.undelete] * 3 + \
            [self.undelete_in_b] + [self.regret] * 2 + [self.copy] * 4 + \
            [self.check] * 2 + [self.look] * 3 + [self.hold_add] * 3 + \
            [self.hold_release] * 2 + [self.hold_look] + [self.key]
        turn = 0
        while not self.stop.is_set():
            # Dice of its own: how often one deed rolls changes no other.
            dice = random.Random(f"{self.seed} {number} {turn}")
            deed = dice.choice(deeds)
            threading.current_thread().name = f"{number}.{turn}"
            turn += 1
            try:
                deed(dice)
            except Exception as e:  # noqa: every worker's failure is told
                self.tell("FAIL", deed.__name__, repr(e))
                with self.lock:
                    self.broken = self.broken or e
                self.stop.set()

    def go(self, seconds):
        dice = random.Random(self.seed)
        for n in range(TREES):
            os.makedirs(self.tree(f"tree-{n}"))
            self.mutate(dice, f"tree-{n}")
        subprocess.run([snap.SNAPCTL, "-q", "repo", "init", self.path("a"),
                        "--key-file", self.path("key")], env=self.env,
                       check=True, stdout=subprocess.DEVNULL)
        self.run(dice, "region", "add", "there", self.path("b"), chaos=False)
        workers = [threading.Thread(target=self.work, args=(n,), daemon=True)
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
            print(f"  {verb:18} {fate:8} {status:>4} {n:6}")
        fences = sum(len(self.names(r, "fences")) for r in "ab")
        states = collections.Counter(s.state["a"]
                                     for s in self.known.snapshots)
        print(f"  {sum(self.counts.values())} commands, "
              f"{len(self.known.snapshots)} snapshots {dict(states)}, "
              f"{len(self.known.holds)} holds, "
              f"{len(self.slots)} keys, {fences} sessions given up")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--minutes", type=float, default=0.75)
    parser.add_argument("--seed", default=os.environ.get("SNAPCTL_TEST_SEED")
                        or str(random.randrange(1 << 32)))
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    print(f"SNAPCTL_TEST_SEED={args.seed}", flush=True)
    os.umask(0o022)
    root = tempfile.mkdtemp(prefix="snapctl-soak-", suffix=".d")
    soak = Soak(root, args.seed)
    keep = True
    # What ends a test that takes too long: its folder tells why.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        soak.go(args.minutes * 60)
        keep = args.keep
    except Exception as e:  # noqa: what went on is worth more than a trace
        print("\n".join(soak.log))
        print(f"FAIL {e!r}\nSNAPCTL_TEST_SEED={args.seed} does the same "
              f"deeds again")
        return 1
    finally:
        soak.summary()
        if keep:
            print(f"kept: {root} (its log has every command)")
        else:
            shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
