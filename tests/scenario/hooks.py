#!/usr/bin/python3
"""Goal of this test: what was frozen for a snapshot is thawed, once.

Hooks run around the snapshots of a schedule, in order, and their words are kept
with the run. Whoever dies in between, the run, its daemon, or both, what is due
afterwards happens, and nothing of it twice.
"""
import os
import signal
import time

import runs
import snap
from runs import ended, meanwhile, pid_of, run
from snap import check, wait_for

MANIFEST = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: web}
spec:
  type: files
  paths: ["%(root)s/tree"]
  hooks:
    - {when: before, argv: ["%(root)s/hook", before, "%(before)s"]}
    - {when: after, argv: ["%(root)s/hook", after, "%(after)s"]}
    - {when: always, argv: ["%(root)s/hook", always, "0"]}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: slow}
spec:
  type: command
  argv: [/bin/sh, -c, "echo $PPID > %(root)s/pid; exec sleep 1000"]
  hooks:
    - {when: before, argv: ["%(root)s/hook", freeze, "0"]}
    - {when: after, argv: ["%(root)s/hook", thaw, "0"]}
""" + runs.by_hand("nightly", "web") + runs.by_hand("hanging", "slow")

# A hook says what it is, notes it, and ends as it is told.  (What begins a
# line with #! would be taken for a shell script by its linter.)
HOOK = "#!/bin/sh" """
echo "$1 says hello"
echo "$1" >> "$(dirname "$0")/ran"
exit "$2"
"""


def begin(world, before="0", after="0"):
    os.makedirs(world.path("tree"))
    with open(world.path("tree/file"), "w") as f:
        f.write("content\n")
    with open(world.path("hook"), "w") as f:
        f.write(HOOK)
    os.chmod(world.path("hook"), 0o755)
    runs.begin(world, MANIFEST, before=before, after=after)


def ran(world):
    try:
        return open(world.path("ran")).read().split()
    except FileNotFoundError:
        return []


def step_of(done):
    return [s for s in done["steps"] if s["step"] == "snapshot"
            and (s["details"] or {}).get("hooks")][0]


def they_run_and_their_words_are_kept(world):
    begin(world)
    done = run(world)
    check(done["state"] == "succeeded", done)
    check(ran(world) == ["before", "after", "always"], ran(world))
    hooks = step_of(done)["details"]["hooks"]
    check([h["output"] for h in hooks] ==
          [f"{w} says hello\n" for w in ("before", "after", "always")], hooks)


def without_the_freeze_there_is_no_snapshot(world):
    begin(world, before="3")
    done = run(world)
    check(done["state"] == "failed", done)
    text = world.run("run", "show", str(done["id"]))
    check('(before) failed: it ended with status 3, saying "before says hello"'
          in text, text)
    check(ran(world) == ["before", "always"], ran(world))
    check(world.json("snapshot", "list") == [], "a snapshot")


def what_cannot_be_thawed_is_told(world):
    begin(world, after="4")
    done = run(world)
    check(done["state"] == "partial", done)
    check("the snapshot is whole, but the hook" in done["message"], done)
    check(ran(world) == ["before", "after", "always"], ran(world))
    check(len(world.json("snapshot", "list")) == 1, "no snapshot")


def frozen(world):
    """Start the run that hangs; its number and its process."""
    number = world.json("run", "start", "hanging")["id"]
    return number, meanwhile(world, number, "the command",
                             lambda: pid_of(world))


def thawed(world, times):
    want = ["freeze", "thaw"] * times
    wait_for("the thaw", lambda: len(ran(world)) >= len(want))
    time.sleep(0.5)  # for one too many
    check(ran(world) == want, ran(world))


def whoever_dies_it_is_thawed_once(world):
    begin(world)
    number, pid = frozen(world)
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    check(wait_for("the run", lambda: ended(world, number))["state"] ==
          "failed", "killed")
    thawed(world, 1)
    os.remove(world.path("pid"))
    number, pid = frozen(world)
    world.run("run", "cancel", str(number))
    wait_for("the run", lambda: ended(world, number))
    thawed(world, 2)
    os.remove(world.path("pid"))
    number, pid = frozen(world)
    world.daemon.kill()
    world.daemon.wait()
    thawed(world, 3)


def guardian_of(run):
    """The child of the run's process that has its hooks in hand."""
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            with open(f"/proc/{name}/stat") as f:
                parent = f.read().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if words[1:2] == [b"--guard"] and int(parent) == run:
            return int(name)
    return None


def kill_both(pid):
    """The run and its guardian: it sees nothing of the other's end."""
    run, guardian = os.getpgid(pid), guardian_of(pid)
    os.killpg(run, signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    os.killpg(run, signal.SIGKILL)


def when_all_are_killed_the_next_daemon_thaws(world):
    begin(world)
    _, pid = frozen(world)
    # Else it would see the others' end, and begin to end, too.
    world.daemon.send_signal(signal.SIGSTOP)
    kill_both(pid)
    world.daemon.kill()
    world.daemon.wait()
    time.sleep(0.5)
    check(ran(world) == ["freeze"], ran(world))
    world.start()
    thawed(world, 1)


def when_run_and_guardian_are_killed_the_next_run_thaws(world):
    """By way of the process that starts a confined run's programs."""
    begin(world)
    number, pid = frozen(world)
    kill_both(pid)
    wait_for("the run", lambda: ended(world, number))
    check(ran(world) == ["freeze"], ran(world))
    os.remove(world.path("pid"))
    number, pid = frozen(world)
    check(ran(world) == ["freeze", "thaw", "freeze"], ran(world))
    world.run("run", "cancel", str(number))
    wait_for("the run", lambda: ended(world, number))
    thawed(world, 2)


snap.tell(they_run_and_their_words_are_kept,
          without_the_freeze_there_is_no_snapshot,
          what_cannot_be_thawed_is_told,
          whoever_dies_it_is_thawed_once,
          when_all_are_killed_the_next_daemon_thaws,
          when_run_and_guardian_are_killed_the_next_run_thaws)
