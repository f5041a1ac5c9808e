#!/usr/bin/python3
"""Goal of this test: the contract of the command line, as scripts rely on it.

Exit statuses, help to standard output, failures in JSON, completion in the
shells that are there, interruption, readers that go away.
"""
import grp
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import snap
from snap import LIMIT, MANIFEST, SNAPCTL, check, wait_for


DRILL = """\
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: weekly}
spec:
  cron: "0 0 1 1 *"
  schedule: nightly
  region: here
  rto: 30m
  checks: [{type: tree}]
"""


def verbs(world):
    """The commands of the overview, and the lines that start there."""
    text = world.run("help")
    lines = text.split("Options of every command")[0].split("\n\n", 2)[2]
    return [line[2:].split("  ")[0].strip() for line in lines.split("\n")
            if line.startswith("  ") and line[2] != " "]


def help_everywhere(world):
    found = verbs(world)
    check(len(found) > 15, f"only {found}")
    for verb in found:
        for words in ([*verb.split(), "--help"], ["help", *verb.split()]):
            text = world.run(*words)
            check(text.startswith("usage: snapctl " + verb), (words, text))
            check(world.err == "", words)
            check(all(len(line) < 81 for line in text.split("\n")), text)
    for noun in {v.split()[0] for v in found if " " in v}:
        check(world.run(noun, "--help").startswith(f"usage: snapctl {noun} "),
              noun)
    check(world.run("--help") == world.run("help"), "--help")
    # Whoever asks for help gets it, also in the middle of a mistake.
    check("EXPR" in world.run("schedule", "next", "--cuont=3", "--help"), "")


def requests_without_sense(world):
    for words, told in [
            ((), "which command"),
            (("snapsot",), "no command"),
            (("statsu",), 'did you mean "status"'),
            (("schedule", "nxt"), 'did you mean "schedule next"'),
            (("schedule",), "needs a command"),
            (("schedule", "next"), "usage: snapctl schedule next EXPR"),
            (("schedule", "next", "* * * * *", "x"), "one argument too many"),
            (("schedule", "next", "* * * * *", "--cuont=1"), '"--count"'),
            (("schedule", "next", "* * * * *", "--count"), "needs a value"),
            (("schedule", "next", "* * * * *", "--count=x"), "whole number"),
            (("schedule", "next", "* * * * *", "--count=1", "--count=2"),
             "more than once"),
            (("schedule", "next", "61 * * * *"), "EXPR"),
            (("schedule", "next", "0 0 31 2 *"), "never"),
            (("version", "--quiet=x"), "takes no value"),
            (("completion", "tcsh"), "bash|zsh|fish"),
            (("apply", "-f", "/nowhere/at/all"), "/nowhere/at/all"),
            (("policy", "simulate", "--policy", "-", "--snapshots", "-"),
             "JSON"),
    ]:
        out = world.run(*words, status=2)
        check(out == "", (words, out))
        check(world.err.startswith("snapctl: "), world.err)
        check(told in world.err, (words, world.err))
        error = json.loads(world.run("--json", *words, status=2))["error"]
        check(error["code"] == "usage" and error["message"], error)
        check(set(error) == {"code", "message", "hint"} and
              isinstance(error["hint"], str), error)
        check(world.err == "", world.err)
    for words, told in ((("run", "show"), '"snapctl run show --help"'),
                        (("version", "x"), '"snapctl version --help"'),
                        (("run",), '"snapctl run --help"'),
                        ((), '"snapctl --help"')):
        error = world.json(*words, status=2)["error"]
        check(error["hint"].startswith(told), error)
    # "--" ends the options; "--opt=value" and "--opt value" are one.
    check(world.json("schedule", "next", "--count=1", "--", "0 0 1 1 *") ==
          world.json("schedule", "next", "0 0 1 1 *", "--count", "1"), "--")
    world.run("--", "--help", status=2)


def values(world):
    check(world.json("schedule", "next", "30 2 * * *", "--time-zone",
                     "Europe/Berlin", "--after", "2026-03-28T12:00:00Z",
                     "--count=1") == ["2026-03-29T03:00:00+02:00"], "gap")
    world.run("schedule", "next", "@hourly", "--count", "1")
    check(world.err == "", world.err)
    with open(world.path("p"), "w") as f:
        f.write('{"keep-daily":1,"timeZone":"UTC"}')
    snapshots = [{"id": i, "time": f"2026-01-0{n}T00:00:00Z"}
                 for i, n in (("a", 1), ("b", 2), ("c", 3))]
    got = world.json("policy", "simulate", "--policy", world.path("p"),
                     "--snapshots", "-", "--now", "2026-02-01T00:00:00Z",
                     stdin=json.dumps(snapshots))
    check(got == {"keep": [{"id": "c", "reasons": [
        {"rule": "keep-daily", "bucket": "2026-01-03"}]}],
        "delete": ["b", "a"]}, got)
    # A claimed time is metadata: what was received last is the newest.
    for snapshot, day in zip(snapshots, (6, 5, 4)):
        snapshot["received"] = f"2026-01-0{day}T02:00:00Z"
    got = world.json("policy", "simulate", "--policy", world.path("p"),
                     "--snapshots", "-", "--now", "2026-02-01T00:00:00Z",
                     stdin=json.dumps(snapshots))
    check(got["keep"][0]["id"] == "a" and got["delete"] == ["b", "c"], got)
    one = '[{"id":"a","time":"2026-01-01T00:00:00Z"}]'
    for policy, snapshots, told in [
            ("[]", one, "no JSON object"),
            ('{"timeZone":1}', one, "timeZone is no string"),
            ('{"timeZone":"Mars/Olympus"}', one, "Mars/Olympus"),
            ('{"keep-often":1}', one, '"keep-often" is no retention rule'),
            ('{"keep-daily":"1"}', one, "keep-daily takes a whole number"),
            ('{"keep-within":7}', one, "keep-within takes a duration"),
            ('{"keep-tags":"a"}', one, "keep-tags: the tags are no list"),
            ('{"keep-tags":[1]}', one, "keep-tags: a tag is no string"),
            ("{}", "{}", "no JSON list"),
            ("{}", one.replace("}]", '},{"id":"b"}]'), "snapshot 2: "),
            ("{}", one.replace("}", ',"tags":[1]}'), "a tag is no string")]:
        with open(world.path("p"), "w") as f:
            f.write(policy)
        world.run("policy", "simulate", "--policy", world.path("p"),
                  "--snapshots", "-", stdin=snapshots, status=2)
        check(told in world.err, (policy, snapshots, world.err))
    # More than a manifest may have.
    snapshots = [{"id": f"{i:064x}", "time": f"20{i % 26:02}-01-01T00:00:00Z"}
                 for i in range(170000)]
    got = world.json("policy", "simulate", "--policy", world.path("p"),
                     "--snapshots", "-", stdin=json.dumps(snapshots))
    check(len(got["keep"]) + len(got["delete"]) == 170000, "a long list")
    check(world.json("version")["version"] in world.run("version"), "version")
    world.run("--version")
    check("\033" not in world.run("help"), "colours without a terminal")
    document = world.json("api")
    check(document["openapi"].startswith("3.") and
          "/v1/runs/{id}" in document["paths"], "api")


def sockets(world):
    world.run("status", status=6)
    check("not running" in world.err and "systemctl" in world.err, world.err)
    open(world.socket, "w").close()
    world.run("status", status=2)
    check("not a socket" in world.err and "--socket" in world.err, world.err)
    os.unlink(world.socket)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(world.socket)
    world.run("status", status=2)
    check("not snapctld" in world.err and "--socket" in world.err, world.err)
    other.close()
    os.unlink(world.socket)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(world.socket)
    world.run("status", status=6)
    check("nobody listens" in world.err, world.err)
    stale.close()
    os.unlink(world.socket)
    check(world.json("status", "--socket", "x" * 200,
                     status=2)["error"]["code"] == "usage", "long path")


class Server:
    """Something that listens, and answers what it is told to, or nothing."""

    def __init__(self, path, answer):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.answer = answer
        self.asked = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.socket.accept()
        client.recv(65536)
        self.asked.set()
        if self.answer:
            client.sendall(self.answer)
            client.close()
        else:
            time.sleep(60)


def strangers(world):
    for answer, status, told in [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 2, "snapctld"),
            (b"SSH-2.0-OpenSSH\r\n", 2, "snapctld"),
            (b"220 mail ESMTP\r\n", 2, "--socket"),
            (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 2,
             "--socket"),
            (b"HTTP/1.1 200 OK\r\nSnapctl-Version: 9\r\n"
             b"Content-Length: 99\r\n\r\n{", 6, "early"),
            (b"HTTP/1.1 404 No\r\nSnapctl-Version: 9.9\r\n"
             b"Content-Length: 65\r\n\r\n" + json.dumps(
                 {"error": {"code": "not-found", "message": "x",
                            "hint": None}}).encode().ljust(65), 5, "9.9"),
    ]:
        Server(world.socket, answer)
        world.run("status", status=status)
        check(told in world.err, world.err)
        os.unlink(world.socket)


def daemon_stands_still(world):
    """Whoever asks a daemon that was stopped is told; nobody waits for ever."""
    world.start()
    world.daemon.send_signal(signal.SIGSTOP)
    asked = [(words, subprocess.Popen([SNAPCTL, *words], env=world.env,
                                      text=True, stdin=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE))
             for words in (["status"], ["run", "start", "nightly"])]
    for words, p in asked:
        _, err = p.communicate(timeout=LIMIT)
        check(p.returncode == 6 and "does not answer" in err, (words, err))
        check(("may still do" in err) == ("start" in words), err)
    world.daemon.send_signal(signal.SIGCONT)
    world.answers()
    world.stop()


def daemon_takes_long(world):
    """An operation may take longer than the daemon to say that it lives."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(world.socket)
    listener.listen()
    p = subprocess.Popen([SNAPCTL, "run", "list"], env=world.env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first, _ = listener.accept()
    first.recv(65536)
    for _ in range(2):
        alive, _ = listener.accept()
        alive.recv(65536)
        alive.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}")
        alive.close()
    first.sendall(b"HTTP/1.1 200 OK\r\nSnapctl-Version: 9\r\n"
                  b"Content-Length: 2\r\n\r\n[]")
    first.close()
    out, err = p.communicate(timeout=LIMIT)
    check(p.returncode == 0, (out, err))


def interrupted(world):
    for number in signal.SIGINT, signal.SIGTERM:
        server = Server(world.socket, None)
        p = subprocess.Popen([SNAPCTL, "status"], env=world.env,
                             stderr=subprocess.PIPE)
        check(server.asked.wait(LIMIT), "nobody asked")
        p.send_signal(number)
        _, err = p.communicate(timeout=LIMIT)
        check(p.returncode == 130, (p.returncode, err))
        os.unlink(world.socket)


def reader_goes_away(world):
    p = subprocess.Popen([SNAPCTL, "schedule", "next", "* * * * *",
                          "--count=100000"], env=world.env,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline()
    p.stdout.close()
    err = p.stderr.read()
    check(p.wait() == -signal.SIGPIPE and err == b"", (p.returncode, err))
    with open("/dev/full", "w") as full:
        p = subprocess.run([SNAPCTL, "version"], env=world.env, stdout=full,
                           stderr=subprocess.PIPE)
    check(p.returncode == 1 and b"no space" in p.stderr, p)


def statuses_of_the_daemon(world):
    world.start()
    check(world.json("run", "show", "99", status=5)["error"]["code"] ==
          "not-found", "5")
    world.run("get", "policy", "gold", status=5)
    world.run("get", "polcy", status=2)
    check("olicy" in world.err, world.err)
    world.run("apply", "-f", "-", stdin="kind: Nonsense\n", status=2)
    check("standard input:" in world.err, world.err)
    check(len(world.apply(MANIFEST % (world.root, 2))) == 2, "apply")
    # A list by a name that nothing has is no empty list.
    check(world.json("run", "list", "--source", "etc") == [], "no run yet")
    for words, told in ((["run", "list", "--source", "etcc"], '"etc"'),
                        (["run", "list", "--schedule", "x"], "get schedules"),
                        (["drill", "list", "--drill", "x"], "get drills")):
        got = world.json(*words, status=5)["error"]
        check(told in got["hint"], got)
    world.apply(snap.SCHEDULE % ("nightly", "0 0 1 1 *", "") + DRILL)
    got = world.json("run", "start", "weekly", status=5)["error"]
    check("is a drill" in got["message"] and "drill run weekly" in
          got["hint"], got)
    world.run("delete", "drill", "weekly")
    # Trying again would not help.
    got = world.json("delete", "source", "etc", status=1)["error"]
    check(got["code"] == "in-use" and "nightly" in got["message"], got)
    world.run("delete", "schedule", "nightly")
    check(world.json("get", "source", "-l", "tier=iron") == [], "labels")
    check(len(world.json("get", "source", "-l", "tier=gold")) == 1, "labels")
    check(world.apply(MANIFEST % (world.root, 2))[0]["result"] == "unchanged",
          "again")
    check(world.json("apply", "-f", "-", "--dry-run",
                     stdin=MANIFEST % (world.root, 3))[0]["result"] ==
          "changed", "dry run")
    check(world.json("get", "repository", "main")["metadata"]["version"] == 1,
          "a dry run changed something")
    check(world.json("audit", "verify")["sound"] is True, "sound")
    import sqlite3
    db = sqlite3.connect(world.path("state/catalog.db"), timeout=LIMIT)
    for (name,) in db.execute("select name from sqlite_master where type = "
                              "'trigger' and tbl_name = 'audit'").fetchall():
        db.execute(f"drop trigger {name}")
    db.execute("update audit set action = 'x' where seq = 1")
    db.commit()
    check(world.json("audit", "verify", status=4)["sound"] is False, "4")
    if os.geteuid() == 0:
        os.chmod(world.root, 0o755)
        refused(world, "denied", ["run", "list"])
        os.chmod(world.socket, 0o666)
        refused(world, None, ["run", "list"])
        refused(world, "denied", ["delete", "source", "etc"])
    world.stop()
    check(not os.path.exists(world.socket), "the socket stayed")


def refused(world, code, words):
    p = world.run_as_nobody(*words, "--json")
    got = json.loads(p.stdout)
    if code:
        check(p.returncode == 7 and got["error"]["code"] == code, p)
    else:
        check(p.returncode == 0, p)


POLICY = """\
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: gold}
spec: {%s}
"""


def what_apply_changes(world):
    """Field by field, and when it may let go of what was kept."""
    world.start()

    def apply(spec, *more):
        return world.run("apply", "-f", "-", *more, stdin=POLICY % spec)
    week = "retention: {keep-daily: 7, keep-weekly: 4}"
    seen = "verifiedWithin: 30d, snapshots: "
    check(apply(week) == "created    Policy gold, version 1\n", "created")
    check(apply(week) == "unchanged  Policy gold, version 1\n", "unchanged")
    told = apply(week.replace("7", "3"), "--dry-run")
    check("\n           spec.retention.keep-daily: 7 -> 3\n" in told and
          "policy pending" in told, told)
    for spec, lets_go in [
            (week.replace("7", "9"), False), (week.replace("7", "-1"), False),
            (week.replace("keep-weekly: 4", "keep-last: 4"), True),
            ("retention: {keep-last: 4, keep-daily: 9}", False),
            ("retention: {keep-last: 4, keep-daily: 9, keep-yearly: 1}",
             False),
            ("retention: {}", False), ("retention: {keep-last: 1}", True),
            (f"retention: {{keep-last: 2}}, floor: {{{seen}2}}", False),
            (f"retention: {{keep-last: 2}}, floor: {{{seen}1}}", True)]:
        row, = world.apply(POLICY % spec)
        check(row["result"] == "changed" and lets_go == bool(row["note"]),
              (spec, row))
    world.stop()


def member_of_the_group(world):
    """Who has no daemon of their own asks the system's, at its own place."""
    private = ["unshare", "--mount"]
    if os.geteuid() != 0 or subprocess.run([*private, "true"]).returncode != 0:
        print("SKIPPED member_of_the_group: takes root and mounts of its own")
        return
    os.chmod(world.root, 0o755)
    snapctl = world.for_nobody()
    del world.env["SNAPCTL_SOCKET"]
    world.env["SNAPCTL_GROUP"] = grp.getgrgid(65534).gr_name
    world.log = open(world.path("log"), "a")
    world.daemon = subprocess.Popen(
        [*private, "sh", "-c", "mount -t tmpfs none /run && umask 077 && "
         'exec "$0"', snap.SNAPCTLD], env=world.env, stderr=world.log)

    def ask(group):
        check(world.daemon.poll() is None, "the daemon ended")
        return subprocess.run(
            ["nsenter", "--mount", "--target", str(world.daemon.pid),
             "setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups",
             snapctl, "run", "list"], env=world.env, text=True,
            cwd=world.root, capture_output=True, timeout=LIMIT)

    wait_for("an answer to a member", lambda: ask(65534).returncode == 0)
    stranger = ask(65533)
    check(stranger.returncode == 7 and "group" in stranger.stderr, stranger)
    world.stop()


def settings(world):
    check(world.json("config", "check")["ok"] is True, "ok")
    rows = world.json("config", "show", "--origin")
    check({"key", "value", "layer", "file", "line"} <= set(rows[0]), rows[0])
    with open(world.path("etc/snapctld.yaml"), "w") as f:
        f.write("nonsense: 1\n")
    check(world.json("config", "check", status=2)["ok"] is False, "wrong")
    world.run("config", "show", status=2)
    check("snapctld.yaml:1" in world.err, world.err)


def completion(world):
    scripts = {}
    for shell in "bash", "zsh", "fish":
        scripts[shell] = world.path("completion." + shell)
        with open(scripts[shell], "w") as f:
            f.write(world.run("completion", shell))
    for line, words in [
            ("snapctl sched", {"schedule"}),
            ("snapctl schedule ", {"next"}),
            ("snapctl completion ", {"bash", "zsh", "fish"}),
            ("snapctl run list --stat", {"--state"}),
            ("snapctl run list --state fai", {"failed"}),
            ("snapctl audit --json ver", {"verify"}),
    ]:
        bash = subprocess.run(
            ["bash", "-c", 'source "$1"; line=$2; read -ra COMP_WORDS <<< '
             '"$line"; [[ $line == *" " ]] && COMP_WORDS+=(""); '
             "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _snapctl; "
             'printf "%s\\n" "${COMPREPLY[@]}"', "x", scripts["bash"], line],
            text=True, capture_output=True)
        check(set(bash.stdout.split()) == words and not bash.stderr,
              (line, bash))
        if shutil.which("fish"):
            fish = subprocess.run(
                ["fish", "-c", f"source {scripts['fish']}; "
                 f"complete -C '{line}'"], text=True, capture_output=True,
                env={**os.environ, "HOME": world.root})
            got = {row.split("\t")[0] for row in fish.stdout.splitlines()}
            check(got == words and not fish.stderr, (line, fish))
    if shutil.which("zsh"):
        zsh = subprocess.run(["zsh", "-n", scripts["zsh"]],
                             capture_output=True)
        check(zsh.returncode == 0 and not zsh.stderr, zsh)


def manual(world):
    with open(world.path("snapctl.1"), "w") as f:
        f.write(world.run("help", "--manual"))
    if shutil.which("mandoc"):
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning",
                               world.path("snapctl.1")], text=True,
                              capture_output=True)
        check(lint.returncode == 0, lint.stdout)


snap.tell(help_everywhere, requests_without_sense, values, sockets, strangers,
          daemon_stands_still, daemon_takes_long, interrupted,
          reader_goes_away, statuses_of_the_daemon, member_of_the_group,
          what_apply_changes, settings, completion, manual)
