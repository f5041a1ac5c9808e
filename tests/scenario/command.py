#!/usr/bin/python3
"""Goal of this test: what a command prints is backed up as files are.

A real PostgreSQL is dumped by pg_dump and pg_dumpall on a schedule, restored
into another database and compared. A server that is away, a dump that hangs
and a run that is killed make no snapshot, leave no process behind, and say why.
"""
import os
import signal
import subprocess

import postgres
import runs
import snap
from runs import ended, meanwhile, pid_of, run
from snap import LIMIT, check, wait_for

MANIFEST = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: shop}
spec:
  type: command
  argv: ["%(bin)s/pg_dump", --format=custom, --compress=0, shop]
  file: shop.dump
  environment: ["PGHOST=%(socket)s", PGUSER=owner]
%(user)s
  timeout: 1m
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: globals}
spec:
  type: command
  argv: ["%(bin)s/pg_dumpall", --globals-only]
  file: globals.sql
  environment: ["PGHOST=%(socket)s", PGUSER=owner]
%(user)s
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: slow}
spec:
  type: command
  argv: [/bin/sh, -c, "echo begun; echo $$ > %(root)s/pid; exec sleep 1000"]
  timeout: %(slow)s
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: proof}
spec:
  cron: "0 0 1 1 *"
  schedule: dumps
  checks:
    - {type: tree}
    - type: command
      argv: [grep, -q, PGDMP, shop.dump]
    %(user)s
""" + runs.by_hand("dumps", "shop", "globals") + runs.by_hand("hanging", "slow")


def begin(world, server=None, slow="1m"):
    runs.begin(
        world, MANIFEST, slow=slow, bin=server.bin if server else "/nowhere",
        socket=server.folder if server else "/nowhere",
        user=f"  user: {server.user}" if server and server.user else "")


def snapshots(world, source):
    return world.json("snapshot", "list", "--source", source)


def cat(world, *words):
    done = subprocess.run([snap.SNAPCTL, "cat", *words], env=world.env,
                          capture_output=True, timeout=LIMIT)
    check(done.returncode == 0, done)
    return done.stdout


def a_database_is_dumped_and_restored(world):
    os.chmod(world.root, 0o755)  # for the server's user
    p = postgres.Server(world.path("pg"))
    p.start()
    try:
        p.call("createdb", "shop")
        p.call("pgbench", "-q", "-i", "-s", "2", "shop")
        p.sql("create role clerk login", "postgres")
        begin(world, p)
        done = run(world, "dumps")
        check(done["state"] == "succeeded", done)
        dump = cat(world, "latest", "--source", "shop")
        check(dump == cat(world, "latest:/shop.dump", "--source", "shop"),
              "with and without its name")
        p.call("createdb", "copy")
        p.call("pg_restore", "-d", "copy", stdin=dump)
        for what in ("accounts", "branches", "tellers"):
            sums = (f"select count(*), md5(string_agg(t::text, '|' order by "
                    f"1)) from pgbench_{what} t")
            check(p.sql(sums) == p.sql(sums, "copy"), what)
        check(b"CREATE ROLE clerk" in cat(world, "latest", "--source",
                                          "globals"), "no role")
        proof = world.json("drill", "run", "proof")
        check(proof["passed"], proof)
        # Of what stays the same little is stored again.
        p.sql("update pgbench_accounts set abalance = 7 where aid = 1")
        check(run(world, "dumps")["state"] == "succeeded", "again")
        steps = [s["details"] for s in run(world, "dumps")["steps"]
                 if s["step"] == "snapshot" and s["source"] == "shop"
                 and s["details"].get("bytes_read")]
        check(steps[0]["bytes_new"] * 4 < steps[0]["bytes_read"], steps)

        p.stop()
        before = len(snapshots(world, "shop"))
        done = run(world, "dumps")
        check(done["state"] == "failed", done)
        text = world.run("run", "show", str(done["id"]))
        check("pg_dump" in text and "connection to server" in text, text)
        check(len(snapshots(world, "shop")) == before, "a snapshot of nothing")
    finally:
        if p.runs():
            p.stop()


def alive(pid):
    try:
        state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def one_that_hangs_is_ended(world):
    begin(world, slow="2s")
    done = run(world, "hanging")
    check(done["state"] == "failed", done)
    text = world.run("run", "show", str(done["id"]))
    check("was not done within 2s" in text, text)
    wait_for("its end", lambda: not alive(pid_of(world)))
    check(world.json("snapshot", "list") == [], "a snapshot")


def a_run_that_is_killed_takes_it_along(world):
    begin(world)
    number = world.json("run", "start", "hanging")["id"]
    pid = meanwhile(world, number, "the command", lambda: pid_of(world))
    with open(f"/proc/{pid}/stat") as f:
        parent = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(parent, signal.SIGKILL)
    done = wait_for("the run", lambda: ended(world, number))
    check(done["state"] == "failed", done)
    wait_for("its end", lambda: not alive(pid))
    check(world.json("snapshot", "list") == [], "a snapshot")


# The last one is left out where there is no PostgreSQL.
snap.tell(one_that_hangs_is_ended, a_run_that_is_killed_takes_it_along,
          a_database_is_dumped_and_restored)
