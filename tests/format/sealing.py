"""Bytes: cursors, sealing, compression, padding (FORMAT.md §1, §2).

Nothing here is shared with the C code: it is written from FORMAT.md with
PyNaCl, cryptography, hashlib and libzstd, so that a mistake in either shows in the other.
"""
import ctypes
import hashlib
import hmac
from typing import Callable, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.exceptions import CryptoError

MAGIC = b"snapctl\n"
MIB = 1 << 20
MAX_PAYLOAD = 16 * MIB
OVERHEAD = 40
HEADER = 32
TRAILER = 64


class Damaged(Exception):
    """Bytes that break a rule of FORMAT.md."""


def need(condition: object, what: str) -> None:
    """Refuse what breaks a rule."""
    if not condition:
        raise Damaged(what)


class Time(NamedTuple):
    """Seconds since 1970 and nanoseconds (Conventions)."""
    seconds: int
    nanoseconds: int

    def ns(self) -> int:
        """All of it in nanoseconds."""
        return self.seconds * 10**9 + self.nanoseconds


class Cursor:
    """Reads the elements of the page's Conventions, front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        """That many bytes."""
        need(length <= len(self.data) - self.at, "cut short")
        self.at += length
        return self.data[self.at - length:self.at]

    def number(self, size: int) -> int:
        """u8, u16, u32, u64 by their size in bytes."""
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        """Unsigned LEB128, minimal, at most ten bytes, at most 64 bits."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                need(byte or not shift, "varint is not minimal")
                need(value < 1 << 64, "varint beyond 64 bits")
                return value
        raise Damaged("varint of more than ten bytes")

    def svarint(self) -> int:
        """Zigzag: 0 -1 1 -2 as 0 1 2 3."""
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def bytes(self) -> bytes:
        """A varint length, then that many bytes."""
        return self.take(self.varint())

    def time(self) -> Time:
        """svarint seconds, varint nanoseconds."""
        time = Time(self.svarint(), self.varint())
        need(time.nanoseconds < 10**9, "nanoseconds beyond a second")
        return time

    def left(self) -> int:
        """How many bytes follow."""
        return len(self.data) - self.at

    def end(self) -> None:
        """Nothing follows."""
        need(not self.left(), f"{self.left()} bytes too many")

    def zeros(self) -> int:
        """Nothing but the filling follows; its length (§2, Padding)."""
        need(not any(self.data[self.at:]), "filling that is not zero")
        return self.left()


def whole(data: bytes, read: Callable[[Cursor], object]) -> object:
    """What read makes of data, all of it."""
    cursor = Cursor(data)
    value = read(cursor)
    cursor.end()
    return value


def blake2b(data: bytes, key: bytes = b"") -> bytes:
    """BLAKE2b-256."""
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def kdf(key: bytes, label: bytes, rest: bytes = b"") -> bytes:
    """§1: derives a key."""
    return blake2b(b"snapctl/1 " + label + b"\0" + rest, key)


def unseal(key: bytes, ad: bytes, sealed: bytes) -> bytes:
    """§1: the plaintext of nonce ‖ ciphertext ‖ tag."""
    need(len(sealed) >= OVERHEAD, "sealed bytes cut short")
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[24:], ad, sealed[:24], key)
    except CryptoError:
        raise Damaged("does not open: changed, moved, or another key") \
            from None


def unseal_chunk(data_key: bytes, chunk: bytes, ad: bytes,
                 sealed: bytes) -> bytes:
    """§4: what random ‖ ciphertext ‖ tag holds, u8 method ‖ body."""
    need(len(sealed) > OVERHEAD, "a sealed chunk cut short")
    key = kdf(data_key, b"chunk", chunk + sealed[:12])
    try:
        return AESGCM(key).decrypt(sealed[12:24], sealed[24:], ad)
    except InvalidTag:
        raise Damaged("a chunk does not open: changed, or another key") \
            from None


def chunk_id(id_key: bytes, kind: int, plaintext: bytes) -> bytes:
    """§4: what identifies a chunk."""
    return hmac.digest(id_key, bytes([kind]) + plaintext, "sha256")


_zstd = ctypes.CDLL("libzstd.so.1")
_zstd.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
_zstd.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
_zstd.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p,
                                               ctypes.c_size_t]
_zstd.ZSTD_decompress.restype = ctypes.c_size_t
_zstd.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t,
                                  ctypes.c_char_p, ctypes.c_size_t]


def inflate(method: int, body: bytes) -> bytes:
    """§2, §4: method 0 as it is, 1 one zstd frame that tells its size."""
    if method == 0:
        return body
    need(method == 1, f"unknown method {method}")
    size = _zstd.ZSTD_getFrameContentSize(body, len(body))
    need(size < 1 << 62, "a zstd frame without its size, or none at all")
    need(size <= MAX_PAYLOAD, "more than 16 MiB when decompressed")
    need(_zstd.ZSTD_findFrameCompressedSize(body, len(body)) == len(body),
         "more than one zstd frame, or less")
    out = ctypes.create_string_buffer(max(size, 1))
    need(_zstd.ZSTD_decompress(out, size, body, len(body)) == size,
         "zstd frame does not decompress")
    return out.raw[:size]


def padme(length: int) -> int:
    """§2, Padding: the smallest Padmé size that holds length."""
    e = length.bit_length() - 1
    mask = (1 << e - e.bit_length()) - 1
    return length + mask & ~mask


def check_padding(size: int, filling: int) -> None:
    """§2: an object of that size holds exactly the filling it needs."""
    need(padme(size - filling) == size,
         f"size {size} with {filling} of filling is not the Padmé size")


class Header(NamedTuple):
    """§2: the first 32 bytes of every object but `config`."""
    raw: bytes
    kind: int
    epoch: int
    id: bytes


# §9: a tombstone with a scope is of version 1; all else is of version 0.
VERSIONS = {13: 1}


def header(raw: bytes, kind: int) -> Header:
    """§2: read and check a header of that kind."""
    cursor = Cursor(raw[:HEADER])
    need(cursor.take(8) == MAGIC, "not an object of snapctl")
    need(cursor.number(1) == kind, "another kind of object")
    need(cursor.number(1) <= VERSIONS.get(kind, 0), "newer format")
    need(cursor.number(2) == 0, "header's reserved bytes are not zero")
    return Header(raw[:HEADER], kind, cursor.number(4), cursor.take(16))


def fields(payload: bytes) -> list[tuple[int, bytes]]:
    """§2: tag, value in ascending order."""
    cursor, found, last = Cursor(payload), [], 0
    while cursor.left():
        tag = cursor.varint()
        need(tag >= last, "fields out of order")
        found.append((tag, cursor.bytes()))
        last = tag
    return found
