#!/usr/bin/python3
"""Each fuzz target has a corpus and a row in the table; nothing is left over.

What the corpus and the dictionaries are for, and the table that says whose
parser a target is: tests/fuzz/README.md.
"""
import os
import re

import lint

FOLDER = "tests/fuzz"


def check(root):
    targets = {os.path.basename(p)[len("fuzz_"):-len(".c")]
               for p in lint.files(root, ".c", under=(FOLDER,))
               if os.path.basename(p).startswith("fuzz_")}
    table = FOLDER + "/README.md"
    text = lint.read(root, table)
    named = {name for row in text.split("\n") if row.startswith("|")
             for name in re.findall(r"`(\w+)`", row.split("|")[-2])}
    seeds = {p.split("/")[3] for p in
             lint.files(root, under=(FOLDER + "/corpus",))}
    words = {os.path.basename(p)[:-len(".dict")]
             for p in lint.files(root, ".dict", under=(FOLDER,))}
    for name in sorted(targets - named):
        yield f"{table}:1: no row names the target {name}"
    for name in sorted(named - targets):
        yield f"{table}:1: there is no target {name}"
    for name in sorted(targets - seeds):
        yield f"{FOLDER}/fuzz_{name}.c:1: its corpus is empty"
    for name in sorted(seeds - targets):
        yield f"{FOLDER}/corpus/{name}:1: there is no such target"
    for name in sorted(words - targets):
        yield f"{FOLDER}/{name}.dict:1: there is no such target"


ROW = "| what | by | target |\n|---|---|---|\n| x | `base/x.c` | `a`, `b` |\n"
CASES = [
    ({FOLDER + "/README.md": ROW, FOLDER + "/fuzz_a.c": "",
      FOLDER + "/fuzz_b.c": "", FOLDER + "/a.dict": "",
      FOLDER + "/corpus/a/1": "x", FOLDER + "/corpus/b/1": "x"}, []),
    ({FOLDER + "/README.md": ROW, FOLDER + "/fuzz_a.c": "",
      FOLDER + "/fuzz_c.c": "", FOLDER + "/d.dict": "",
      FOLDER + "/corpus/a/1": "x", FOLDER + "/corpus/e/1": "x"},
     ["names the target c", "no target b", "fuzz_c.c:1: its corpus",
      "corpus/e:1", "d.dict:1"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
