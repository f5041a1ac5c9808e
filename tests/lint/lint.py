"""What the lints share: the files of a tree, findings, and self-tests.

A lint is a function from a root folder to findings, "path:line: what is
wrong".  Run with a folder it prints them and ends with 1 when there are any;
run with --self-test it must find what is planted into small trees, and
nothing in the sound ones, so that a lint which cannot fail is noticed.
"""
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True

HOUSE = ("base", "schedules", "storage", "migrations", "service")


def files(root, *suffixes, under=None):
    """Paths below root, '/'-separated and sorted; build folders left out."""
    found = []
    for top in under or [""]:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = [d for d in folders
                          if d != ".git" and not d.startswith("build")
                          and d != "__pycache__"]
            for name in names:
                if not suffixes or name.endswith(suffixes):
                    path = os.path.join(folder, name)
                    if os.path.isfile(path):
                        found.append(os.path.relpath(path, root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8",
              errors="surrogateescape", newline="") as f:
        return f.read()


_TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """C with comments and the inside of literals blank; same positions."""
    def blank(m):
        s = m.group(0)
        if s[0] in "\"'":
            return s[0] + " " * (len(s) - 2) + s[0]
        return re.sub(r"[^\n]", " ", s)
    return _TOKENS.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def plant(root, tree):
    for path, text in tree.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8", newline="") as f:
            f.write(text)


def self_test(check, cases):
    """cases: (tree, [a part of each finding expected, in order])."""
    bad = 0
    for number, (tree, wanted) in enumerate(cases):
        with tempfile.TemporaryDirectory() as root:
            plant(root, tree)
            found = list(check(root))
        if len(found) != len(wanted) or \
           any(w not in f for w, f in zip(wanted, found)):
            bad += 1
            print(f"case {number}: wanted {wanted}\n  found {found}")
    if not any(wanted for _, wanted in cases):
        bad += 1
        print("no case shows that this lint can fail")
    print(f"{100 if not bad else 0}%: Checks: {len(cases)}, "
          f"Failures: {bad}, Errors: 0")
    return 1 if bad else 0


def main(check, cases):
    if sys.argv[1:2] == ["--self-test"]:
        sys.exit(self_test(check, cases))
    found = list(check(*sys.argv[1:]))
    for finding in found:
        print(finding)
    sys.exit(1 if found else 0)
