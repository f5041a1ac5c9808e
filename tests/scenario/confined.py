#!/usr/bin/python3
"""Goal of this test: a run has what it needs, and keeps its secrets.

Its process gains no privileges, may not make most system calls, and changes
files only where it has to; the programs that it starts for others are as free
as they ever were. Keys and passwords are in no argument, no environment but
their owner's, no log, no file of the state folder, and no core dump.
"""
import base64
import glob
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile

import runs
import snap
from runs import ended, meanwhile, run
from snap import check, wait_for

DRILL = """\
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: proof}
spec: {cron: "0 0 1 1 *", schedule: nightly}
"""

HUSH = "hush-6a1d8c"
PASSPHRASE = "correct horse battery staple 9f27"

FREE = """\
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: dump}
spec:
  type: command
  argv: [/bin/sh, -c, "echo $PPID > %(root)s/pid.new;
         mv %(root)s/pid.new %(root)s/pid; exec %(root)s/look dump"]
  hooks:
    - {when: before, argv: ["%(root)s/look", hook]}
""" + runs.by_hand("nightly", "dump")

# What a program of somebody's sees: of itself, and of everybody.  (What begins
# a line with #! would be taken for a shell script by its linter.)
LOOK = "#!/bin/sh" """
cd "$(dirname "$0")" || exit 1
grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status > "$1.status"
env > "$1.env"
cat /proc/[0-9]*/cmdline > "$1.arguments" 2> /dev/null
while [ -e wait ]; do sleep 0.05; done
echo content
"""


def log_of(world, number):
    return open(world.path(f"state/runs/{number}.log")).read()


def rehearsed(world, word, kind="run", status=1, **env):
    """What became of a run that does this one thing."""
    world.env["SNAPCTL_TEST_RUN"] = word
    world.start(**env)
    if kind == "run":
        done = run(world)
    else:
        world.run("drill", "run", "proof", status=status)
        done = world.json("run", "list", "--kind", "drill")[0]
    world.stop()
    return done


def a_run_keeps_what_it_needs(world):
    elsewhere = tempfile.mkdtemp(prefix="snapctl-elsewhere-")
    world.env["TMPDIR"] = world.path("tmp")
    for name in "tmp", "here":
        os.mkdir(world.path(name))
    with open(elsewhere + "/file", "w") as f:
        f.write("content\n")
    try:
        world.start()
        world.apply(snap.MANIFEST % (world.root, 1) +
                    snap.SCHEDULE % ("nightly", "0 0 1 1 *",
                                     "  retries: 0\n") + DRILL)
        world.stop()
        landlock = "Landlock" in open(world.path("log")).read().split(
            "runs are confined by")[1].split("\n")[0].replace(
                "no Landlock", "")
        # Its own folders; and what it is to read.
        for place in "state/x", "here/x", "cache/x", "tmp/x":
            done = rehearsed(world, "write:" + world.path(place))
            check(done["state"] == "succeeded", (place, done))
        done = rehearsed(world, f"read:{elsewhere}/file")
        check(done["state"] == "succeeded", done)
        text = log_of(world, done["id"])
        check(re.search("confined by no new privileges, a filter of system "
                        "calls.*starts no programs", text), text)
        # Nothing else.
        if landlock:
            for place in "x", "keys", "etc/x":
                done = rehearsed(world, "write:" + world.path(place))
                check(done["state"] == "failed" and
                      "permitted" in done["message"] or
                      "denied" in done["message"], (place, done))
            done = rehearsed(world, f"read:{elsewhere}/file", "drill")
            check("enied" in done["message"], done)
        else:
            print("     this kernel has no Landlock", flush=True)
        # Drills may have been given more room than there is in the state.
        os.mkdir(elsewhere + "/drills")
        os.symlink(elsewhere + "/drills", world.path("state/drills"))
        done = rehearsed(world, "write:" + world.path("state/drills/x"),
                         "drill", status=None)
        check(done["state"] == "succeeded", done)
        # Unless it is told so.
        done = rehearsed(world, "write:" + world.path("x"),
                         SNAPCTL_CONFINE="off")
        check(done["state"] == "succeeded", done)
        check("confined" not in log_of(world, done["id"]), "it is not")
        # As the kernel sees it.
        world.env["SNAPCTL_TEST_RUN"] = "hang"
        world.start()
        number = world.json("run", "start", "nightly")["id"]
        wait_for("its log", lambda: os.path.exists(
            world.path(f"state/runs/{number}.log")) and "confined" in
            log_of(world, number))
        seen = status_of(run_process(world))
        check(seen == {"NoNewPrivs": "1", "Seccomp": "2"}, seen)
        seen = status_of(world.daemon.pid)
        check(seen == status_of(os.getpid()), f"the daemon: {seen}")
        world.stop()
    finally:
        shutil.rmtree(elsewhere)


def collected(world, word):
    """What became of a collection that does this one thing."""
    world.start(SNAPCTL_TEST_COLLECT=word)
    before = {r["id"] for r in collections(world)}
    world.set_clock(world.shift + 3 * 86400)
    wait_for("the alarm", lambda: any(
        "clock jumped" in p["message"]
        for p in world.json("status")["problems"]))
    world.run("clock", "confirm")

    def done():
        return [r for r in collections(world) if r["id"] not in before and
                r["state"] not in ("queued", "running")]
    done = wait_for("a collection", done)[0]
    world.stop()
    return done


def collections(world):
    return world.json("run", "list", "--kind", "maintenance")


def a_collection_keeps_what_it_needs(world):
    """It has no source to read: what a snapshot reads is shut to it."""
    elsewhere = tempfile.mkdtemp(prefix="snapctl-elsewhere-")
    world.env["TMPDIR"] = world.path("tmp")
    for name in "tmp", "here":
        os.mkdir(world.path(name))
    with open(elsewhere + "/file", "w") as f:
        f.write("content\n")
    try:
        world.start()
        world.apply((snap.MANIFEST % (world.root, 1)).replace("every: 0s",
                                                              "every: 1d"))
        world.stop()
        done = collected(world, "write:" + world.path("here/x"))
        check(done["state"] == "succeeded", done)
        text = log_of(world, done["id"])
        check(re.search("confined by no new privileges, a filter of system "
                        "calls.*starts no programs", text), text)
        if "no Landlock" in text:
            print("     this kernel has no Landlock", flush=True)
            return
        for word in "write:" + world.path("x"), f"read:{elsewhere}/file":
            done = collected(world, word)
            check(done["state"] == "failed" and
                  re.search("permitted|denied", done["message"]),
                  (word, done))
    finally:
        shutil.rmtree(elsewhere)


def run_process(world):
    with open(f"/proc/{world.daemon.pid}/task/{world.daemon.pid}/children") \
            as f:
        return int(f.read().split()[0])


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return fields(f.read())


def fields(text):
    return dict(line.split(":\t") for line in text.splitlines()
                if line.startswith(("NoNewPrivs:", "Seccomp:")))


def allow_cores(world):
    """As far as this test's own limit goes, and where it would look."""
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    os.chdir(world.root)


def begin(world):
    allow_cores(world)
    with open(world.path("look"), "w") as f:
        f.write(LOOK)
    os.chmod(world.path("look"), 0o755)
    # Whose daemon is configured by variables has such.
    runs.begin(world, FREE, env={"AWS_SECRET_ACCESS_KEY": HUSH,
                                 "PGPASSWORD": HUSH})


def what_others_run_stays_free(world):
    begin(world)
    done = run(world)
    check(done["state"] == "succeeded", done)
    for what in "hook", "dump":
        with open(world.path(what + ".status")) as f:
            seen = fields(f.read())
        check(seen == status_of(os.getpid()), (what, seen))
        with open(world.path(what + ".env")) as f:
            seen = f.read()
        check(HUSH not in seen and "SNAPCTL" not in seen, seen)
    # The run itself was not, from its beginning.
    text = log_of(world, done["id"])
    check(0 <= text.find("confined by") < text.index("step snapshot of dump"),
          text)
    # The threads of the snapshot are gone by then: they would stay free.
    check("not confined as" not in text, text)
    world.stop()


def a_key_may_lie_elsewhere(world):
    """Where a link leads to is as good as where it lies."""
    elsewhere = tempfile.mkdtemp(prefix="snapctl-elsewhere-")
    begin(world)
    key = world.path("keys/main.key")
    try:
        shutil.move(key, elsewhere + "/key")
        os.symlink(elsewhere + "/key", key)
        done = run(world)
        check(done["state"] == "succeeded", done)
    finally:
        shutil.rmtree(elsewhere)
    world.stop()


def secrets_of(path):
    """A key file's: the text, and what it stands for."""
    with open(path, "rb") as f:
        text = f.read().split(b"\n")[1]
    return [text, base64.b64decode(text)]


def memory_of(pid):
    """(flags, bytes) of each mapping that can be read."""
    head = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (\S+) ")
    with open(f"/proc/{pid}/smaps", "rb") as f:
        lines = f.read().splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in lines:
            found = head.match(line)
            if found:
                start, end = (int(found.group(i), 16) for i in (1, 2))
                readable = found.group(3).startswith(b"r")
            if line.startswith(b"VmFlags:") and readable:
                try:
                    memory.seek(start)
                    yield line.split()[1:], memory.read(end - start)
                except (OSError, OverflowError, ValueError):  # [vsyscall]
                    pass


def core_of(pid):
    """What a core dump of it would hold: dd is what is left out."""
    return (piece for flags, piece in memory_of(pid) if b"dd" not in flags)


def expect_none(secrets, pieces, what):
    n = 0
    for piece in pieces:
        n += len(piece)
        for secret in secrets:
            check(secret not in piece, f"a secret is in {what}")
    check(n > 0, f"nothing is in {what}")


def all_of(*folders):
    for folder in folders:
        for name in glob.glob(folder + "/**", recursive=True):
            try:
                if os.path.isfile(name):
                    with open(name, "rb") as f:
                        yield f.read()
            except FileNotFoundError:
                pass  # of a daemon that works on


def no_core(pid, folder):
    """Of one that ends as after a bug."""
    os.kill(pid, signal.SIGABRT)
    wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}/exe"))
    cores = [n for n in os.listdir(folder) if n.startswith("core")]
    check(cores == [], cores)


def secrets_are_nowhere_else(world):
    begin(world)
    secrets = secrets_of(world.path("keys/main.key"))
    with open(world.path("wait"), "w"):
        pass
    number = world.json("run", "start", "nightly")["id"]
    # Its hook waits: what is open by then, the regions' keys, is in memory.
    meanwhile(world, number, "the hook", lambda: os.path.exists(
        world.path("hook.arguments")))
    held = run_process(world)
    if os.geteuid() == 0:
        expect_none(secrets, core_of(held), "the run's core")
        expect_none(secrets, core_of(world.daemon.pid), "the daemon's core")
    os.unlink(world.path("wait"))
    check(wait_for("the run", lambda: ended(world, number))["state"] ==
          "succeeded", "the run")
    secrets.append(HUSH.encode())
    for what in "hook", "dump":
        expect_none(secrets, all_of_one(world.path(what + ".arguments")),
                    "arguments")
    expect_none(secrets, all_of(world.path("state"), world.path("cache")),
                "the state folder")
    expect_none(secrets, all_of_one(world.path("log")), "the log")
    no_core(world.daemon.pid, world.root)
    world.daemon.wait()
    world.daemon = None


def all_of_one(name):
    with open(name, "rb") as f:
        yield f.read()


def keys_lie_in_memory_of_their_own(world):
    """Of the command line, while it holds a key and a passphrase."""
    allow_cores(world)
    with open(world.path("phrase"), "w") as f:
        f.write(PASSPHRASE + "\n")
    os.chmod(world.path("phrase"), 0o600)
    world.run("repo", "init", world.path("here"), "--key-file",
              world.path("main.key"))
    stopped = subprocess.Popen(
        [snap.SNAPCTL, "key", "add", "--repo", world.path("here"),
         "--key-file", world.path("main.key"), "--new-passphrase-file",
         world.path("phrase")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=world.root,
        env={**world.env, "SNAPCTL_TEST_SEAM": "stop:1"})
    done = os.waitid(os.P_PID, stopped.pid,
                     os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    check(done.si_code == os.CLD_STOPPED, done)
    # It reads a repository, too, and starts nothing.
    seen = status_of(stopped.pid)
    check(seen == {"NoNewPrivs": "1", "Seccomp": "2"}, seen)
    secrets = [PASSPHRASE.encode(), *secrets_of(world.path("main.key"))]
    if os.geteuid() == 0:
        expect_none(secrets, core_of(stopped.pid), "its core")
        # Locked, and only there: the key as it is, and not as it is written.
        for secret, times in zip(secrets, (1, 0, 1)):
            where = [flags for flags, piece in memory_of(stopped.pid)
                     if secret in piece]
            check(len(where) == times and all(b"lo" in w for w in where),
                  where)
    stopped.send_signal(signal.SIGABRT)
    stopped.send_signal(signal.SIGCONT)
    check(stopped.wait(timeout=snap.LIMIT) == -signal.SIGABRT, "its end")
    cores = [n for n in os.listdir(world.root) if n.startswith("core")]
    check(cores == [], cores)
    expect_none(secrets, all_of(world.path("here")), "the repository")


def a_command_on_the_command_line_is_free(world):
    where = ["--repo", world.path("here"), "--key-file",
             world.path("main.key")]
    world.run("repo", "init", world.path("here"), *where[2:])
    world.run("snapshot", "create", "--type", "command", *where, "--", "cat",
              "/proc/self/status")
    seen = fields(world.run("cat", "latest", *where))
    check(seen == status_of(os.getpid()), seen)


def the_unit_lets_runs_confine_themselves(_):
    """systemd's own filter would refuse what is not named in it."""
    unit = os.path.join(os.path.dirname(__file__),
                        "../../service/snapctld.service")
    with open(unit) as f:
        words = re.findall(r"^SystemCallFilter=([^~].*)", f.read(), re.M)
    for call in ("seccomp", "landlock_create_ruleset", "landlock_add_rule",
                 "landlock_restrict_self"):
        check(call in " ".join(words).split(), call)


snap.tell(the_unit_lets_runs_confine_themselves, a_run_keeps_what_it_needs,
          a_collection_keeps_what_it_needs, what_others_run_stays_free, a_key_may_lie_elsewhere,
          secrets_are_nowhere_else, keys_lie_in_memory_of_their_own,
          a_command_on_the_command_line_is_free)
