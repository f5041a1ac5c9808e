"""What a soak knows of its repository, from what was acknowledged to it."""
import time


class Broken(Exception):
    """What must hold does not."""


class Snapshot:
    """One that was acknowledged, as it is in regions a and b."""

    def __init__(self, name, source, picture):
        self.name = name
        self.source = source
        self.picture = picture
        # live, deleted, gone; moving: someone is at it; unsure: who was at it
        # was killed, or given up.
        self.state = {"a": "live", "b": "absent"}
        # How often that changed: whoever looks sees if it moved meanwhile.
        self.changes = {"a": 0, "b": 0}
        # A collector may yet annul an undelete that is seen to count.
        self.doubt = False
        # An undelete was tried in b alone since it was last deleted in a.
        self.tried_in_b = False

    def become(self, region, state):
        self.state[region] = state
        self.changes[region] += 1


class Hold:
    """A legal hold that was asked for, whatever came of it."""

    def __init__(self, case, region, source, snapshots):
        self.case = case
        self.region = region
        self.source = source
        self.snapshots = snapshots
        self.id = None
        # moving, in force, unsure, released
        self.state = "moving"
        self.regions = set()  # that know of it, for sure
        self.since = {}  # when, by region
        # Of whom it is known that no deletion can have overtaken it.
        self.firm = {"a": set(), "b": set()}
        self.ended = {}  # when, by region

    def covers(self, s):
        return s in self.snapshots or s.source == self.source

    def end(self, region):
        self.ended[region] = time.monotonic()


class Known:
    """Everything of it; whoever reads or writes it has the lock."""

    def __init__(self, lock):
        self.lock = lock
        self.snapshots = []
        self.holds = []
        # [begun, ended or None, grace in seconds] of collections, by region
        self.collections = {"a": [], "b": []}
        # Pictures of snapshots that nobody acknowledged, by source: they may
        # be there or not.
        self.unacknowledged = {}

    def claim(self, dice, region, state, least=1, rather=()):
        """Take one in that state for oneself, rather one of those; None:
        there are not enough."""
        with self.lock:
            some = [s for s in self.snapshots if s.state[region] == state]
            if len(some) < least:
                return None
            s = dice.choice([s for s in rather if s.state[region] == state] or
                            some)
            s.become(region, "moving")
            return s

    def become(self, s, region, state):
        with self.lock:
            s.become(region, state)

    def seen(self):
        """How all are, to be compared with later."""
        with self.lock:
            return {s: (dict(s.state), dict(s.changes))
                    for s in self.snapshots}

    def stayed(self, seen, s, region):
        """The state that it was in all the time since, or None."""
        if s not in seen:  # it is newer
            return s.state[region] if s.changes[region] == 0 else None
        state, changes = seen[s]
        return (state[region] if changes[region] == s.changes[region]
                else None)

    def take(self, s):
        """It was acknowledged; holds of its source hold it from now on."""
        with self.lock:
            self.snapshots.append(s)
            for h in self.holds:
                if (h.source == s.source and h.state == "in force" and
                        "a" in h.regions):
                    h.firm["a"].add(s)

    # ---- Holds -------------------------------------------------------------

    def firm_holds(self, s, region):
        """Those in force for it that every collector must obey."""
        with self.lock:
            return [h for h in self.holds if h.state == "in force" and
                    s in h.firm[region]]

    def in_force(self, holds):
        """Whether one of them still is."""
        with self.lock:
            return any(h.state == "in force" for h in holds)

    def may_be_held(self, s, region, since):
        """Whether a hold covered it at any time since."""
        with self.lock:
            return any(h.covers(s) and h.ended.get(region, since) >= since
                       for h in self.holds)

    def acknowledge(self, h, region, seen, quiet):
        """It has force in region; seen is older than that.  With the lock."""
        h.regions.add(region)
        h.since.setdefault(region, time.monotonic())
        for s in self.snapshots:
            stayed = self.stayed(seen, s, region)
            if h.covers(s) and (stayed == "live" or stayed == "deleted" and
                                quiet and s in h.snapshots):
                h.firm[region].add(s)

    def found(self, region, since, names):
        """What was listed since then: who can still overtake a hold of it?

        Only a collection that did not see it, as it had begun before.
        """
        with self.lock:
            for h in self.holds:
                if h.state != "in force" or region not in h.regions or any(
                        begun <= h.since[region] and
                        (ended is None or ended >= since)
                        for begun, ended, _ in self.collections[region]):
                    continue
                h.firm[region].update(s for s in self.snapshots
                                      if h.covers(s) and s.name in names)

    # ---- Collections -------------------------------------------------------

    def begin_collection(self, region, grace):
        row = [time.monotonic(), None, grace]
        with self.lock:
            rows = self.collections[region]
            # Those that ended long ago overlap with nothing any more.
            rows[:] = [r for r in rows
                       if r[1] is None or r[1] > row[0] - 300] + [row]
        return row

    def end_collection(self, row):
        with self.lock:
            row[1] = time.monotonic()

    def collections_since(self, region, since):
        """The graces of those that ran at any time since then."""
        with self.lock:
            return [grace for begun, ended, grace in self.collections[region]
                    if ended is None or ended >= since]
