#!/usr/bin/python3
"""Every source is built: named in a meson.build of its folder or above."""
import os

import lint


def check(root):
    builds = {os.path.dirname(p): lint.read(root, p)
              for p in lint.files(root, "meson.build")}
    for path in lint.files(root, ".c", under=(*lint.HOUSE, "tests")):
        *folders, name = path.split("/")
        stem = name[:-2]
        names = {name, stem, stem.removeprefix("fuzz_")}
        if not any(f"'{'/'.join([*folders[depth:], n])}'" in
                   builds.get("/".join(folders[:depth]), "")
                   for depth in range(len(folders) + 1) for n in names):
            yield f"{path}:1: no meson.build names it"


CASES = [
    ({"base/meson.build": "['a.c']\n", "base/a.c": "",
      "storage/meson.build": "'x/b.c'\n", "storage/x/b.c": "",
      "tests/unit/meson.build": "'base_a': [base],\n",
      "tests/unit/base_a.c": "",
      "tests/fuzz/meson.build": "'cursor': [base]\n",
      "tests/fuzz/fuzz_cursor.c": ""}, []),
    ({"base/meson.build": "['a.c']\n", "base/a.c": "", "base/b.c": ""},
     ["base/b.c:1"]),
    ({"tests/unit/meson.build": "'base_ab': [base],\n",
      "tests/unit/base_a.c": ""}, ["tests/unit/base_a.c:1"]),
    ({"storage/meson.build": "'b.c'\n", "storage/x/b.c": ""},
     ["storage/x/b.c:1"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
