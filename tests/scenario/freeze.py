#!/usr/bin/python3
"""Goal of this test: a database's files, taken while it works, are of one moment.

A real PostgreSQL writes to a file system of its own; hooks have it write a
checkpoint, freeze the file system and thaw it. What was taken is restored,
started as after a crash, and adds up. A run that is killed leaves nothing
frozen. It takes root and loop devices.
"""
import os
import signal
import subprocess
import sys

import postgres
import runs
import snap
from loop import leave
from runs import ended, meanwhile, pid_of, run
from snap import check, wait_for

MANIFEST = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: shop}
spec:
  type: files
  paths: ["%(root)s/disk/data"]
  exclude: [/postmaster.pid]     # of a server that is not the restored one
  hooks:
    - when: before
      argv: ["%(bin)s/psql", -X, -h, "%(root)s/pg", -U, owner, -d, postgres,
             -c, CHECKPOINT]
      user: %(user)s
    - {when: before, argv: [/usr/sbin/fsfreeze, --freeze, "%(root)s/disk"]}
    - {when: after, argv: [/usr/sbin/fsfreeze, --unfreeze, "%(root)s/disk"]}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: slow}
spec:
  type: command
  argv: [/bin/sh, -c, "echo $PPID > %(root)s/pid; exec sleep 1000"]
  hooks:
    - {when: before, argv: [/usr/sbin/fsfreeze, --freeze, "%(root)s/disk"]}
    - {when: after, argv: [/usr/sbin/fsfreeze, --unfreeze, "%(root)s/disk"]}
""" + runs.by_hand("nightly", "shop") + runs.by_hand("hanging", "slow")
# Each transaction adds the same to all four.
SUMS = ("select (select sum(abalance) from pgbench_accounts), "
        "(select sum(bbalance) from pgbench_branches), "
        "(select sum(tbalance) from pgbench_tellers), "
        "(select sum(delta) from pgbench_history), "
        "(select count(*) from pgbench_history)")


def mount(world):
    image, disk = world.path("image"), world.path("disk")
    os.mkdir(disk)
    with open(image, "wb") as f:
        f.truncate(500 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, disk], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        print("skipped: no file system can be mounted:", done.stderr.strip())
        sys.exit(77)
    return disk


def unmount(disk):
    """Frozen or not."""
    subprocess.run(["fsfreeze", "--unfreeze", disk], check=False,
                   capture_output=True)
    leave(disk)


def restored(world, server):
    """The sums of the newest snapshot, on a server of its own."""
    copy = world.path("copy")
    world.run("restore", f"latest:{server.data}", "--source", "shop", "--to",
              copy, status=0)
    second = postgres.Server(world.path("second"), copy)
    second.start()
    try:
        check("redo done" in open(world.path("second/log")).read(),
              "it did not start as after a crash")
        return second.sql(SUMS).decode().strip().split("|")
    finally:
        second.stop()


def what_is_taken_is_of_one_moment(world, server):
    server.call("createdb", "shop")
    server.call("pgbench", "-q", "-i", "-s", "3", "shop")
    with open(server.folder + "/checkpoint", "w") as f:
        f.write("CHECKPOINT;\n")
    # Without the freeze, a checkpoint during the walk is what spoils it: the
    # files before its record are old, and those after it are thought new.
    busy = [subprocess.Popen(
        [server.bin + "/pgbench", "-n", "-T", "600", *words, "shop"],
        env=server.env(), cwd=server.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, **server.who())
        for words in (["-c", "4"], ["-f", server.folder + "/checkpoint"])]
    try:
        wait_for("some work", lambda: int(server.sql(
            "select count(*) from pgbench_history")) > 100)
        done = run(world)
        check(done["state"] == "succeeded", done)
        before = int(server.sql("select count(*) from pgbench_history"))
        wait_for("more work", lambda: int(server.sql(
            "select count(*) from pgbench_history")) > before)
    finally:
        for p in busy:
            p.kill()
            p.wait()
    a, b, t, h, n = restored(world, server)
    check(a == b == t == h, (a, b, t, h))
    check(int(n) > 100, n)


def a_run_that_is_killed_leaves_nothing_frozen(world, server):
    number = world.json("run", "start", "hanging")["id"]
    pid = meanwhile(world, number, "the command", lambda: pid_of(world))
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    wait_for("the run", lambda: ended(world, number))
    # Who writes to what is frozen waits, and cannot even be killed.
    touch = subprocess.Popen(["touch", server.data + "/../touched"])
    wait_for("a write", lambda: touch.poll() is not None)
    check(touch.returncode == 0, touch)


def the_whole_story(world):
    os.chmod(world.root, 0o755)  # for the server's user
    disk = mount(world)
    try:
        os.chmod(disk, 0o777)
        server = postgres.Server(world.path("pg"), disk + "/data")
        server.start()
        try:
            runs.begin(world, MANIFEST, bin=server.bin, user=server.user)
            what_is_taken_is_of_one_moment(world, server)
            a_run_that_is_killed_leaves_nothing_frozen(world, server)
            world.stop()
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", disk], check=False,
                           capture_output=True)
            server.stop()
    finally:
        unmount(disk)


if os.geteuid() != 0:
    print("skipped: it takes root and loop devices")
    sys.exit(77)
snap.tell(the_whole_story)
