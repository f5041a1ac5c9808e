"""Objects of a repository: opening, boxes, packs, index, chunks (§2-§6, §9).

Reading is strict: whatever is read is checked against every rule that
FORMAT.md states for it, and refused as Damaged.
"""
import base64
import os
import re
from functools import lru_cache
from typing import Any, Iterator, NamedTuple, Optional

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.pwhash import argon2id

from sealing import (HEADER, MAGIC, MAX_PAYLOAD, MIB, OVERHEAD, TRAILER,
                     Cursor, Damaged, Header, Time, blake2b, check_padding,
                     chunk_id, fields, header, inflate, kdf, need, unseal,
                     unseal_chunk, whole)

DATA, LEAF, INNER, HINTS, MAP, VALUE = range(1, 7)  # kinds of chunks, §4
BLOCK, IN_BLOCK = 16384, 251

_ID = "([0-9a-f]{32})"
# §2: the table of names. The last group is the id, but for manifests (kind 7)
# and receipts, which have their own, and keyrings, whose id is random.
NAMES = {
    1: "config", 2: f"keys/{_ID}", 3: "keyring/([0-9a-f]{8})",
    4: f"data/([0-9a-f]{{2}})/{_ID}", 5: f"meta/([0-9a-f]{{2}})/{_ID}",
    6: f"index/{_ID}", 7: f"snapshots/{_ID}-{_ID}", 8: f"receipts/{_ID}",
    9: f"sessions/{_ID}", 10: f"fences/{_ID}", 11: f"voids/{_ID}-{_ID}",
    12: f"marks/{_ID}", 13: f"tombstones/{_ID}-{_ID}",
    14: f"undeletes/{_ID}-{_ID}", 15: f"holds/{_ID}",
    16: f"locks/{_ID}-{_ID}", 17: f"pins/{_ID}",
    18: f"catalog/([0-9a-f]{{16}})-{_ID}", 19: f"quarantine/{_ID}",
    20: f"censuses/{_ID}", 21: f"inventories/{_ID}",
    22: f"guards/{_ID}",
}


def _id(data: bytes) -> str:
    need(len(data) == 16, "an id is 16 bytes")
    return data.hex()


def _number(data: bytes) -> Any:
    return whole(data, Cursor.varint)


def _time(data: bytes) -> Any:
    return whole(data, Cursor.time)


def _tag(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Damaged("text that is not UTF-8") from None


def _text(data: bytes) -> str:
    need(len(data) <= 255, "text of more than 255 bytes")
    return _tag(data)


def _root(data: bytes) -> tuple[int, bytes]:
    need(len(data) == 33, "a tree is a height and an id")
    return data[0], data[1:]


def _chunk(data: bytes) -> bytes:
    need(len(data) == 32, "a chunk's id is 32 bytes")
    return data


def _holder(data: bytes) -> tuple[bytes, str]:
    need(len(data) == 48, "a chunk's id and a pack's")
    return data[:32], data[32:].hex()


def _scope(data: bytes) -> int:
    need(_number(data) <= 1, "newer format")
    return _number(data)


def _kind_count(data: bytes) -> tuple[int, int]:
    need(len(data) > 1, "a kind and a number")
    return data[0], _number(data[1:])


_ABSENT: dict[Any, Any] = {_number: 0, _text: "", bytes: b""}

# §8, §9: tag: name, how to read it; a name that ends in "*" repeats, one
# with "?" may be absent. Absent text is empty, an absent number 0.
FIELDS: dict[int, dict[int, tuple[str, Any]]] = {
    7: {1: ("snapshot", _id), 2: ("session", _id), 3: ("source", _text),
        4: ("type", _text), 5: ("host", _text), 6: ("paths*", bytes),
        7: ("tags*", _tag), 8: ("begun", _time), 9: ("ended", _time),
        10: ("claimed?", _time), 11: ("state", _number), 12: ("tree?", _root),
        13: ("hints?", _root), 14: ("files", _number),
        15: ("folders", _number), 16: ("others", _number),
        17: ("bytes", _number), 18: ("parent?", _id), 19: ("version", _text),
        20: ("excludes*", bytes), 21: ("errors?", _chunk),
        22: ("errors_count", _number), 23: ("user", _text),
        24: ("domain", _number)},
    8: {1: ("snapshot", _id), 2: ("time", _time), 3: ("clock", _number)},
    9: {1: ("session", _id), 2: ("snapshots*", _id), 3: ("host", _text),
        4: ("pid", _number), 5: ("begun", _time), 6: ("counter", _number),
        7: ("purpose", _number)},
    10: {1: ("session", _id), 2: ("time", _time), 3: ("by", _text)},
    11: {1: ("session", _id), 2: ("time", _time), 3: ("by", _text),
         4: ("counts*", _id)},
    12: {1: ("time", _time), 2: ("objects*", _id), 3: ("by", _text)},
    13: {1: ("snapshot", _id), 2: ("time", _time), 3: ("by", _text),
         4: ("reason", _text), 5: ("not_before", _time),
         6: ("scope?", _scope)},
    14: {1: ("snapshot", _id), 2: ("time", _time), 3: ("by", _text),
         4: ("revokes*", _id), 5: ("session?", _id)},
    15: {1: ("hold", _id), 2: ("time", _time), 3: ("by", _text),
         4: ("snapshots*", _id), 5: ("source", _text), 6: ("case", _text),
         7: ("custodian", _text), 8: ("released?", _id)},
    16: {1: ("snapshot", _id), 2: ("until", _time), 3: ("time", _time),
         4: ("by", _text)},
    17: {1: ("snapshots*", _id), 2: ("host", _text), 3: ("pid", _number),
         4: ("begun", _time), 5: ("counter", _number),
         6: ("purpose", _number)},
    18: {1: ("sequence", _number), 2: ("rows", bytes)},
    19: {1: ("time", _time), 2: ("holders*", _holder), 3: ("reason", _text)},
    20: {1: ("mark", _id), 2: ("sessions*", _id)},
    21: {1: ("time", _time), 2: ("counts*", _kind_count),
         3: ("replaces*", _id)},
}


def record(kind: int, payload: bytes) -> dict[str, Any]:
    """§2, §8, §9: the fields of a box by name; unknown ones are skipped."""
    found: dict[str, Any] = {}
    for tag, data in fields(payload):
        if tag not in FIELDS[kind]:
            continue
        name, read = FIELDS[kind][tag]
        if name.endswith("*"):
            found.setdefault(name[:-1], []).append(read(data))
            continue
        need(name.rstrip("?") not in found, f"field {tag} repeats")
        found[name.rstrip("?")] = read(data)
    for name, read in FIELDS[kind].values():
        if name.endswith("*"):
            found.setdefault(name[:-1], [])
        elif read in _ABSENT:
            found.setdefault(name, _ABSENT[read])
        need(name[-1] in "*?" or name in found, f"field {name} is missing")
    return found


class Stored(NamedTuple):
    """§5, §6: where a chunk lies, and what it is."""
    id: bytes
    pack: str
    offset: int
    sealed: int
    plain: int
    epoch: int
    domain: int
    kind: int


def _stored(chunk: bytes, pack: str, offset: int, cursor: Cursor) -> Stored:
    """§5: the fields that a directory and an index share, with their rules."""
    one = Stored(chunk, pack, offset, *map(cursor.number, (4, 4, 2, 2, 1)))
    need(OVERHEAD < one.sealed <= one.plain + OVERHEAD + 1,
         "a chunk longer than its plaintext allows, or shorter than its seal")
    need(one.plain <= MAX_PAYLOAD, "a chunk of more than 16 MiB")
    need(DATA <= one.kind <= VALUE, f"unknown kind of chunk {one.kind}")
    return one


class Ring(NamedTuple):
    """§3: what the newest keyring holds."""
    generation: int
    epochs: dict[int, bytes]
    domains: dict[int, bytes]


class Repository:
    """A repository in a folder, each object a file of its name."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.index: dict[bytes, Stored] = {}
        self.id = self._config()

    # --- objects -----------------------------------------------------------

    def names(self, kind: int) -> Iterator[str]:
        """§2: the names of that kind, sorted."""
        folder = NAMES[kind].split("/")[0]
        for path, folders, files in os.walk(os.path.join(self.root, folder)):
            folders.sort()
            for name in sorted(files):
                name = os.path.relpath(os.path.join(path, name), self.root)
                if re.fullmatch(NAMES[kind], name):
                    yield name

    def strangers(self) -> Iterator[str]:
        """Files that are no object of §2, nor unfinished ones."""
        known = re.compile("|".join(NAMES.values()))
        for path, folders, files in os.walk(self.root):
            if path == self.root and "tmp" in folders:
                folders.remove("tmp")
            for name in files:
                name = os.path.relpath(os.path.join(path, name), self.root)
                if not known.fullmatch(name):
                    yield name

    def read(self, name: str, offset: int = 0,
             length: Optional[int] = None) -> bytes:
        """An object's bytes, or some of them."""
        with open(os.path.join(self.root, name), "rb") as file:
            file.seek(offset)
            data = file.read() if length is None else file.read(length)
        need(length is None or len(data) == length, "cut short")
        return data

    def size(self, name: str) -> int:
        """An object's size."""
        return os.stat(os.path.join(self.root, name)).st_size

    def head(self, name: str, kind: int) -> Header:
        """§2: an object's header, its id that of the name."""
        head = header(self.read(name, 0, HEADER), kind)
        ids = re.fullmatch(NAMES[kind], name).groups()  # type: ignore
        need(kind == 3 or head.id.hex() == ids[-1], "id is not the name's")
        need(kind not in (4, 5) or ids[1].startswith(ids[0]),
             "pack in another folder than its id says")
        need((head.epoch == 0) == (kind == 2), "epoch 0 is for slots")
        return head

    def ad(self, head: Header, label: bytes, name: str) -> bytes:
        """§2: associated data."""
        return head.raw + self.id + label + b"\0" + name.encode()

    def object_key(self, epoch: int) -> bytes:
        """§1."""
        need(epoch in self.ring.epochs, f"no key of epoch {epoch}")
        return kdf(self.ring.epochs[epoch], b"object")

    # --- §3 ----------------------------------------------------------------

    def _config(self) -> bytes:
        cursor = Cursor(_checked(self.read("config")))
        need(cursor.take(8) == MAGIC, "not a repository of snapctl")
        need(cursor.number(1) == 1, "config of another kind")
        need(cursor.number(1) == 0, "newer format")
        need(cursor.number(2) == 0, "config's reserved bytes are not zero")
        need(cursor.number(4) == 1, "another format")
        repository = cursor.take(16)
        cursor.end()
        return repository

    def slot(self, name: str, secret: bytes, kind: int) \
            -> Optional[PrivateKey]:
        """§3: the private key in a slot, None when the secret is another."""
        data = self.read(name)
        need(len(data) == HEADER + 57 + 72 + 32, "a slot of another size")
        head, cursor = self.head(name, 2), Cursor(_checked(data)[HEADER:])
        shown = cursor.data[:57]
        slot_kind, passes, kib = map(cursor.number, (1, 4, 4))
        salt, public = cursor.take(16), cursor.take(32)
        need(slot_kind in (1, 2), f"unknown type of slot {slot_kind}")
        if slot_kind != kind:
            return None
        if kind == 1:
            need(not passes and not kib, "parameters in a key file's slot")
            kek = kdf(secret, b"slot", salt)
        else:
            need(passes <= 16 and kib <= MIB, "Argon2id beyond the limits")
            kek = argon2id.kdf(32, secret, salt, passes, kib * 1024)
        try:
            key = unseal(kek, self.ad(head, b"slot", name) + shown,
                         cursor.take(72))
        except Damaged:
            return None
        private = PrivateKey(key)
        need(bytes(private.public_key) == public, "a slot's keys differ")
        return private

    def open(self, secret: bytes, kind: int) -> None:
        """§3: open with the secret of a key file (1) or a passphrase (2)."""
        keys = {name[-32:]: key for name in self.names(2)
                if (key := self.slot(name, secret, kind))}
        rings = list(self.names(3))
        need(rings, "no keyring: a repository that was not finished")
        opened = None
        for name in rings:
            opened = self.keyring(name, keys)
        if not opened:
            raise Damaged("no slot of the newest keyring opens with this key")
        self.ring = opened
        self.quarantined = {holder for _, box in self.boxes(19)
                            for holder in box["holders"]}

    def keyring(self, name: str, keys: dict[str, PrivateKey]) \
            -> Optional[Ring]:
        """§3: one generation; None when no slot opens it."""
        data = _checked(self.read(name))
        head, cursor = self.head(name, 3), Cursor(data)
        cursor.take(HEADER)
        generation, count = cursor.number(4), cursor.number(2)
        need(f"{generation:08x}" == name[-8:] and 0 < count <= 256,
             "generation is not the name's, or too many slots")
        outside = [(cursor.take(16).hex(), cursor.take(80))
                   for _ in range(count)]
        length = cursor.number(4)
        ring_key = None
        for slot, sealed in outside:
            if slot in keys:
                try:
                    ring_key = SealedBox(keys[slot]).decrypt(sealed)
                except CryptoError:
                    raise Damaged("a slot does not open its keyring") \
                        from None
        if ring_key is None:
            return None
        between = blake2b(data[HEADER:cursor.at])
        plain = Cursor(unseal(ring_key, self.ad(head, b"keyring", name) +
                              between, cursor.take(length)))
        cursor.end()
        inside = fields(plain.take(plain.number(4)))
        check_padding(len(data) + 32, plain.zeros())
        ring, slots = _ring(inside)
        need(ring.generation == generation, "another generation inside")
        need(slots == [slot for slot, _ in outside], "other slots inside")
        need(head.epoch == max(ring.epochs), "another epoch inside")
        earlier = [data for tag, data in inside if tag == 7]
        need(len(earlier) == generation - 1 < 4096,
             "does not name every generation before")
        for older in self.names(3):
            number = int(older[-8:], 16)
            need(number >= generation or
                 self.read(older)[-32:] == earlier[number - 1],
                 "does not come from a generation before")
        return ring

    # --- boxes, §2, §8, §9 ---------------------------------------------------

    def box(self, name: str, kind: int) -> dict[str, Any]:
        """§2: the fields of a small object."""
        head = self.head(name, kind)
        data = self.read(name)
        cursor = Cursor(unseal(self.object_key(head.epoch),
                               self.ad(head, b"box", name), data[HEADER:]))
        method = cursor.number(1)
        payload = inflate(method, cursor.take(cursor.number(4)))
        check_padding(len(data), cursor.zeros())
        need(len(payload) <= MAX_PAYLOAD, "payload of more than 16 MiB")
        box = record(kind, payload)
        ids = re.fullmatch(NAMES[kind], name).groups()  # type: ignore
        if kind == 18:
            need(box["sequence"] == int(ids[0], 16), "another sequence")
        first = {9: "session", 10: "session", 11: "session", 15: "hold"}
        key = first.get(kind, "snapshot")
        need(key not in box or box[key] == ids[0], f"{key} is not the name's")
        need(kind != 7 or box["session"] == ids[1], "session of another name")
        return box

    def boxes(self, kind: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """All boxes of a kind, with their names."""
        for name in self.names(kind):
            yield name, self.box(name, kind)

    # --- packs, §5 -----------------------------------------------------------

    def _tail(self, name: str, head: Header, label: bytes) \
            -> tuple[int, Cursor]:
        """§5, §6: what the trailer points to, and where it begins."""
        size, key = self.size(name), self.object_key(head.epoch)
        need(size >= HEADER + OVERHEAD + TRAILER, "cut short")
        cursor = Cursor(unseal(key, self.ad(head, b"trailer", name),
                               self.read(name, size - TRAILER)))
        offset, length, zero = (cursor.number(8) for _ in range(3))
        cursor.end()
        need(zero == 0, "trailer's reserved bytes are not zero")
        need(HEADER <= offset and offset + length + TRAILER == size,
             "trailer points elsewhere")
        return offset, Cursor(unseal(key, self.ad(head, label, name),
                                     self.read(name, offset, length)))

    def pack(self, name: str, kind: int) -> list[Stored]:
        """§5: a pack's directory."""
        need(self.size(name) <= 256 * MIB, "a pack of more than 256 MiB")
        end, cursor = self._tail(name, self.head(name, kind), b"directory")
        count, offset, chunks = cursor.number(4), HEADER, []
        need(count <= 262144, "more than 262,144 chunks")
        for _ in range(count):
            chunks.append(_stored(cursor.take(32), name[-32:], offset,
                                  cursor))
            need((chunks[-1].kind == DATA) == (kind == 4),
                 "data in meta/ or the reverse")
            offset += chunks[-1].sealed
        check_padding(self.size(name), cursor.zeros())
        need(offset == end, "chunks do not tile the pack")
        return chunks

    # --- the index, §6 ---------------------------------------------------------

    def index_object(self, name: str) -> tuple[list[Stored], list[str],
                                                str]:
        """§6: the entries of one index object, whom it supersedes, and
        the session that wrote it."""
        head = self.head(name, 6)
        root_at, root = self._tail(name, head, b"root")
        key, ad = self.object_key(head.epoch), self.ad(head, b"block", name)
        session = root.take(16).hex()
        count, blocks, old = (root.number(n) for n in (8, 4, 4))
        need(blocks <= 4194304 and old <= 65536, "an index beyond its limits")
        superseded = [root.take(16).hex() for _ in range(old)]
        firsts = [root.take(8) for _ in range(blocks)]
        filling, rest = divmod(root_at - HEADER, BLOCK)
        filling -= blocks
        need(rest == 0 and filling >= 0 and root.left() < BLOCK,
             "blocks and root do not tile the index")
        check_padding(self.size(name), root.zeros() + filling * BLOCK)
        entries: list[Stored] = []
        for position in range(blocks + filling):
            cursor = Cursor(unseal(
                key, ad + position.to_bytes(8, "little"),
                self.read(name, HEADER + position * BLOCK, BLOCK)))
            here = cursor.number(2)
            need(here == IN_BLOCK or position >= blocks - 1,
                 "a block that is not full")
            need(here <= IN_BLOCK and (here > 0) == (position < blocks),
                 "a block of another count")
            for _ in range(here):
                entries.append(_stored(cursor.take(32), cursor.take(16).hex(),
                                       cursor.number(4), cursor))
            cursor.zeros()
            need(not here or entries[-here].id[:8] == firsts[position],
                 "root names another first chunk")
        need(len(entries) == count, "another count of entries")
        need(all((a.id, a.pack) < (b.id, b.pack)
                 for a, b in zip(entries, entries[1:])),
             "index is not ascending")
        return entries, superseded, session

    def voids(self) -> dict[str, set[str]]:
        """§10: by session, what every void of it names."""
        found: dict[str, set[str]] = {}
        for _, box in self.boxes(11):
            names = set(box["counts"])
            session = box["session"]
            found[session] = found.get(session, names) & names
        return found

    def load_index(self) -> None:
        """§6: the union of the index objects that none supersedes; §9:
        quarantined holders count as absent."""
        voids = self.voids()
        objects = {name[-32:]: self.index_object(name)
                   for name in self.names(6)}
        objects = {name: one for name, one in objects.items()
                   if name in voids.get(one[2], {name})}
        gone = {old for _, superseded, _ in objects.values()
                for old in superseded}
        for name, (entries, _, _) in objects.items():
            for one in entries if name not in gone else ():
                if (one.id, one.pack) not in self.quarantined:
                    self.index.setdefault(one.id, one)

    # --- chunks, §4 ------------------------------------------------------------

    def open_chunk(self, one: Stored, sealed: bytes) -> bytes:
        """§4: the plaintext of a sealed chunk."""
        secret = self.ring.domains.get(one.domain)
        need(secret and one.epoch in self.ring.epochs, "no key for a chunk")
        number = one.domain.to_bytes(2, "little")
        key = kdf(self.ring.epochs[one.epoch], b"data", number + secret)
        ad = (b"snapctl/1 chunk\0" + self.id + number +
              one.epoch.to_bytes(2, "little") + bytes([one.kind]) + one.id)
        body = unseal_chunk(key, one.id, ad, sealed)
        plain = inflate(body[0], body[1:])
        need(len(plain) == one.plain, "a chunk of another length")
        need(chunk_id(kdf(secret, b"id"), one.kind, plain) == one.id,
             "a chunk of another id")
        return plain

    @lru_cache(maxsize=8)
    def chunk(self, chunk: bytes, kind: int) -> bytes:
        """§4: a chunk by its id."""
        if not self.index:
            self.load_index()
        need(chunk in self.index, f"chunk {chunk.hex()} is in no index")
        one = self.index[chunk]
        need(one.kind == kind, f"chunk {chunk.hex()} is of another kind")
        folder = "data" if kind == DATA else "meta"
        name = f"{folder}/{one.pack[:2]}/{one.pack}"
        return self.open_chunk(one, self.read(name, one.offset, one.sealed))


def _checked(data: bytes) -> bytes:
    """§3: all but the check at the end, which must be right."""
    need(len(data) >= 64, "cut short")
    need(blake2b(data[:-32]) == data[-32:], "check does not match: damaged")
    return data[:-32]


def _ring(inside: list[tuple[int, bytes]]) -> tuple[Ring, list[str]]:
    """§3: a keyring's fields, and the ids of its slots."""
    epochs: dict[int, bytes] = {}
    domains: dict[int, bytes] = {}
    slots, once = [], {}
    for tag, data in inside:
        cursor = Cursor(data)
        if tag in (1, 2, 3):
            need(tag not in once, f"keyring's field {tag} repeats")
            once[tag] = _number(data)
        elif tag == 4:
            number = cursor.number(4)
            need(0 < number <= 65535 and number not in epochs, "epoch")
            epochs[number] = cursor.take(32)
            cursor.time()
            cursor.end()
        elif tag == 5:
            number = cursor.number(2)
            need(number not in domains, "domain repeats")
            domains[number] = cursor.take(32)
            cursor.end()
        elif tag == 6:
            slots.append(cursor.take(16).hex())
            need(cursor.number(1) in (1, 2), "unknown type of slot")
            cursor.take(32)
            cursor.time()
            need(len(cursor.bytes()) <= 127, "a slot's label is too long")
            cursor.end()
        elif tag == 7:
            need(len(data) == 32, "a check of another length")
    need(once.get(1) == 1, "another format")
    need(epochs and once.get(3) == max(epochs), "current epoch")
    need(len(epochs) <= 1024 and len(domains) <= 1024, "too many epochs")
    return Ring(once.get(2, 0), epochs, domains), slots


def key_file(path: str) -> bytes:
    """§3: the 32 bytes of a key file."""
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    need(len(lines) == 2 and lines[0] == "snapctl-key-1", "not a key file")
    secret = base64.b64decode(lines[1], validate=True)
    need(len(secret) == 32, "a key file of another length")
    return secret


def passphrase_file(path: str) -> bytes:
    """The first line of a file, without its end."""
    with open(path, "rb") as file:
        return file.readline().rstrip(b"\n")


def instant(time: Time) -> str:
    """A time as people read it."""
    import datetime
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (epoch + datetime.timedelta(seconds=time.seconds)).isoformat()
