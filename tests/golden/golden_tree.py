"""The trees of the golden repositories, before and after each change.

Everything that a snapshot keeps of a tree, small; the same bytes each time.
"""
import hashlib
import os

TIME = 1234567890_123456789


def noise(seed, n):
    """Bytes that do not compress, the same for each seed."""
    out = b""
    while len(out) < n:
        out += hashlib.sha512(b"%d %d" % (seed, len(out))).digest()
    return out[:n]


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def make(tree, owned):
    """The first tree; owned: with what only root can give."""
    def at(name):
        return os.path.join(tree, name)

    for name in ("", "folder", "folder/deeper", "empty folder"):
        os.mkdir(at(name))
    put(at("empty"), b"")
    put(at("small"), b"a small file\n")
    put(at("noise"), noise(1, 40000))
    # More than two chunks of the largest size.
    put(at("long"), b"".join(b"line %d\n" % i for i in range(600000)))
    put(at("folder/one"), b"of two names")
    os.link(at("folder/one"), at("folder/deeper/two"))
    os.symlink("folder/one", at("symbolic"))
    os.symlink("nowhere", at("dangling"))
    os.mkfifo(at("fifo"))
    with open(at("holes"), "wb") as f:
        f.truncate(3 << 20)
        f.seek(1 << 20)
        f.write(b"between two holes")
    put(os.path.join(os.fsencode(tree), b"not \xff UTF-8 \n"), b"a name")
    put(at("setuid"), b"#!")
    os.chmod(at("setuid"), 0o4750)
    os.setxattr(at("small"), "user.colour", b"green\0")
    if owned:
        os.chown(at("small"), 1234, 567890)
        os.lchown(at("dangling"), 4321, 98765)
    settle(tree)


def change(tree):
    """What the second snapshot sees."""
    def at(name):
        return os.path.join(tree, name)

    with open(at("long"), "r+b") as f:
        f.seek(1000000)
        f.write(b"in the middle")
    put(at("small"), b"another small file\n")
    put(at("new"), noise(2, 20000))
    os.remove(at("noise"))
    os.rename(at("folder/deeper/two"), at("two"))
    settle(tree)


def settle(tree):
    """Each path's time by its name; folders last."""
    for folder, _, names in os.walk(os.fsencode(tree), topdown=False):
        for name in [*sorted(names), b""]:
            path = os.path.join(folder, name) if name else folder
            n = int.from_bytes(hashlib.sha512(name).digest()[:4], "big")
            os.utime(path, ns=(TIME, TIME - n * 10**9 + n),
                     follow_symlinks=False)
