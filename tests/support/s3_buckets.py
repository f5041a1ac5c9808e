"""What the S3 server of the tests keeps: buckets, versions of objects, parts.

Aim: the rules of versions, of object lock and of the order of keys in one
place, in memory, without a word about HTTP.  The caller locks.
"""
import base64
import bisect
import hashlib
import secrets
import time
import zlib

from s3_signature import Refusal

COLD = ("GLACIER", "DEEP_ARCHIVE")
CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
           "REDUCED_REDUNDANCY", "GLACIER_IR", "EXPRESS_ONEZONE", *COLD)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xffffffff


def crc_table(polynomial):
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (polynomial if n & 1 else 0)
        table.append(n)
    return table


CRC32C = crc_table(0x82f63b78)
CHECKSUMS = {
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: crc32c(data).to_bytes(4, "big"),
}


def told(digest):
    return base64.b64encode(digest).decode()


class Version:
    """One version of an object, or a delete marker (data is None)."""

    def __init__(self, key, data, now, headers=(), lock=None):
        self.key = key
        self.id = "null"
        self.data = data
        self.when = now
        self.headers = dict(headers)  # x-amz-meta-*, content-type, SSE
        self.etag = hashlib.md5(data or b"").hexdigest()
        self.checksums = {}
        self.kind = "STANDARD"
        self.restored = False
        self.mode, self.until, self.held = lock or (None, None, False)

    def is_cold(self):
        return self.kind in COLD and not self.restored

    def check_deletable(self, now, bypass):
        locked = self.mode and self.until > now
        if self.held or locked and (self.mode == "COMPLIANCE" or not bypass):
            raise Refusal(403, "AccessDenied", "Access Denied because object "
                          "protected by object lock.")

    def retain(self, mode, until, now, bypass):
        """PutObjectRetention: what is kept may only be kept longer."""
        if self.mode and self.until > now:
            less = mode != self.mode or until < self.until
            if less and (self.mode == "COMPLIANCE" or not bypass):
                raise Refusal(403, "AccessDenied", "Access Denied because "
                              "object protected by object lock.")
        self.mode, self.until = mode, until


class Upload:
    """A multipart upload under way: its parts are (data, etag, checksums)."""

    def __init__(self, first, algorithm):
        self.id = secrets.token_hex(24)
        self.first = first  # a Version that has the headers
        self.algorithm = algorithm
        self.parts = {}

    def finish(self, chosen):
        """The version made of the parts whose numbers were chosen."""
        v = self.first
        v.data = b"".join(self.parts[n][0] for n in chosen)
        tags = b"".join(bytes.fromhex(self.parts[n][1]) for n in chosen)
        v.etag = f"{hashlib.md5(tags).hexdigest()}-{len(chosen)}"
        if self.algorithm:
            sums = CHECKSUMS[self.algorithm]
            whole = sums(b"".join(sums(self.parts[n][0]) for n in chosen))
            v.checksums = {self.algorithm: f"{told(whole)}-{len(chosen)}"}
        return v


class Bucket:
    """Keys in the order of their bytes, each with its versions, old first."""

    def __init__(self, name, lock, now):
        self.name = name
        self.when = now
        self.versioning = "Enabled" if lock else None
        self.lock = lock
        self.default = None  # of object lock: (mode, days)
        self.objects = {}
        self.uploads = {}
        self.order = None

    def keys_from(self, key, after):
        """Sorted keys from one on, or after it."""
        if self.order is None:  # code points and UTF-8 sort alike
            self.order = sorted(self.objects)
        find = bisect.bisect_right if after else bisect.bisect_left
        return self.order[find(self.order, key):]

    def current(self, key):
        """The newest version, or None when there is none or it is deleted."""
        versions = self.objects.get(key)
        if not versions or versions[-1].data is None:
            return None
        return versions[-1]

    def find(self, key, version=None):
        versions = self.objects.get(key, [])
        if version is None:
            if versions and versions[-1].data is not None:
                return versions[-1]
            marker = [("x-amz-delete-marker", "true"),
                      ("x-amz-version-id", versions[-1].id)] \
                if versions else []
            raise Refusal(404, "NoSuchKey", "The specified key does not "
                          "exist.", marker, Key=key)
        for v in versions:
            if v.id == version:
                if v.data is None:
                    raise Refusal(405, "MethodNotAllowed", "The specified "
                                  "method is not allowed against this "
                                  "resource.", [("x-amz-delete-marker",
                                                 "true")])
                return v
        raise Refusal(404, "NoSuchVersion", "The specified version does not "
                      "exist.", Key=key, VersionId=version)

    def put(self, v):
        """The newest of its key from now on."""
        versions = self.objects.setdefault(v.key, [])
        if not versions:
            self.order = None
        if self.versioning == "Enabled":
            v.id = secrets.token_hex(16)
        else:
            versions[:] = [o for o in versions if o.id != "null"]
            v.id = "null"
        if self.default and v.data is not None and not v.mode:
            v.mode = self.default[0]
            v.until = v.when + self.default[1] * 86400
        versions.append(v)

    def drop(self, v):
        versions = self.objects[v.key]
        versions.remove(v)
        if not versions:
            del self.objects[v.key]
            self.order = None

    def delete(self, key, version, now, bypass):
        """DELETE; the headers of its reply."""
        if version is None:
            if self.versioning:
                marker = Version(key, None, now)
                self.put(marker)
                return [("x-amz-delete-marker", "true"),
                        ("x-amz-version-id", marker.id)]
            if key in self.objects:
                self.drop(self.objects[key][-1])
            return []
        for v in self.objects.get(key, []):
            if v.id == version:
                v.check_deletable(now, bypass)
                self.drop(v)
                return [("x-amz-version-id", v.id)] + (
                    [("x-amz-delete-marker", "true")]
                    if v.data is None else [])
        return [("x-amz-version-id", version)]


def stamp(when):
    """As in bodies: 2026-01-31T10:20:30.000Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + \
        f".{int(when % 1 * 1000):03d}Z"
