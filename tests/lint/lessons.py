#!/usr/bin/python3
"""tests/LESSONS.md: each row names tests, and each of them exists.

A test is written `place/program: case, case`, or `place/program` alone.  A case
of C is defined and added; one of a scenario is a function that is used.
"""
import re

import lint

TABLE = "tests/LESSONS.md"
PLACES = {"unit": ("tests/unit/%s.c",), "prop": ("tests/prop/%s.c",),
          "fault": ("tests/fault/%s.c",), "fuzz": ("tests/fuzz/fuzz_%s.c",),
          "scenario": ("tests/scenario/%s.py", "tests/scenario/%s.sh"),
          "model": ("tests/model/%s.py",), "lint": ("tests/lint/%s.py",)}
TEST = re.compile(r"`(%s)/(\w+)(?:: ([\w, ]+))?`" % "|".join(PLACES))
UNTESTED = "not here yet"


def has_case(path, text, case):
    name = rf"\b{case}\b"
    if path.endswith(".c"):
        return re.search(rf"^\w+\({case}\)", text, re.M) and \
            re.search(rf"(?:\badd_\w+|_test)\(\s*\w+,\s*{name}|ADD\({name}",
                      text)
    return re.search(rf"^def {case}\(", text, re.M) and \
        len(re.findall(name, text)) > 1


def missing(root, known, place, program, cases):
    paths = [p % program for p in PLACES[place] if p % program in known]
    if not paths:
        yield f"there is no {place}/{program}"
        return
    text = lint.read(root, paths[0])
    for case in cases:
        if not has_case(paths[0], text, case):
            yield f"{place}/{program} has no case {case}"


def check(root):
    known = set(lint.files(root, under=["tests"]))
    if TABLE not in known:
        yield f"{TABLE}:1: it is not there"
        return
    rows = 0
    for number, line in enumerate(lint.read(root, TABLE).split("\n"), 1):
        tests = TEST.findall(line)
        for place, program, cases in tests:
            for what in missing(root, known, place, program,
                                [c.strip() for c in cases.split(",")
                                 if c.strip()]):
                yield f"{TABLE}:{number}: {what}"
        if not re.match(r"\| (?!what happened)", line):
            continue
        rows += 1
        if not tests and UNTESTED not in line:
            yield f"{TABLE}:{number}: the row names no test"
    if not rows:
        yield f"{TABLE}:1: it has no rows"


HEAD = "| what happened | which |\n|---|---|\n"
C = "START_TEST(one)\n{\n}\nEND_TEST\n\ttcase_add_test(tc, one);\n"
CASES = [
    ({TABLE: HEAD + "| x | `unit/a: one`, `scenario/b: two`, `lint/c` |\n"
      "| y | not here yet |\n",
      "tests/unit/a.c": C, "tests/lint/c.py": "",
      "tests/scenario/b.py": "def two(w):\n    pass\nsnap.tell(two)\n"}, []),
    ({TABLE: HEAD + "| x | `unit/a: one, gone` |\n| y | `unit/b: one` |\n",
      "tests/unit/a.c": C}, ["3: unit/a has no case gone",
                             "4: there is no unit/b"]),
    # Neither one that nobody adds nor one that nobody calls is a test.
    ({TABLE: HEAD + "| x | `unit/a: one`, `scenario/b: two` |\n",
      "tests/unit/a.c": "START_TEST(one)\n", "tests/scenario/b.py":
      "def two(w):\n    pass\n"}, ["no case one", "no case two"]),
    ({TABLE: HEAD + "| x | by and by |\n"}, ["the row names no test"]),
    ({TABLE: "nothing\n"}, ["it has no rows"]),
    ({"tests/a.md": ""}, ["it is not there"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
