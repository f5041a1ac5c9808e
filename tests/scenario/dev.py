#!/usr/bin/python3
"""Goal of this test: `./dev test` tells the truth on any machine.

A small house with the real script and stand-ins for what it calls: a meson
that dies midway, a tree without git or of another owner, a root that may
less than root; and tests that run for hours are ended at any time.
"""
import json
import os
import shutil
import signal
import subprocess
import sys

import snap
from snap import LIMIT, check, wait_for

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PARTS = ("dev", "tests/skips_allowed", "tests/support/tally.py",
         "tests/lint/untracked.py")
sys.path.insert(0, os.path.join(HOUSE, "tests", "support"))

import tally  # noqa: E402

STAND_INS = {
    "dpkg-query": 'for name; do echo "installed $name"; done',
    "ninja": "true",
    # Objects to all that it is shown.
    "clang-format": 'printf "%s\\n" "$@" >&2; [ $# -lt 3 ]',
    "meson": """case $1 in
setup) mkdir -p "$2/meson-logs" && touch "$2/build.ninja" ;;
test) [ -z "$LOG" ] || printf %s "$LOG" >build/meson-logs/testlog.json
      [ -z "${LEAVES:-}" ] || touch "$LEAVES"
      exit "${STATUS:-0}" ;;
esac""",
}
GOOD = json.dumps({"name": "a", "result": "OK", "stdout": ""}) + "\n"
SKIP = json.dumps({"name": "a", "result": "OK", "stdout":
                   "SKIPPED mounts: cannot mount\n"}) + "\n"


class House:
    def __init__(self, world, git=True):
        self.root, self.bin = world.path("house"), world.path("bin")
        for part in PARTS:
            at = os.path.join(self.root, part)
            os.makedirs(os.path.dirname(at), exist_ok=True)
            shutil.copy(os.path.join(HOUSE, part), at)
        os.mkdir(self.bin)
        for name, text in STAND_INS.items():
            at = os.path.join(self.bin, name)
            with open(at, "w") as f:
                f.write("#!/bin/bash\n" + text + "\n")
            os.chmod(at, 0o755)
        self.env = {"PATH": self.bin + ":" + os.environ["PATH"],
                    "HOME": world.root}
        if git:
            with open(os.path.join(self.root, ".gitignore"), "w") as f:
                f.write("build*/\n")
            subprocess.run(["git", "init", "-q", self.root], check=True,
                           timeout=LIMIT)

    def test(self, *words, wanted, before=(), **env):
        """./dev test; its last line, and that its status agrees with it."""
        p = subprocess.run([*before, os.path.join(self.root, "dev"), "test",
                            *words], env={**self.env, **env}, text=True,
                           capture_output=True, timeout=LIMIT)
        last = p.stdout.strip().split("\n")[-1]
        check(last == wanted, (words, env, p.stdout, p.stderr))
        check((p.returncode == 0) == (", 0 failed" in last), p)
        return p.stdout + p.stderr


def what_meson_says_counts(world):
    house = House(world)
    house.test("unit", LOG=GOOD, wanted="2 passed, 0 failed, 0 skipped")
    # It crashed after some tests: those passed, and the whole did not.
    for status in "1", "139":
        house.test("unit", LOG=GOOD, STATUS=status,
                   wanted="2 passed, 1 failed, 0 skipped")
    # It was killed while it wrote.
    house.test("unit", LOG=GOOD + GOOD[:20], STATUS="124",
               wanted="2 passed, 1 failed, 0 skipped")
    # Nothing ran: it failed at once, or no test is called so.
    for status in "1", "0":
        house.test("unti", LOG="", STATUS=status,
                   wanted="1 passed, 1 failed, 0 skipped")
    # What is counted already is not counted twice.
    bad = GOOD.replace("OK", "FAIL")
    house.test("unit", LOG=GOOD + bad, STATUS="1",
               wanted="2 passed, 1 failed, 0 skipped")


def each_suite_counts_by_its_name(world):
    log = world.path("testlog.json")
    with open(log, "w") as f:
        for name, result in (("p:unit / a", "OK"), ("p:fault / a", "FAIL")):
            f.write(json.dumps({"name": name, "result": result,
                                "stdout": ""}) + "\n")
    p = subprocess.run([sys.executable, "-B", tally.__file__, "suites", log,
                        os.path.join(HOUSE, "tests", "skips_allowed")],
                       capture_output=True, text=True, timeout=LIMIT)
    check(p.stdout == "passed unit: a\nfailed fault: a\n", p)
    check(p.returncode == 1, p)


def any_tree(world, git):
    house = House(world, git)
    if git and os.geteuid() == 0:
        for at in "", ".git":
            os.chown(os.path.join(house.root, at), 65534, 65534)
    house.test("unit", "untracked", LOG=GOOD,
               wanted="3 passed, 0 failed, 0 skipped")
    told = house.test("unit", "untracked", LOG=GOOD,
                      LEAVES=os.path.join(house.root, "tests/forgotten"),
                      wanted="2 passed, 1 failed, 0 skipped")
    check("tests/forgotten" in told, told)
    # The linters find what they are to read.
    for name in "a.c", "build/generated.c":
        open(os.path.join(house.root, name), "w").close()
    told = house.test("format", wanted="1 passed, 1 failed, 0 skipped")
    check("a.c" in told.split() and "generated" not in told, told)


def a_tree_of_another(world):
    any_tree(world, True)


def a_tree_without_git(world):
    any_tree(world, False)


def who_may_skip(world):
    """Neither CI nor a root who may do all."""
    house = House(world)
    may, may_not = "1 passed, 0 failed, 1 skipped", \
        "1 passed, 1 failed, 0 skipped"
    house.test("unit", LOG=SKIP, CI="true", wanted=may_not)
    if tally.has_every_right():
        house.test("unit", LOG=SKIP, wanted=may_not)
        less = ["setpriv", "--bounding-set=-sys_admin"]
        house.test("unit", LOG=SKIP, before=less, wanted=may)
        house.test("unit", LOG=SKIP, before=less, CI="true", wanted=may_not)
    else:
        house.test("unit", LOG=SKIP, wanted=may)


# A program that does not end by itself, as one that it starts does not.
ENDLESS = """\
sleep 1000 &
touch "$TMPDIR/scratch" ${SNAPCTL_TEST_MEMORY:+"$SNAPCTL_TEST_MEMORY/scratch"}
printf '%s\\n' $$ $! "$TMPDIR" "${SNAPCTL_TEST_MEMORY:-}" >told
mv told begun
wait
"""


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def who_ends_it_leaves_nothing(world):
    house = House(world)
    program = os.path.join(house.root, "build/tests/fault",
                           "fault_storage_power_cut")
    os.makedirs(os.path.dirname(program))
    with open(program, "w") as f:
        f.write("#!/bin/bash\n" + ENDLESS)
    os.chmod(program, 0o755)
    begun = os.path.join(house.root, "begun")
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        p = subprocess.Popen([os.path.join(house.root, "dev"), "power"],
                             env=house.env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        wait_for("the program", lambda: os.path.exists(begun), child=p)
        with open(begun) as f:
            told = f.read().split()
        os.unlink(begun)
        p.send_signal(number)
        try:
            check(p.wait(timeout=LIMIT) == 128 + number, p.returncode)
            for pid in told[:2]:
                wait_for("its end", lambda: not is_alive(pid))
        finally:
            p.kill()
            for pid in filter(is_alive, told[:2]):
                os.kill(int(pid), signal.SIGKILL)
        left = [folder for folder in told[2:] if os.path.exists(folder)]
        check(not left, left)


snap.tell(what_meson_says_counts, each_suite_counts_by_its_name,
          a_tree_of_another, a_tree_without_git, who_may_skip,
          who_ends_it_leaves_nothing)
