#!/usr/bin/python3
"""A build and its tests leave nothing in the tree outside build*/.

    untracked.py --save FILE ROOT      what git does not track, before
    untracked.py --compare FILE ROOT   1 when there is more of it afterwards
"""
import os
import subprocess
import sys
import tempfile


def untracked(root):
    out = subprocess.run(
        ["git", "-C", root, "status", "--porcelain", "--ignored",
         "--untracked-files=all", "-z"],
        capture_output=True, text=True, timeout=300, check=True).stdout
    return {entry for entry in out.split("\0")
            if entry and not entry[3:].startswith("build")}


def save(path, root):
    with open(path, "w", encoding="utf-8") as f:
        f.write("\0".join(sorted(untracked(root))))


def compare(path, root):
    with open(path, encoding="utf-8") as f:
        before = set(f.read().split("\0"))
    new = sorted(untracked(root) - before)
    for entry in new:
        print(f"{entry[3:]}: left behind by the build or a test")
    return 1 if new else 0


def self_test():
    bad = 0
    with tempfile.TemporaryDirectory() as root, \
         tempfile.NamedTemporaryFile() as before:
        def touch(name):
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                f.write("x\n")
        subprocess.run(["git", "init", "-q", root], check=True, timeout=300)
        touch("mine.c")
        with open(os.path.join(root, ".gitignore"), "w",
                  encoding="utf-8") as f:
            f.write("*.tmp\n/build*/\n")
        save(before.name, root)
        bad += compare(before.name, root) != 0
        touch("build-x/a")
        bad += compare(before.name, root) != 0
        touch("base/left.tmp")
        bad += compare(before.name, root) != 1
        os.unlink(os.path.join(root, "base/left.tmp"))
        touch("tests/left")
        bad += compare(before.name, root) != 1
    print(f"{100 if not bad else 0}%: Checks: 4, Failures: {bad}, Errors: 0")
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    command, path, root = sys.argv[1:4]
    if command == "--save":
        sys.exit(save(path, root))
    sys.exit(compare(path, root))
