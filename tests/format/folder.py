"""A snapshot's entries in a folder: putting them there, comparing them.

Paths are reached through open folders (/proc/self/fd/N/NAME), so that no
symbolic link is followed and a path may be longer than the kernel takes at
once.
"""
import errno
import os
import stat
from typing import Callable, Iterator, Optional

import tree
from repository import DATA, Repository
from tree import Entry, Extent

GRAIN = 4096  # a file system keeps holes in blocks of this size at least
PIECE = 1 << 20
TYPES = {tree.FOLDER: stat.S_IFDIR, tree.FILE: stat.S_IFREG,
         tree.SYMLINK: stat.S_IFLNK, tree.FIFO: stat.S_IFIFO,
         tree.SOCKET: stat.S_IFSOCK, tree.CHARACTER: stat.S_IFCHR,
         tree.BLOCK: stat.S_IFBLK}


def below(entries: Iterator[Entry], base: bytes) -> Iterator[Entry]:
    """Of the entries those at or below base, with the paths they have in
    there; a base that is no folder becomes an entry of its own name."""
    prefix = base if base == b"/" else base + b"/"
    whole = False
    for entry in entries:
        if entry.path == base:
            whole = entry.type == tree.FOLDER
            name = b"/" if whole else base[base.rindex(b"/"):]
            if not whole:  # something for the name to lie in
                yield entry._replace(path=b"/", type=tree.FOLDER, group=None,
                                     mode=0o755, xattrs=[], extents=[], size=0)
            yield entry._replace(path=name)
        elif whole and entry.path.startswith(prefix):
            yield entry._replace(path=entry.path[len(prefix) - 1:])


class Places:
    """Where entries lie in a folder. They come sorted by path; each folder
    stays open until the first entry that does not lie in it."""

    def __init__(self, root: bytes, leave: Callable[[Entry, bytes], None]) \
            -> None:
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.leave = leave
        self.open: list[tuple[Entry, int]] = []

    def at(self, entry: Entry) -> bytes:
        """A path by which the kernel finds the entry's place."""
        if entry.path == b"/":
            return b"/proc/self/fd/%d/." % self.root
        above = tree.parent(entry.path)
        self._close_until(lambda e: e.path == above)
        name = entry.path[entry.path.rindex(b"/") + 1:]
        return b"/proc/self/fd/%d/%s" % (self.open[-1][1], name)

    def enter(self, entry: Entry, place: bytes) -> None:
        """Go into a folder."""
        self.open.append((entry, os.open(
            place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)))

    def find(self, path: bytes) -> tuple[int, bytes]:
        """A path of before, from the root on: its folder, to be closed."""
        *folders, name = path[1:].split(b"/")
        at = os.dup(self.root)
        for folder in folders:
            inner = os.open(folder, os.O_PATH | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return at, name

    def done(self) -> None:
        """After the last entry."""
        self._close_until(lambda e: False)
        os.close(self.root)

    def _close_until(self, wanted: Callable[[Entry], bool]) -> None:
        while self.open and not wanted(self.open[-1][0]):
            entry, fd = self.open.pop()
            self.leave(entry, b"/proc/self/fd/%d/." % fd)
            os.close(fd)


class Restore:
    """Puts entries into an empty folder, as root with everything."""

    def __init__(self, repository: Repository, root: bytes) -> None:
        os.makedirs(root, exist_ok=True)
        self.repository = repository
        self.places = Places(root, self._finish)
        self.groups: dict[int, bytes] = {}

    def run(self, entries: Iterator[Entry]) -> int:
        """How many were restored."""
        count = 0
        for count, entry in enumerate(entries, 1):
            place = self.places.at(entry)
            if entry.group is not None and entry.group in self.groups:
                self._link(self.groups[entry.group], place)
                continue
            self._make(entry, place)
            if entry.group is not None:
                self.groups[entry.group] = entry.path
            if entry.type == tree.FOLDER:
                self.places.enter(entry, place)
            else:
                self._finish(entry, place)
        self.places.done()
        return count

    def _link(self, first: bytes, place: bytes) -> None:
        folder, name = self.places.find(first)
        os.link(b"/proc/self/fd/%d/%s" % (folder, name), place,
                follow_symlinks=False)
        os.close(folder)

    def _make(self, entry: Entry, place: bytes) -> None:
        if entry.type == tree.FOLDER:
            if entry.path != b"/":
                os.mkdir(place, 0o700)
        elif entry.type == tree.SYMLINK:
            os.symlink(entry.target, place)
        elif entry.type == tree.FILE:
            self._write(entry, place)
        else:
            os.mknod(place, TYPES[entry.type] | 0o600,
                     os.makedev(*entry.device))

    def _write(self, entry: Entry, place: bytes) -> None:
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        at = 0
        for extent in tree.stretches(self.repository, entry.extents,
                                     entry.level):
            if extent.chunk:
                os.pwrite(fd, content(self.repository, extent), at)
            at += extent.length
        os.ftruncate(fd, entry.size)
        os.close(fd)

    def _finish(self, entry: Entry, place: bytes) -> None:
        """Owner first: it takes setuid bits and capabilities away."""
        follow = entry.path == b"/" or place.endswith(b"/.")
        if os.geteuid() == 0:
            os.chown(place, entry.uid, entry.gid, follow_symlinks=follow)
        for name, value in tree.xattrs(self.repository, entry).items():
            os.setxattr(place, name, value, follow_symlinks=follow)
        if entry.type != tree.SYMLINK:
            os.chmod(place, entry.mode)
        os.utime(place, ns=(entry.mtime.ns(),) * 2, follow_symlinks=follow)


def content(repository: Repository, extent: Extent) -> bytes:
    """The bytes of an extent that is no hole."""
    assert extent.chunk
    data = repository.chunk(extent.chunk, DATA)
    tree.need(extent.offset + extent.length <= len(data),
              "an extent beyond its chunk")
    return data[extent.offset:extent.offset + extent.length]


class Compare:
    """Compares entries with a folder: every byte, all metadata. With partly,
    entries that are not in the folder are no difference."""

    def __init__(self, repository: Repository, root: bytes, partly: bool) \
            -> None:
        self.repository, self.partly = repository, partly
        self.places = Places(root, self._extras)
        self.children: dict[bytes, set[bytes]] = {}
        self.groups: dict[int, tuple[int, int]] = {}
        self.inodes: dict[tuple[int, int], Optional[int]] = {}
        self.differences: list[str] = []
        self.missing: list[bytes] = []

    def run(self, entries: Iterator[Entry]) -> int:
        """How many were compared; `differences` has what was found."""
        count = 0
        for entry in entries:
            if any(entry.path.startswith(m + b"/") for m in self.missing[-1:]):
                continue
            count += self._one(entry)
        self.places.done()
        return count

    def _one(self, entry: Entry) -> int:
        place = self.places.at(entry)
        if entry.path != b"/":
            self.children[tree.parent(entry.path)].add(
                entry.path[entry.path.rindex(b"/") + 1:])
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            self.missing.append(entry.path)
            if not self.partly:
                self._say(entry, "is missing")
            return 0
        self._metadata(entry, place, found)
        if stat.S_IFMT(found.st_mode) == TYPES[entry.type]:
            if entry.type == tree.FILE:
                self._content(entry, place)
            elif entry.type == tree.FOLDER:
                self.children[entry.path] = set()
                self.places.enter(entry, place)
        elif entry.type == tree.FOLDER:
            self.missing.append(entry.path)
        return 1

    def _say(self, entry: Entry, what: str) -> None:
        self.differences.append(f"{entry.path!r}: {what}")

    def _metadata(self, entry: Entry, place: bytes, found: os.stat_result) \
            -> None:
        pairs = [
            ("type", TYPES[entry.type], stat.S_IFMT(found.st_mode)),
            ("owner", (entry.uid, entry.gid), (found.st_uid, found.st_gid)),
            ("time", entry.mtime.ns(), found.st_mtime_ns)]
        if entry.type != tree.SYMLINK:
            pairs.append(("mode", entry.mode, stat.S_IMODE(found.st_mode)))
        if entry.type == tree.FILE:
            pairs.append(("size", entry.size, found.st_size))
        if entry.type in (tree.CHARACTER, tree.BLOCK):
            pairs.append(("device", os.makedev(*entry.device),
                          found.st_rdev))
        if entry.type == tree.SYMLINK and stat.S_ISLNK(found.st_mode):
            pairs.append(("target", entry.target, os.readlink(place)))
        pairs.append(("attributes", tree.xattrs(self.repository, entry),
                      live_xattrs(place, entry.path == b"/")))
        if entry.type != tree.FOLDER:
            pairs.append(self._linked(entry, found))
        for what, stored, live in pairs:
            if stored != live:
                self._say(entry, f"{what}: {stored!r} in the snapshot, "
                                 f"{live!r} in the folder")

    def _linked(self, entry: Entry, found: os.stat_result) \
            -> tuple[str, object, object]:
        """One inode for one group, and no other's."""
        inode = found.st_dev, found.st_ino
        if entry.group is not None:
            stored = self.groups.setdefault(entry.group, inode)
            if stored != inode:
                return "hard link", stored, inode
        return ("hard-link group", entry.group,
                self.inodes.setdefault(inode, entry.group))

    def _content(self, entry: Entry, place: bytes) -> None:
        fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
        at, holes = 0, []
        for extent in tree.stretches(self.repository, entry.extents,
                                     entry.level):
            if extent.chunk:
                if os.pread(fd, extent.length, at) != \
                        content(self.repository, extent):
                    self._say(entry, f"other bytes at {at}")
                    break
            else:
                holes.append((at, at + extent.length))
            at += extent.length
        live = list(live_holes(fd, entry.size))
        if grains(holes) != grains(live):
            self._say(entry, f"holes: {grains(holes)} in the snapshot, "
                             f"{grains(live)} in the folder")
        for start, end in holes:
            while start < end:
                piece = os.pread(fd, min(end - start, PIECE), start)
                if not piece or piece.strip(b"\0"):
                    self._say(entry, f"other bytes than a hole at {start}")
                    break
                start += len(piece)
                start = next_data(fd, start, end)
        os.close(fd)

    def _extras(self, entry: Entry, place: bytes) -> None:
        extra = set(os.listdir(place)) - self.children.pop(entry.path)
        for name in sorted(extra):
            self._say(entry, f"holds {name!r}, which the snapshot has not")


def live_xattrs(place: bytes, follow: bool) -> dict[bytes, bytes]:
    """The extended attributes of what lies there."""
    return {os.fsencode(name): os.getxattr(place, name,
                                           follow_symlinks=follow)
            for name in os.listxattr(place, follow_symlinks=follow)}


def next_data(fd: int, start: int, end: int) -> int:
    """Where data begins at or after start, at most end."""
    try:
        return min(os.lseek(fd, start, os.SEEK_DATA), end)
    except OSError as e:
        if e.errno != errno.ENXIO:
            raise
        return end


def live_holes(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The holes of an open file."""
    at = 0
    while at < size:
        at = min(os.lseek(fd, at, os.SEEK_HOLE), size)
        if at < size:
            end = next_data(fd, at, size)
            yield at, end
            at = end


def grains(holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Holes as whole blocks, neighbours joined: what every file system keeps."""
    joined: list[tuple[int, int]] = []
    for start, end in holes:
        start, end = -(-start // GRAIN) * GRAIN, end // GRAIN * GRAIN
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        elif start < end:
            joined.append((start, end))
    return joined
