"""Two folders compared: every byte and all metadata, by neither program.

It knows nothing of snapctl or its format, so that it can tell on both sides.
"""
import errno
import hashlib
import os
import stat
from typing import Any, Iterator

GRAIN = 4096
PIECE = 1 << 20


def holes(fd: int, size: int) -> list[tuple[int, int]]:
    """The holes of an open file, in whole blocks."""
    found, at = [], 0
    while at < size:
        at = os.lseek(fd, at, os.SEEK_HOLE)
        if at >= size:
            break
        try:
            end = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            end = size
        first, last = -(-at // GRAIN) * GRAIN, end // GRAIN * GRAIN
        if first < last:
            found.append((first, last))
        at = end
    return found


def digest(fd: int, size: int) -> str:
    """SHA-256 of what is not hole, with where it lies."""
    total, at = hashlib.sha256(), 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            break
        at -= at % PIECE
        piece = os.pread(fd, PIECE, at)
        if piece.strip(b"\0"):  # zeros are zeros, written or not
            total.update(b"%d:" % at + piece.rstrip(b"\0"))
        at += len(piece)
    return total.hexdigest()


def describe(name: bytes, at: int) -> dict[str, Any]:
    """All that is to be known of one entry, but its links."""
    found = os.stat(name, dir_fd=at, follow_symlinks=False)
    kind = stat.S_IFMT(found.st_mode)
    path = b"/proc/self/fd/%d/%s" % (at, name)
    about: dict[str, Any] = {
        "mode": found.st_mode, "owner": (found.st_uid, found.st_gid),
        "mtime": found.st_mtime_ns, "xattrs": {
            n: os.getxattr(path, n, follow_symlinks=False)
            for n in os.listxattr(path, follow_symlinks=False)}}
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        about["device"] = found.st_rdev
    elif kind == stat.S_IFLNK:
        about["target"] = os.readlink(name, dir_fd=at)
    elif kind == stat.S_IFREG:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=at)
        try:
            about |= {"size": found.st_size,
                      "digest": digest(fd, found.st_size),
                      "holes": holes(fd, found.st_size)}
        finally:
            os.close(fd)
    return about


def walk(folder: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Every entry below a folder and the folder, in an order of its own."""
    links: dict[tuple[int, int], bytes] = {}

    def visit(path: bytes, name: bytes, at: int) \
            -> Iterator[tuple[bytes, dict[str, Any]]]:
        about = describe(name, at)
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY |
                            os.O_NOFOLLOW, dir_fd=at)
            try:
                names = sorted(map(os.fsencode, os.listdir(inner)))
                for child in names:
                    yield from visit(path + b"/" + child, child, inner)
            finally:
                os.close(inner)
        else:
            # The first name of an inode stands for all of them.
            about["same as"] = links.setdefault(
                (found.st_dev, found.st_ino), path)
        yield path, about

    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield from visit(b"", b".", at)
    finally:
        os.close(at)


def differences(left: str, right: str, root: bool = True) -> list[str]:
    """What differs; without root the two folders' own metadata do not."""
    one, two = (dict(walk(os.fsencode(f))) for f in (left, right))
    if not root:
        one.pop(b"")
        two.pop(b"")
    found = [f"{path!r}: only in {where}"
             for here, there, where in ((one, two, left), (two, one, right))
             for path in sorted(here.keys() - there.keys())]
    for path in sorted(one.keys() & two.keys()):
        for key in sorted(one[path].keys() | two[path].keys()):
            a, b = one[path].get(key), two[path].get(key)
            if a != b:
                found.append(f"{path!r}: {key}: {a!r} and {b!r}")
    return found
