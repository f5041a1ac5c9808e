#!/usr/bin/python3
"""Text: line ends, unfinished work, file sizes and names."""
import os
import re

import lint

TEXT = (".c", ".h", ".py", ".sh", ".md", ".build", ".txt", ".sql", ".yaml",
        ".service", ".html", ".css", ".js", ".map")
CODE = (".c", ".h", ".py", ".sh", ".sql")
MAX_LINES = 900
# Spelled in halves, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(
    ["TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK"]) + r")\b")
VAGUE = {"util", "utils", "common", "helper", "helpers", "misc", "types",
         "manager"}


def check(root):
    for path in lint.files(root):
        name = os.path.basename(path)
        script = "." not in name
        if not (name.endswith(TEXT) or script) or "/corpus/" in path or \
           "/golden/" in path or name == ".git":
            continue
        text = lint.read(root, path)
        if "\0" in text:
            continue
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if line.endswith("\r"):
                yield f"{path}:{number}: ends in a carriage return"
            elif line != line.rstrip(" \t"):
                yield f"{path}:{number}: ends in white space"
            if UNFINISHED.search(line):
                yield f"{path}:{number}: unfinished work"
        if text and not text.endswith("\n"):
            yield f"{path}:{len(lines)}: does not end in a new line"
        if name.endswith(CODE) and len(lines) - 1 > MAX_LINES:
            yield f"{path}:{len(lines) - 1}: more than {MAX_LINES} lines"
        stem = name.split(".")[0]
        if name.endswith(CODE) and VAGUE & set(stem.split("_")):
            yield f"{path}:1: the name says nothing about the content"


CASES = [
    ({"base/a.c": "int a;\n", "README.md": "Good.\n", "dev": "echo\n",
      "base/b.c": 'mkstemp("/tmp/x-' + "X" * 6 + '");\n',
      "tests/fuzz/corpus/x/1.txt": "bad  \r\n", "empty.md": ""}, []),
    ({"base/a.c": "int a; \n/* TO" "DO: more */\n"},
     ["base/a.c:1: ends in white", "base/a.c:2: unfinished"]),
    ({"a.md": "x\r\n", "b.sh": "x"},
     ["a.md:1: ends in a carriage", "b.sh:1: does not end"]),
    ({"base/a.c": "\n" * 901}, ["base/a.c:901: more than"]),
    ({"service/string_util.h": "\n"}, ["the name says nothing"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
