#!/usr/bin/python3
"""Goal of this test: the timetable is kept, whatever happens to the daemon.

Down over five occurrences there are five rows; killed at random points none is
lost or doubled; a hung run delays nobody; applying fires nothing; stopping and
reloading do what they say. The clock is shifted, so hours pass in no time.
"""
import datetime
import os
import random
import re
import signal
import socket
import subprocess
import time

import snap
from runs import ended
from snap import LIMIT, MANIFEST, SCHEDULE, SNAPCTLD, check, wait_for


def declare(world, cron, more="", name="nightly", most=4):
    world.apply(MANIFEST % (world.root, most) + SCHEDULE % (name, cron, more))


def settled(world, n):
    """The ledger once it has n rows and all have ended."""
    def look():
        rows = world.ledger()
        return len(rows) >= n and rows if all(
            r[1] not in ("due", "running") for r in rows) else None
    return wait_for(f"{n} ended occurrences", look)


def to_minute(world, second, of=60):
    """Shift the clock so that it shows this second of a minute, or so."""
    now = time.time() + world.shift
    world.set_clock(world.shift + (second - now % of) % of)


def applying_fires_nothing(world):
    # So long that none falls into the time that a slow machine takes, and
    # twice that is less than the five minutes that are a jump of the clock.
    period = 120
    to_minute(world, 5, period)
    world.start()
    declare(world, "*/2 * * * *", "  catchUp: all\n")
    wait_for("the first ticks", lambda: time.sleep(2) or True)
    check(world.ledger() == [], world.ledger())
    world.set_clock(world.shift + period)
    rows = settled(world, 1)
    check(len(rows) == 1 and rows[0][1] == "succeeded", rows)
    # A change counts from its moment; what is due then is the old one's.
    declare(world, "0 0 1 1 *")
    world.set_clock(world.shift + period)
    wait_for("some ticks", lambda: time.sleep(2) or True)
    check(len(world.ledger()) == 1, world.ledger())
    world.stop()


def a_run_goes_by_the_daemons_settings(world):
    """What somebody writes into the files counts when it is read again."""
    world.start()
    declare(world, "0 0 1 1 *")
    with open(world.path("etc/snapctld.yaml"), "w") as f:
        f.write("state: /nowhere\nnonsense: [\n")
    world.env["SNAPCTL_ETC"] = world.path("none")  # ours; the daemon has its
    run = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, run))
    check(done["state"] == "succeeded", done)
    # Who asked for it is written down.
    rows = [(r["action"], r["object"]) for r in world.json("audit", "log")]
    check(("run.start", f"Run/{run}") in rows, rows)
    world.stop()


def down(world, catch_up):
    now = time.time()
    world.set_clock(1800 - now % 3600)  # half past
    world.start()
    declare(world, "0 * * * *", f"  catchUp: {catch_up}\n")
    world.stop()
    world.set_clock(world.shift + 5 * 3600)
    world.start()
    # A shifted clock is one that jumped: until it is confirmed nothing is
    # written down for a time that may never have been.
    wait_for("the alarm", lambda: "clock jumped" in world.run("status"))
    check(world.ledger() == [], world.ledger())
    world.run("clock", "confirm")
    rows = settled(world, 5)
    check(len(rows) == 5, rows)
    check(all(b[0] - a[0] == 3600 for a, b in zip(rows, rows[1:])), rows)
    check("clock jumped" not in world.run("status"), "confirmed")
    world.stop()
    return [r[1] for r in rows]


def down_over_five_one(world):
    got = down(world, "one")
    check(got == ["superseded"] * 4 + ["succeeded"], got)


def down_over_five_all(world):
    got = down(world, "all")
    check(got == ["succeeded"] * 5, got)


def down_over_five_none(world):
    got = down(world, "none")
    check(got == ["missed"] * 5, got)


def killed_at_random(world):
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print("    SEED =", seed)
    dice = random.Random(seed)
    to_minute(world, 10)
    env = {"SNAPCTL_TEST_RUN": "sleep:100"}
    world.start(**env)
    declare(world, "* * * * *", "  catchUp: all\n  retries: 9\n")
    for _ in range(15):
        world.set_clock(world.shift + 60 * dice.randrange(3))
        time.sleep(dice.random() * 1.5)
        world.daemon.kill()
        world.daemon.wait()
        world.start(**env)
    rows = settled(world, 1)
    world.set_clock(world.shift + 60)
    rows = settled(world, len(rows) + 1)
    check(all(b[0] - a[0] == 60 for a, b in zip(rows, rows[1:])),
          f"lost or doubled: {rows}")
    check(any(r[1] == "succeeded" for r in rows), rows)
    check(all(r[1] == "succeeded" or r[2] for r in rows),
          f"an end without a reason: {rows}")
    # The next minute may have begun.
    def ends():
        runs = world.json("run", "list", "--limit", "0")
        return runs if all(r["state"] not in ("queued", "running")
                           for r in runs) else None
    runs = wait_for("each run's end", ends)
    done = [r["occurrence"] for r in runs if r["state"] == "succeeded"]
    check(len(done) == len(set(done)), "an occurrence was done twice")
    world.stop()


def hung_run(world):
    to_minute(world, 10)
    world.start(SNAPCTL_TEST_RUN_stuck="ignore")
    declare(world, "* * * * *", name="stuck")
    declare(world, "* * * * *", name="quick")
    for n in range(1, 4):
        world.set_clock(world.shift + 60)
        wait_for(f"quick run {n}", lambda: len(world.json(
            "run", "list", "--schedule", "quick", "--state",
            "succeeded")) >= n)
    stuck = world.json("run", "list", "--schedule", "stuck")
    check(len(stuck) == 1 and stuck[0]["state"] == "running", stuck)
    skipped = [r for r in world.ledger() if r[1] == "skipped"]
    check(skipped and all(r[2] == "overlap" for r in skipped), skipped)

    def alarms():
        return [p["message"] for p in world.json("status")["problems"]]
    # Of the last one the other schedule's run may know sooner than its own.
    wait_for("the alarm", lambda: any(
        re.match(r"stuck: the last \d+ occurrences were skipped", m)
        for m in alarms()))
    told = alarms()
    check(not any(m.startswith("quick: the last") for m in told), told)
    # SIGTERM does not help, so SIGKILL ends it when its time is over.
    world.run("run", "cancel", str(stuck[0]["id"]))
    wait_for("the cancelled run's end", lambda: world.json(
        "run", "list", "--schedule", "stuck")[0]["state"] == "cancelled")
    world.stop()


def stopped_and_continued(world):
    to_minute(world, 10, PERIOD)
    world.start(SNAPCTL_TEST_RUN_nightly="ignore ok")
    # The next one would ignore all, too.
    declare(world, "*/4 * * * *")
    world.set_clock(world.shift + PERIOD)
    wait_for("the run", lambda: world.json("run", "list", "--state",
                                           "running"))
    world.stop()
    check(world.ledger()[0][1] == "running", world.ledger())
    world.start(SNAPCTL_TEST_RUN_nightly="ignore ok")
    rows = settled(world, 1)
    check(rows[0][1] == "succeeded", rows)
    runs = world.json("run", "list")
    check([r["state"] for r in runs][-2:] == ["succeeded", "interrupted"] and
          runs[-2]["attempt"] == 2, runs)
    world.stop()


def retried(world):
    to_minute(world, 10)
    world.start(SNAPCTL_TEST_RUN_nightly="fail crash partial")
    declare(world, "0 0 1 1 *", "  retries: 2\n")
    now = datetime.datetime.fromtimestamp(time.time() + world.shift,
                                          datetime.timezone.utc)
    soon = now + datetime.timedelta(minutes=1)
    declare(world, f"{soon.minute} {soon.hour} {soon.day} {soon.month} *",
            "  retries: 2\n")
    world.set_clock(world.shift + 60)
    # Beyond the pauses, and less than five minutes in all: no jump.
    for n, pause in (1, 80), (2, 155):
        wait_for(f"failure {n}", lambda: len(world.json(
            "run", "list", "--state", "failed")) == n)
        check(world.ledger()[0][1] == "running", world.ledger())
        world.set_clock(world.shift + pause)
    rows = settled(world, 1)
    check([r[1] for r in rows] == ["partial"], rows)
    failed = world.json("run", "list", "--state", "failed")
    check("SIGKILL" in failed[0]["message"] and
          "was to fail" in failed[1]["message"], failed)
    world.stop()


# So long that no more than one falls into the time that a slow machine takes,
# and less than the five minutes that are a jump of the clock.
PERIOD = 240


def clock_forth_and_back(world):
    def soon():
        """Whether the next occurrence is one of the period that runs."""
        before = time.time() + world.shift
        moment = datetime.datetime.fromisoformat(
            world.json("status")["next"].replace("Z", "+00:00")).timestamp()
        return before - PERIOD < moment <= time.time() + world.shift + PERIOD

    def alarm():
        return any("clock jumped" in p["message"] and "goes on" in p["message"]
                   for p in world.json("status")["problems"])

    month = 30 * 86400
    to_minute(world, 10, PERIOD)
    world.start()
    declare(world, "*/4 * * * *")
    for direction in 1, -1:
        world.set_clock(world.shift + direction * month)
        wait_for("the alarm", alarm)
        check(soon(), world.json("status")["next"])
        # The timetable goes on by the time that passes; here, in no time.
        before = len(world.ledger())
        world.set_clock(world.shift - direction * month + PERIOD)
        rows = settled(world, before + 1)
        check(len(rows) == before + 1 and rows[-1][1] == "succeeded", rows)
        world.run("clock", "confirm")
    # Set back, and rightly so: due by that clock from then on.
    world.set_clock(world.shift - month)
    wait_for("the alarm", alarm)
    world.run("clock", "confirm")
    wait_for("the next tick", soon)
    check(not alarm(), "it is confirmed")
    world.set_clock(world.shift + PERIOD)
    rows = settled(world, 3)
    check(len(rows) == 3 and rows[0][0] < rows[1][0] - month + 3600, rows)
    world.stop()


def asked_for(world):
    world.start()
    declare(world, "0 0 1 1 *")
    run = world.json("run", "start", "nightly")["id"]
    wait_for("the run", lambda: world.json(
        "run", "show", str(run))["state"] == "succeeded")
    steps = world.json("run", "show", str(run))["steps"]
    check([s["step"] for s in steps] == ["rehearse", "run"], steps)
    check(world.ledger() == [], "it is no occurrence")
    check(world.json("status")["next"] is not None, "next")
    world.stop()


def no_source(world):
    """A selector that matches nothing protects nothing, and says so."""
    world.start()
    world.apply((MANIFEST % (world.root, 1)))
    world.apply(SCHEDULE.replace("names: [etc]", "matchLabels: {tier: none}") %
                ("empty", "0 0 1 1 *", ""))
    run = world.json("run", "start", "empty")["id"]
    wait_for("the run", lambda: world.json(
        "run", "show", str(run))["state"] == "failed")
    check("no source" in world.json("run", "show", str(run))["message"], "")
    told = [p["message"] for p in world.json("status")["problems"]]
    check(any(m.startswith("empty: the last run by hand failed: ") and
              "no source" in m for m in told), told)
    world.stop()


def two_daemons(world):
    world.start()
    second = subprocess.run([SNAPCTLD], env=world.env, text=True,
                            capture_output=True, timeout=LIMIT)
    check(second.returncode == 6 and "another" in second.stderr, second)
    other = subprocess.run([SNAPCTLD, "--state", world.path("other")],
                           env=world.env, text=True, capture_output=True,
                           timeout=LIMIT)
    check(other.returncode == 6 and "listens" in other.stderr, other)
    world.answers()
    world.stop(signal.SIGINT)
    with open(world.socket, "w") as f:
        f.write("precious")
    third = subprocess.run([SNAPCTLD], env=world.env, text=True,
                           capture_output=True, timeout=LIMIT)
    check(third.returncode == 1 and "not a socket of ours" in third.stderr,
          third)
    check(open(world.socket).read() == "precious", "it was touched")
    os.unlink(world.socket)
    # Nor is another program's, even if it speaks in another manner.
    foreign = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    foreign.bind(world.socket)
    fourth = subprocess.run([SNAPCTLD], env=world.env, text=True,
                            capture_output=True, timeout=LIMIT)
    check(fourth.returncode == 6 and "listens" in fourth.stderr, fourth)
    check(os.path.exists(world.socket), "it was removed")
    foreign.close()
    os.unlink(world.socket)
    # A socket that a killed daemon left is replaced.
    world.start()
    world.stop(signal.SIGKILL, -signal.SIGKILL)
    check(os.path.exists(world.socket), "the socket")
    world.start()
    world.stop()


def socket_taken_over(world):
    """A daemon that stops leaves alone what lies at its path by then."""
    world.start()
    first = world.daemon
    os.unlink(world.socket)
    world.env["SNAPCTL_STATE"] = world.path("other")
    world.start()
    first.send_signal(signal.SIGTERM)
    check(first.wait(timeout=LIMIT) == 0, "the first")
    check(world.answers(), "the second was cut off")
    world.stop()
    check(not os.path.exists(world.socket), "the socket stayed")


def reloaded(world):
    def log():
        return open(world.path("log")).read()

    world.start()
    with open(world.path("etc/snapctld.yaml"), "w") as f:
        f.write("concurrency: nonsense\n")
    world.daemon.send_signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "stay as they were" in log())
    with open(world.path("etc/snapctld.yaml"), "w") as f:
        f.write("concurrency: 3\n")
    world.daemon.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: "read again" in log())
    world.answers()
    world.stop()


def notified(world):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(world.path("notify"))
    listener.settimeout(LIMIT)
    world.start(NOTIFY_SOCKET=world.path("notify"), WATCHDOG_USEC="1000000")
    check(listener.recv(999) == b"READY=1", "READY")
    check(listener.recv(999) == b"WATCHDOG=1", "WATCHDOG")
    world.daemon.send_signal(signal.SIGHUP)
    heard = b""
    while b"RELOADING" not in heard:
        heard = listener.recv(999)
    check(b"MONOTONIC_USEC=" in heard, heard)
    world.daemon.send_signal(signal.SIGTERM)
    while heard != b"STOPPING=1":
        heard = listener.recv(999)
    check(world.daemon.wait(timeout=LIMIT) == 0, "stop")
    world.daemon = None


def options(world):
    for words, status, told in [
            (["--help"], 0, "--config"), (["--version"], 0, "snapctld "),
            (["--nonsense", "1"], 2, "--nonsense"), (["x"], 2, '"x"'),
            (["--tick"], 2, "needs a value"), (["--run", "x"], 2, "no run"),
            (["--tick", "never"], 2, "tick"),
            (["--config", "/nowhere/x.yaml"], 2, "/nowhere/x.yaml")]:
        p = subprocess.run([SNAPCTLD, *words], env=world.env, text=True,
                           capture_output=True, timeout=LIMIT)
        text = p.stdout if status == 0 else p.stderr
        check(p.returncode == status and told in text, (words, p))


snap.tell(a_run_goes_by_the_daemons_settings, applying_fires_nothing,
          down_over_five_one, down_over_five_all, down_over_five_none,
          killed_at_random, hung_run, stopped_and_continued, retried,
          clock_forth_and_back, asked_for, no_source, two_daemons,
          socket_taken_over, reloaded, notified, options)
