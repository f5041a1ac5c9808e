"""Trees: a snapshot's entries as one sequence sorted by path (FORMAT.md §7)."""
from typing import Iterator, NamedTuple, Optional

from repository import HINTS, INNER, LEAF, MAP, VALUE, Repository
from sealing import Cursor, Time, need

FOLDER, FILE, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK = range(1, 8)
HARD_LINK, XATTRS, CHANGED = 1, 2, 4

Root = Optional[tuple[int, bytes]]


class Extent(NamedTuple):
    """A stretch of a file: a hole, or bytes of a chunk."""
    chunk: Optional[bytes]
    offset: int
    length: int


class Entry(NamedTuple):
    """§7: one entry of a leaf."""
    path: bytes
    type: int
    flags: int
    mode: int
    uid: int
    gid: int
    mtime: Time
    size: int
    level: int
    extents: list[Extent]
    target: bytes
    device: tuple[int, int]
    group: Optional[int]
    xattrs: list[tuple[bytes, Optional[bytes], bytes]]  # name, chunk, value


def order(path: bytes) -> bytes:
    """§7: `/` is lower than every other byte; NUL is in no path."""
    return path.replace(b"/", b"\0")


def parent(path: bytes) -> bytes:
    """The path of the folder above."""
    return path[:path.rindex(b"/")] or b"/"


def check_path(path: bytes) -> None:
    """§7: what a path may be."""
    need(path[:1] == b"/" and len(path) <= 65535 and b"\0" not in path,
         f"a path that may not be: {path!r}")
    need(path == b"/" or not {b"", b".", b".."} & set(path[1:].split(b"/")),
         f"a component that may not be: {path!r}")


def _shared(cursor: Cursor, before: bytes) -> bytes:
    """§7: a path after the one before."""
    shared = cursor.varint()
    need(shared <= len(before), "shares more than there is")
    return before[:shared] + cursor.bytes()


def _table(cursor: Cursor) -> list[bytes]:
    return [cursor.take(32) for _ in range(cursor.varint())]


def _pick(table: list[bytes], number: int) -> bytes:
    need(number < len(table), "refers beyond the table")
    return table[number]


def _extents(cursor: Cursor, table: list[bytes], level: int) -> list[Extent]:
    need(level <= 4, "levels go up to 4")
    found, count = [], cursor.varint()
    need(count <= 1024, "more than 1,024 extents in one place")
    for _ in range(count):
        number = cursor.varint()
        if level:
            found.append(Extent(_pick(table, number), 0, cursor.varint()))
        elif number == 0:
            found.append(Extent(None, 0, cursor.varint()))
        else:
            found.append(Extent(_pick(table, number - 1), cursor.varint(),
                                cursor.varint()))
        need(found[-1].length, "an extent of nothing")
    return found


def _xattrs(cursor: Cursor, table: list[bytes]) \
        -> Iterator[tuple[bytes, Optional[bytes], bytes]]:
    for _ in range(cursor.varint()):
        name, v = cursor.bytes(), cursor.varint()
        need(0 < len(name) < 256 and b"\0" not in name, "attribute's name")
        need(v & 1 or v >> 1 <= 65536, "attribute's value is too large")
        if v & 1:
            yield name, _pick(table, v >> 1), b""
        else:
            yield name, None, cursor.take(v >> 1)


def _entry(cursor: Cursor, table: list[bytes], before: Entry) -> Entry:
    """§7: an entry after the one before."""
    path = _shared(cursor, before.path)
    kind, flags, mode = cursor.number(1), cursor.varint(), cursor.varint()
    need(FOLDER <= kind <= BLOCK, f"unknown type {kind}")
    need(flags < 8 and mode < 0o10000, "unknown flags or permission bits")
    uid, gid = before.uid + cursor.svarint(), before.gid + cursor.svarint()
    need(0 <= uid < 1 << 32 and 0 <= gid < 1 << 32, "owner beyond 32 bits")
    mtime = Time(before.mtime.seconds + cursor.svarint(), cursor.varint())
    need(mtime.nanoseconds < 10**9, "nanoseconds beyond a second")
    size, level, extents, target, device = 0, 0, [], b"", (0, 0)
    if kind == FILE:
        size, level = cursor.varint(), cursor.number(1)
        extents = _extents(cursor, table, level)
        need(sum(e.length for e in extents) == size,
             "extents do not add up to the size")
    elif kind == SYMLINK:
        target = cursor.bytes()
        need(0 < len(target) < 65536 and b"\0" not in target, "target")
    elif kind in (CHARACTER, BLOCK):
        device = cursor.varint(), cursor.varint()
    group = cursor.number(8) if flags & HARD_LINK else None
    xattrs = list(_xattrs(cursor, table)) if flags & XATTRS else []
    return Entry(path, kind, flags, mode, uid, gid, mtime, size, level,
                 extents, target, device, group, xattrs)


def leaf(plaintext: bytes) -> Iterator[Entry]:
    """§7: the entries of a leaf."""
    cursor = Cursor(plaintext)
    table = _table(cursor)
    last = Entry(b"", 0, 0, 0, 0, 0, Time(0, 0), 0, 0, [], b"", (0, 0), None,
                 [])
    for _ in range(cursor.varint()):
        last = _entry(cursor, table, last)
        yield last
    cursor.end()


def hints(plaintext: bytes) -> Iterator[tuple[int, Time]]:
    """§7: inode and ctime of each entry of a leaf."""
    cursor, inode, seconds = Cursor(plaintext), 0, 0
    for _ in range(cursor.varint()):
        inode += cursor.svarint()
        seconds += cursor.svarint()
        yield inode, Time(seconds, cursor.varint())
    cursor.end()


class Tree:
    """The leaves of a tree in order. Whoever reads them adds what each held to
    `entries` and `bytes`, and the nodes above are checked against that."""

    def __init__(self, repository: Repository, root: Root, kind: int) -> None:
        self.repository, self.root, self.kind = repository, root, kind
        self.entries = self.bytes = 0

    def leaves(self) -> Iterator[tuple[Optional[bytes], bytes]]:
        """First path as the node above has it, and plaintext."""
        if self.root:
            need(self.root[0] <= 12, "a tree that is too high")
            yield from self._below(self.root[1], self.root[0], None)

    def _below(self, node: bytes, height: int, first: Optional[bytes]) \
            -> Iterator[tuple[Optional[bytes], bytes]]:
        if height == 0:
            yield first, self.repository.chunk(node, self.kind)
            return
        cursor = Cursor(self.repository.chunk(node, INNER))
        need(cursor.number(1) == height, "a node of another height")
        count, path = cursor.varint(), b""
        need(0 < count <= 2048, "a node of no children, or too many")
        for number in range(count):
            before, path = path, _shared(cursor, path)
            need(number == 0 or order(before) < order(path),
                 "children out of order")
            need(number or first in (None, path), "another first path below")
            child = cursor.take(32)
            entries, size = cursor.varint(), cursor.varint()
            entries, size = entries + self.entries, size + self.bytes
            yield from self._below(child, height - 1, path)
            need((self.entries, self.bytes) == (entries, size),
                 "a node's sums are not those below it")
        cursor.end()


def entries(repository: Repository, root: Root, hints_root: Root = None) \
        -> Iterator[Entry]:
    """§7: all entries, each rule of the sequence checked; with hints_root
    the hints, too."""
    tree = Tree(repository, root, LEAF)
    beside = Tree(repository, hints_root, HINTS)
    hinted = beside.leaves()
    last, folders = b"", []  # folders: the open ones down to the last entry
    for first, plaintext in tree.leaves():
        number = size = 0
        for entry in leaf(plaintext):
            check_path(entry.path)
            need(number or first in (None, entry.path),
                 "leaf begins with another path")
            need(not last or order(last) < order(entry.path),
                 f"out of order: {entry.path!r} after {last!r}")
            above = None if entry.path == b"/" else parent(entry.path)
            while folders and folders[-1] != above:
                folders.pop()
            need(above is None or folders,
                 f"no folder above {entry.path!r}")
            if entry.type == FOLDER:
                folders.append(entry.path)
            last = entry.path
            number, size = number + 1, size + entry.size
            yield entry
        need(number, "an empty leaf")
        tree.entries, tree.bytes = tree.entries + number, tree.bytes + size
        if hints_root:
            hint_first, hint = next(hinted, (None, None))
            need(hint is not None, "fewer hints than leaves")
            need(hint_first == first, "hints begin with another path")
            need(sum(1 for _ in hints(hint)) == number,
                 "hints of another count than their leaf")
            beside.entries += number
            beside.bytes += size
    need(next(hinted, None) is None, "more hints than leaves")


def stretches(repository: Repository, table_extents: list[Extent],
              level: int) -> Iterator[Extent]:
    """§7: a file's extents, through the maps of large files."""
    for extent in table_extents:
        if level == 0:
            yield extent
            continue
        assert extent.chunk
        cursor = Cursor(repository.chunk(extent.chunk, MAP))
        table = _table(cursor)
        need(cursor.number(1) == level - 1, "a map of another level")
        below = _extents(cursor, table, level - 1)
        cursor.end()
        need(sum(e.length for e in below) == extent.length,
             "a map covers another length")
        yield from stretches(repository, below, level - 1)


def xattrs(repository: Repository, entry: Entry) -> dict[bytes, bytes]:
    """§7: an entry's extended attributes, large values fetched."""
    found = {name: repository.chunk(chunk, VALUE) if chunk else value
             for name, chunk, value in entry.xattrs}
    need(len(found) == len(entry.xattrs), "an attribute's name repeats")
    return found
