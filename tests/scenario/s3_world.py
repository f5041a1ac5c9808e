"""What the S3 scenarios share: a tree, a repository for it, comparisons."""
import os
import random
import subprocess
import sys

from s3_place import SUPPORT
from snap import LIMIT, SNAPCTL, check

sys.path.insert(0, SUPPORT)
import tree_compare  # noqa: E402

MIB = 1 << 20
# Nobody's credentials: of the machine's variables none is left.
NOBODY = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
          "AWS_SESSION_TOKEN": ""}


def write(path, size, seed):
    """A file that no compression makes smaller."""
    with open(path, "wb") as f:
        f.write(random.Random(seed).randbytes(size))


def plant(root, big=0, seed=1):
    """A small tree of everything common, with a big file on demand."""
    os.makedirs(os.path.join(root, "folder/empty"))
    for n in range(12):
        write(os.path.join(root, f"folder/{n}"), 1000 << n % 9, seed + n)
    with open(os.path.join(root, "words"), "w", encoding="utf-8") as f:
        f.write("words\n" * 1000)
    os.symlink("words", os.path.join(root, "link"))
    os.link(os.path.join(root, "words"), os.path.join(root, "folder/same"))
    os.chmod(os.path.join(root, "folder/1"), 0o600)
    if big:
        write(os.path.join(root, "big"), big, seed + 100)


def begin(world, url, s3, init=True, **tree):
    """A tree, and a repository at the URL that commands mean."""
    world.env.pop("SNAPCTL_TEST_RUN", None)
    world.env.update(s3.env())
    world.tree = world.path("tree")
    world.key = ("--key-file", world.path("key"))
    plant(world.tree, **tree)
    if init:
        world.run("repo", "init", url, *world.key)
    world.env["SNAPCTL_REPO"] = url
    world.env["SNAPCTL_KEY_FILE"] = world.path("key")


def create(world, *more, **env):
    return world.json("snapshot", "create", world.tree, *more, **env)


def restored(world, snapshot, tree=None, **env):
    """Restore it and compare; tree is what must have come back."""
    out = world.path("out-" + os.urandom(4).hex())
    world.run("restore", f"{snapshot}:{world.tree}", "--to", out, **env)
    found = tree_compare.differences(tree or world.tree, out)
    check(found == [], found[:5])
    return out


def keep(world, name):
    """A copy of the tree as it is now, with all its metadata."""
    subprocess.run(["cp", "-a", world.tree, world.path(name)], check=True,
                   timeout=LIMIT)
    return world.path(name)


def spawn(world, *words, **env):
    """snapctl, which goes on beside us."""
    return subprocess.Popen([SNAPCTL, *words], text=True,
                            env={**world.env, **env}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def refused(world, status, *words, says=(), **env):
    """It ends with this status; each of the words is in its message, which
    has at most a line with what is wrong and one with what helps."""
    world.run(*words, status=status, **env)
    for word in says:
        check(word in world.err, f"{words}: no {word!r} in {world.err!r}")
    lines = [line for line in world.err.splitlines()
             if line.startswith(("snapctl: ", "  "))]
    check(1 <= len(lines) <= 2 and lines[0].startswith("snapctl: "),
          world.err)
    return world.err
