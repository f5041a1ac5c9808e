"""What the scenarios share: a daemon of their own, commands, waiting."""
import fcntl
import grp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = sys.argv[1]
SNAPCTL = os.path.join(BUILD, "service", "snapctl")
SNAPCTLD = os.path.join(BUILD, "service", "snapctld")

# Due in five months or six: whatever a test's clock is shifted by, not then.
FAR = f"0 0 1 {(time.gmtime().tm_mon + 5) % 12 + 1} *"

# What takes longer hangs: a busy machine with a slow disk must stay below it.
LIMIT = 300

MANIFEST = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  regions: [{name: here, url: "file://%s/here"}]
  concurrency: %d
  gc: {every: 0s}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc, labels: {tier: gold}}
spec: {type: files, paths: [/etc]}
"""

SCHEDULE = """\
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: %s}
spec:
  cron: "%s"
  sources: {names: [etc]}
  repository: main
%s"""


class Failed(Exception):
    pass


def check(right, what):
    if not right:
        raise Failed(what)


def wait_for(what, condition, seconds=LIMIT, child=None):
    """Until condition() is true; a bound, not a measurement.  In vain, if a
    child on which it depends has ended."""
    limit = time.monotonic() + seconds
    while True:
        over = child and child.poll() is not None
        value = condition()
        if value:
            return value
        if over:
            raise Failed(f"{child.args} ended with {child.returncode} before "
                         f"{what}: {told_by(child)}")
        if time.monotonic() > limit:
            raise Failed("waited in vain for " + what)
        time.sleep(0.02)


def told_by(child):
    """What one that ended has written to pipes."""
    return [f.read() for f in (child.stdout, child.stderr) if f]


def group():
    """This user's, if it has a name: in a container it may be a number."""
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return "nobody-is-in-it"


class World:
    """A state folder, a socket, a clock that can be shifted, a daemon."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="snapctl-scenario-",
                                     suffix=".d")
        os.mkdir(self.path("etc"))
        self.clock = self.path("clock")
        self.set_clock(0)
        self.socket = self.path("s.sock")
        self.env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": self.root,
            "SNAPCTL_ETC": self.path("etc"),
            "SNAPCTL_STATE": self.path("state"),
            "SNAPCTL_KEYS": self.path("keys"),
            "SNAPCTL_CACHE": self.path("cache"),
            "SNAPCTL_SOCKET": self.socket,
            "SNAPCTL_GROUP": group(),
            "SNAPCTL_TICK": "1s",
            "SNAPCTL_STOP_TIMEOUT": "1s",
            "SNAPCTL_TEST_CLOCK": "@" + self.clock,
            "SNAPCTL_TEST_RUN": "ok",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                     "GCOV_ERROR_FILE", "SNAPCTL_MUTANT",
                     "SNAPCTL_MUTANTS_SEEN", "SNAPCTL_MUTATE_RUN"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.daemon = None

    def path(self, name):
        return os.path.join(self.root, name)

    def set_clock(self, seconds):
        seconds = int(seconds)
        with open(self.path("clock.new"), "w") as f:
            f.write(str(seconds))
        os.rename(self.path("clock.new"), self.clock)
        self.shift = seconds

    def begin_at_noon(self):
        """So that no day ends while a story goes on that counts in days."""
        self.set_clock((43200 - time.time()) % 86400)

    def run(self, *words, status=0, stdin="", **env):
        """snapctl; its standard output. The status is checked."""
        p = subprocess.run([SNAPCTL, *words], input=stdin, text=True,
                           capture_output=True, env={**self.env, **env},
                           timeout=LIMIT)
        self.err, self.status = p.stderr, p.returncode
        check(status is None or p.returncode == status,
              f"{words}: status {p.returncode}, not {status}: "
              f"{p.stdout}{p.stderr}")
        return p.stdout

    def json(self, *words, **more):
        return json.loads(self.run("--json", *words, **more))

    def start(self, before=(), **env):
        """The daemon, by way of the words before its name."""
        self.log = open(self.path("log"), "a")
        wait_for("the lock of the daemon before", self.is_unlocked)
        self.daemon = subprocess.Popen([*before, SNAPCTLD],
                                       env={**self.env, **env},
                                       stdout=self.log, stderr=self.log)
        wait_for("the daemon", self.answers)

    def is_unlocked(self):
        """Who is killed may leave it for a moment to a child that was about
        to become a run."""
        try:
            with open(os.path.join(self.env["SNAPCTL_STATE"],
                                   "snapctld.lock")) as f:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except BlockingIOError:
            return False
        return True

    def answers(self):
        check(self.daemon.poll() is None,
              "the daemon ended: " + open(self.path("log")).read())
        return subprocess.run([SNAPCTL, "run", "list"], env=self.env,
                              capture_output=True,
                              timeout=LIMIT).returncode == 0

    def stop(self, number=signal.SIGTERM, status=0):
        self.daemon.send_signal(number)
        got = self.daemon.wait(timeout=LIMIT)
        self.daemon = None
        check(got == status, f"the daemon ended with {got}, not {status}")

    def for_nobody(self, program=SNAPCTL):
        """A copy: the checkout may lie where nobody else gets."""
        copy = self.path("for-nobody-" + os.path.basename(program))
        if not os.path.exists(copy):
            shutil.copy(program, copy)
            os.chmod(copy, 0o755)
        return copy

    def run_as_nobody(self, *words, program=SNAPCTL, env=None):
        """As somebody who is neither root nor the daemon; takes root."""
        return subprocess.run([self.for_nobody(program), *words],
                              env=env or self.env, text=True,
                              user=65534, group=65534, extra_groups=[],
                              cwd=self.root, capture_output=True,
                              timeout=LIMIT)

    def apply(self, text, **more):
        return self.json("apply", "-f", "-", stdin=text, **more)

    def ledger(self):
        """[(at, state, reason)], oldest first, straight from the catalog."""
        import sqlite3
        db = sqlite3.connect("file:" + self.path("state/catalog.db") +
                             "?mode=ro", uri=True, timeout=LIMIT)
        try:
            return self.read_ledger(db)
        finally:
            db.close()

    @staticmethod
    def read_ledger(db):
        return db.execute("select at_us / 1000000, state, reason from "
                          "occurrences order by at_us").fetchall()

    def close(self):
        if self.daemon and "SNAPCTL_TEST_COVERAGE" in os.environ:
            # What is killed does not tell which lines it reached.
            self.daemon.terminate()
            try:
                self.daemon.wait(timeout=60)
            except subprocess.TimeoutExpired:
                pass
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
        self.remove()

    def remove(self):
        """All of it: what it left may still write, for a moment."""
        for _ in range(600):
            shutil.rmtree(self.root, ignore_errors=True)
            if not os.path.exists(self.root):
                return
            time.sleep(0.05)
        print("left:", self.root, os.listdir(self.root), flush=True)


def wanted(stories):
    """As check_main.h: $SNAPCTL_TEST_CASE names the only one; where it is
    empty, they are named instead."""
    only = os.environ.get("SNAPCTL_TEST_CASE")
    if only is None:
        return stories
    if not only:
        for story in stories:
            print("case", story.__name__)
        sys.exit(0)
    return [s for s in stories if s.__name__ == only] or \
        sys.exit("there is no case " + only)


def tell(*stories):
    """Run each story in a world of its own; the exit status."""
    stories = wanted(stories)
    os.umask(0o022)  # whatever the user's: others look at some of it
    # What ends a test that takes too long; its world goes all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    bad = 0
    for story in stories:
        world = World()
        try:
            story(world)
            print("ok  ", story.__name__, flush=True)
        except Exception as e:  # the next story may still tell something
            bad += 1
            print("FAIL", story.__name__, repr(e), flush=True)
            if os.path.exists(world.path("log")):
                print(open(world.path("log")).read()[-3000:], flush=True)
        finally:
            world.close()
    sys.exit(bad != 0)


def tell_at_once(*stories):
    """As tell(), each in a process of its own: for those that mostly wait."""
    stories = wanted(stories)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    children, statuses = [], set()
    try:
        for story in stories:
            child = os.fork()
            if child == 0:
                told_alone(story)
            children.append(child)
        while children:
            statuses.add(os.waitstatus_to_exitcode(
                os.waitpid(children[0], 0)[1]))
            children.pop(0)
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
        for child in children:
            os.waitpid(child, 0)
    # Skipped (77) is the test when all of it is.
    sys.exit(statuses.pop() if len(statuses) == 1 else 1)


def told_alone(story):
    status = 1
    try:
        tell(story)
    except SystemExit as e:
        status = int(e.code) if isinstance(e.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(status)
