#!/usr/bin/python3
"""Goal of this test: `./dev mutate` finds what a test does not notice, and
nothing else, and leaves alone what is no code.
"""
import json
import os
import subprocess
import sys

import snap
from snap import LIMIT, check

MUTATE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(
    __file__))), "mutate", "mutate.py")

SOURCE = """\
#include <assert.h>
#include <stdbool.h>
#define LIMIT 7
#define LESS(a, b) ((a) < (b) ? (a) : (b))
static const int table[1 + 1] = { 3 * 2, 4 };
enum { FOUR = 2 + 2 };
int err_set(const char *text, int n);
int revoke(int whose); /* which is another one in unistd.h */
int small(int v, const int *p, int *ret)
{
	int n = LESS(v + 1, 9); /* a < b */
	assert(v < 1000 && FOUR == 4);
	switch (v) {
	case 1 + 1:
		n = table[1];
	}
	if (v > LIMIT && p)
		n += *p;
	if (v < 0)
		return err_set("1 < 2", 3 + 4);
	while (!p && n-- > 5)
		;
	*ret = n;
	return -1;
}
bool small_never(void)
{
	return 1 > 0;
}
int small_text(void)
{
	return "\u2026 0 < 1"[0] ? 2 & 3 : 1;
}
"""
# In their order, of small(): which a test is to notice, and which not.
WANTED = [
    ("n = table[1]; → (left out)", True),
    ("table[1] → table[2]", True),
    ("v > LIMIT && p → v > LIMIT || p", True),
    ("v > LIMIT && p → v > LIMIT", True),
    ("v > LIMIT && p → p", True),
    ("v > LIMIT → v >= LIMIT", False),
    ("v > LIMIT → v <= LIMIT", True),
    ("n += *p; → (left out)", True),
    ("n += *p → n -= *p", True),
    ("v < 0 → v <= 0", False),
    ("v < 0 → v >= 0", True),
    ("return err_set(\"1 < 2\", 3 + 4) → return 0", True),
    ("!p && n-- > 5 → !p || n-- > 5", True),
    ("!p && n-- > 5 → !p", True),
    ("!p && n-- > 5 → n-- > 5", True),
    ("!p → p", True),
    ("n-- > 5 → n-- >= 5", True),
    ("n-- > 5 → n-- <= 5", True),
    ("n-- > 5 → n-- > 6", True),
    ("*ret = n; → (left out)", True),
    ("return -1 → return 0", True),
]
NEVER_HAS = ["1 > 0 → 1 >= 0", "1 > 0 → 1 <= 0", "1 > 0 → 1 > 1"]
TEST = """\
#include <stdlib.h>
#include <sys/time.h>
int small(int v, const int *p, int *ret);
int small_text(void);
int err_set(const char *text, int n)
{
	return text ? -n : 0;
}
static void expect(int v, const int *p, int status, int result)
{
	int got = -77;
	if (small(v, p, &got) != status || got != result)
		exit(1);
}
int main(void)
{
	const int ten = 10;
	/* Of the processor's: a busy machine may take its time. */
	setitimer(ITIMER_PROF, &(struct itimerval){
		.it_value = { 0, 200 * 1000 } }, NULL);
	expect(2, NULL, -1, 3);
	expect(2, &ten, -1, 4);
	expect(8, &ten, -1, 19);
	expect(8, NULL, -1, 4);
	expect(-3, NULL, -7, -77);
	return small_text() != 2;
}
"""
MESON = """\
project('small', 'c')
small = static_library('small', 'schedules/small.c',
  include_directories: include_directories('.'))
test('small', executable('unit_small', 'tests/small.c', link_with: small),
  suite: 'unit')
test('broken', executable('unit_broken', 'tests/broken.c', link_with: small),
  suite: 'unit')
test('scenario_never', find_program('python3'), args: files('tests/story.py') +
  meson.project_build_root(), suite: 'scenario',
  depends: executable('never', 'tests/never.c', link_with: small))
"""
BROKEN = "int err_set(void);\nint err_set(void) { return 0; }\n" \
    "int small_text(void);\nint main(void) { return small_text(); }\n"
NEVER = "_Bool small_never(void);\nint err_set(void);\n" \
    "int err_set(void) { return 0; }\n" \
    "int main(void) { return small_never() != 1; }\n"
STORY = """\
import os, subprocess, sys
if os.environ.get("SNAPCTL_TEST_CASE") == "":
    sys.exit(print("case so\\ncase or_so"))
if os.environ.get("SNAPCTL_TEST_CASE") == "so":
    sys.exit(subprocess.call([sys.argv[1] + "/never"]))
"""
KNOWN = """\
## schedules/small.c

- small(): `if (v < 0)`
  - `v < 0 → v <= 0`: nobody asks for nothing,
    or so.
  - `v < 0 → v >= 0`: this is noticed
  - `v < 1 → v <= 1`: this is not there
"""


def plant(root):
    for path, text in (("schedules/small.c", SOURCE), ("meson.build", MESON),
                       ("tests/small.c", TEST),
                       ("tests/broken.c", BROKEN), ("tests/never.c", NEVER),
                       ("tests/story.py", STORY)):
        path = os.path.join(root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def mutate(root, *words, status):
    p = subprocess.run([sys.executable, "-B", MUTATE, "--root", root,
                        "schedules", *words], text=True, timeout=LIMIT,
                       capture_output=True)
    check(p.returncode == status, p)
    return p


def each_place_and_no_other(world):
    plant(world.root)
    told = mutate(world.root, "--list", status=0).stdout.split("\n")
    mine = [line.split(": ", 1)[1] for line in told
            if line.startswith("schedules/small.c:")]
    check(mine[:len(WANTED)] == [w for w, _ in WANTED], mine)
    check(mine[len(WANTED):] == [
        *NEVER_HAS, '"… 0 < 1"[0] → !("… 0 < 1"[0])',
        '"… 0 < 1"[0] → "… 0 < 1"[1]', "2 & 3 → 2 | 3", "2 & 3 → 3 & 3",
        "2 & 3 → 2 & 4", '"… 0 < 1"[0] ? 2 & 3 : 1 → "… 0 < 1"[0] ? 2 & 3 : 2',
    ], mine[len(WANTED):])


def what_is_noticed(world):
    plant(world.root)
    p = mutate(world.root, "--full", status=1)
    check("unit_broken:all: it fails without a mutant" in p.stderr, p.stderr)
    with open(os.path.join(world.root, "build/results/mutate.json"),
              encoding="utf-8") as f:
        got = json.load(f)
    result = [m["result"] for m in got["mutants"]]
    wrong = [(w, r) for (w, noticed), r in zip(WANTED, result)
             if r != ("noticed" if noticed else "unnoticed")]
    check(not wrong, wrong)
    check(result[len(WANTED)] == "unreached", result)
    check("schedules/small.c:17: v > LIMIT → v >= LIMIT\n" in p.stdout, p)
    what_was_tried_stands(world)
    what_is_known(world, p)
    a_story_tells(world)


def a_story_tells(world):
    """What no test reaches, where it is asked for."""
    words = ("--in", "small_never", "--tests", "none")
    with_none = mutate(world.root, *words, status=1)
    check("no test has these sources in it" in with_none.stderr, with_none)
    mutate(world.root, *words, "--scenarios", "never", status=1)
    with open(os.path.join(world.root, "build/results/mutate.json"),
              encoding="utf-8") as f:
        got = [(m["result"], m["by"]) for m in json.load(f)["mutants"]
               if m["function"] == "small_never"]
    told = ("noticed", "scenario_never:so")
    check(got == [("unnoticed", None), told, told], got)


def tried(world, *words):
    p = mutate(world.root, *words, status=1)
    check("17: v > LIMIT → v >= LIMIT\n" in p.stdout, p)
    return int(p.stderr.split(" to be tried")[0].split()[-1])


def what_was_tried_stands(world):
    left = sum(not noticed for _, noticed in WANTED)
    again = tried(world, "--left")
    check(left <= again <= left + 6, again)
    again = tried(world, "--resume", "--full")
    check(again == 0, again)


def what_is_known(world, before):
    known = os.path.join(world.root, "tests/mutate/KNOWN.md")
    os.makedirs(os.path.dirname(known))
    with open(known, "w", encoding="utf-8") as f:
        f.write(KNOWN)
    p = mutate(world.root, "--sample", "100", "--known", status=1)
    check("v < 0 → v <= 0" in before.stdout, before)
    check("19: v < 0 → v <= 0\n" not in p.stdout, p)
    check("KNOWN.md:6: it was noticed: v < 0 → v >= 0\n" in p.stdout, p)
    check("KNOWN.md:7: there is no such mutant: v < 1 → v <= 1\n"
          in p.stdout, p)


snap.tell(each_place_and_no_other, what_is_noticed)
