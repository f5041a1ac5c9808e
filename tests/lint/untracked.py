#!/usr/bin/python3
"""A build and its tests leave nothing in the tree outside build*/.

    untracked.py --save FILE ROOT      what git does not track, before
    untracked.py --compare FILE ROOT   1 when there is more of it afterwards

Where git cannot tell, as in an unpacked archive, every file counts: what is
new is found all the same.
"""
import os
import subprocess
import sys
import tempfile


def git_status(root):
    """What git says of the tree, or None when it is no checkout."""
    # Whose tree it is does not matter to who only looks at it.
    git = ["git", "-c", "safe.directory=*", "-C", root]
    try:
        top = subprocess.run([*git, "rev-parse", "--show-toplevel"], text=True,
                             capture_output=True, timeout=300)
        if top.returncode or not os.path.samefile(top.stdout[:-1], root):
            return None
        return subprocess.run(
            [*git, "status", "--porcelain", "--ignored",
             "--untracked-files=all", "-z"],
            capture_output=True, text=True, errors="surrogateescape",
            timeout=300, check=True).stdout
    except FileNotFoundError:
        return None


def every_file(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [d for d in folders if d != ".git"]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def untracked(root):
    status = git_status(root)
    found = every_file(root) if status is None else (
        entry[3:] for entry in status.split("\0"))
    return {path for path in found if path and not path.startswith("build")}


def save(path, root):
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
        f.write("\0".join(sorted(untracked(root))))


def compare(path, root):
    with open(path, encoding="utf-8", errors="surrogateescape") as f:
        before = set(f.read().split("\0"))
    new = sorted(untracked(root) - before)
    for entry in new:
        print(f"{entry!a}: left behind by the build or a test")
    return 1 if new else 0


def self_test(git):
    """The findings that were wrong in a tree with or without git."""
    bad = 0
    with tempfile.TemporaryDirectory() as root, \
         tempfile.NamedTemporaryFile() as before:
        def touch(name):
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                f.write("x\n")
        if git:
            subprocess.run(["git", "init", "-q", root], check=True,
                           timeout=300)
        touch("mine.c")
        with open(os.path.join(root, ".gitignore"), "w",
                  encoding="utf-8") as f:
            f.write("*.tmp\n/build*/\n")
        if os.geteuid() == 0:  # somebody else's, which git distrusts
            for path in (root, os.path.join(root, ".git")):
                if os.path.exists(path):
                    os.chown(path, 65534, 65534)
        bad += (git_status(root) is None) == git
        save(before.name, root)
        bad += compare(before.name, root) != 0
        touch("build-x/a")
        bad += compare(before.name, root) != 0
        touch("base/left.tmp")
        bad += compare(before.name, root) != 1
        os.unlink(os.path.join(root, "base/left.tmp"))
        touch("tests/left")
        bad += compare(before.name, root) != 1
    return bad


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        failures = self_test(True) + self_test(False)
        print(f"{100 if not failures else 0}%: Checks: 10, "
              f"Failures: {failures}, Errors: 0")
        sys.exit(1 if failures else 0)
    command, path, root = sys.argv[1:4]
    if command == "--save":
        sys.exit(save(path, root))
    sys.exit(compare(path, root))
