"""Goal: the S3 server that the S3 store is tested with is right itself.

curl(1) signs and asks; what is answered is what Amazon's API reference says.
With "ceph" as a second argument a real server is asked the same, and must say
the same but for what DIFFERS lists: nothing here is only what we believe.
"""
import base64
import hashlib
import os
import subprocess
import sys
import time
import zlib
from urllib.parse import unquote_plus

from s3_place import Ceph, FakeServer
from snap import BUILD, LIMIT, Failed, check

FIVE = 5 << 20
# What Ceph 16 answers where it is not what Amazon does.
DIFFERS = {
    "a key of 1025 bytes": (400, "InvalidObjectName"),
    "no such class": (400, "InvalidArgument"),
    "delete without a sum": (200, None),
    "delete with bad XML": (400, None),  # and no body
    "part 0": (200, None),
    "parts in a wrong order": (400, "InvalidPart"),
    # The reference leaves open what a marker of a key alone means.
    "keys after a key": ["b", "b", "b", "c"],
    "no retention": (404, "ObjectLockConfigurationNotFoundError"),
    "mode of parts": None,
    "the marker is told": (None, None),
    "get the marker": (404, "NoSuchKey"),
    "keep the marker": (404, "NoSuchKey"),
    "hold the marker": (404, "NoSuchKey"),
    "get no version": (404, "NoSuchKey"),
}


class Asked:
    """Requests with what is to be answered; all differences are told."""

    def __init__(self, place, real):
        self.place, self.real = place, real
        self.wrong, self.asked = [], 0

    def __call__(self, what, status, code, method, path, query="", body=b"",
                 headers=(), *words, **more):
        reply = self.place.call(method, path, query, body, *words,
                                headers=headers, **more)
        want = status, code
        if self.real:
            want = DIFFERS.get(what, want)
        self.asked += 1
        if reply.said() != want:
            self.wrong.append(f"{what}: {reply.said()}, not {want} "
                              f"{reply.headers} {reply.body[:400]}")
        return reply

    def same(self, what, got, want):
        if self.real:
            want = DIFFERS.get(what, want)
        if got != want:
            self.wrong.append(f"{what}: {got!r}, not {want!r}")

    def done(self):
        check(not self.wrong, "\n".join(self.wrong))
        print(self.asked, "requests")


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def sha256(body):
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def objects(ask):
    ask("make a bucket", 200, None, "PUT", "/house")
    ask("make it again", 200, None, "PUT", "/house")
    ask("a bad bucket's name", 400, "InvalidBucketName", "PUT", "/B_")
    ask("head of a bucket", 200, None, "HEAD", "/house")
    ask("head of no bucket", 404, None, "HEAD", "/nobody")
    ask("list no bucket", 404, "NoSuchBucket", "GET", "/nobody",
        "list-type=2")
    ask("put into no bucket", 404, "NoSuchBucket", "PUT", "/nobody/k", "",
        b"x")
    body = bytes(range(256)) * 40
    r = ask("put", 200, None, "PUT", "/house/a/b", "", body,
            ["x-amz-meta-snapctl-upload: one two", "Content-MD5: " +
             md5(body)])
    tag = f'"{hashlib.md5(body).hexdigest()}"'
    ask.same("tag of a put", r.headers.get("etag"), tag)
    r = ask("get", 200, None, "GET", "/house/a/b")
    ask.same("bytes", r.body, body)
    ask.same("metadata", r.headers.get("x-amz-meta-snapctl-upload"),
             "one two")
    r = ask("head", 200, None, "HEAD", "/house/a/b")
    ask.same("length", r.headers.get("content-length"), str(len(body)))
    ask.same("tag of a head", r.headers.get("etag"), tag)
    ask("get what is not there", 404, "NoSuchKey", "GET", "/house/no")
    ask("head of what is not there", 404, None, "HEAD", "/house/no")
    ask("delete what is not there", 204, None, "DELETE", "/house/no")
    ask("new, but is there", 412, "PreconditionFailed", "PUT", "/house/a/b",
        "", b"other", ["If-None-Match: *"])
    ask("new", 200, None, "PUT", "/house/new", "", b"other",
        ["If-None-Match: *"])
    ask("the wrong MD5", 400, "BadDigest", "PUT", "/house/bad", "", b"x",
        ["Content-MD5: " + md5(b"y")])
    ask("no MD5", 400, "InvalidDigest", "PUT", "/house/bad", "", b"x",
        ["Content-MD5: AAAA"])
    ask("if another tag", 412, "PreconditionFailed", "GET", "/house/a/b", "",
        b"", ['If-Match: "00000000000000000000000000000000"'])
    ask("if not this tag", 304, None, "GET", "/house/a/b", "", b"",
        ["If-None-Match: " + tag])
    for text, first, last in (("0-0", 0, 0), ("5-9", 5, 9),
                              ("10230-", 10230, 10239),
                              ("-7", 10233, 10239),
                              ("10000-20000", 10000, 10239)):
        r = ask("range " + text, 206, None, "GET", "/house/a/b", "", b"",
                ["Range: bytes=" + text])
        ask.same("bytes of range " + text, r.body, body[first:last + 1])
        ask.same("place of range " + text, r.headers.get("content-range"),
                 f"bytes {first}-{last}/10240")
    ask("a range behind the end", 416, "InvalidRange", "GET", "/house/a/b",
        "", b"", ["Range: bytes=10240-"])
    ask("an empty object", 200, None, "PUT", "/house/empty")
    ask("a range of nothing", 416, "InvalidRange", "GET", "/house/empty", "",
        b"", ["Range: bytes=0-0"])
    ask("strange letters", 200, None, "PUT",
        "/house/x/%C3%A4%20%2B%25%26%3D%28%29~%27", "", b"ok")
    r = ask("strange letters again", 200, None, "GET",
            "/house/x/%C3%A4%20%2B%25%26%3D%28%29~%27")
    ask.same("bytes of strange letters", r.body, b"ok")
    ask("delete", 204, None, "DELETE", "/house/new")
    ask("get what was deleted", 404, "NoSuchKey", "GET", "/house/new")
    ask("a key of 1025 bytes", 400, "KeyTooLongError", "PUT",
        "/house/" + "k" * 1025, "", b"x")
    ask("no such class", 400, "InvalidStorageClass", "PUT", "/house/c", "",
        b"x", ["x-amz-storage-class: NO_SUCH"])


def lists(ask):
    ask("make a bucket for lists", 200, None, "PUT", "/lists")
    names = ["a", "a%20b", "a%2Fb", "a%2Fc", "b%2Bc", "b%2Fd", "z"]
    for name in names:
        ask("put for lists " + name, 200, None, "PUT",
            "/lists/" + name.replace("%2F", "/"), "", name.encode())
    got, token, pages = [], "", 0
    while token is not None and pages < 9:
        more = f"continuation-token={quoted(token)}&" if token else ""
        r = ask("a page", 200, None, "GET", "/lists",
                more + "encoding-type=url&list-type=2&max-keys=3")
        got += r.all("Key")
        token = r.text("NextContinuationToken")
        pages += 1
    ask.same("pages", pages, 3)
    # Whether a space is "+" or "%20", and "/" encoded, is the server's choice.
    ask.same("keys", [unquote_plus(k) for k in got],
             ["a", "a b", "a/b", "a/c", "b+c", "b/d", "z"])
    r = ask("a list of a prefix", 200, None, "GET", "/lists",
            "list-type=2&prefix=a%2F")
    ask.same("keys of a prefix", r.all("Key"), ["a/b", "a/c"])
    ask.same("size in a list", r.text("Size"), "5")
    ask.same("end of a list", r.text("IsTruncated"), "false")
    r = ask("a list from a key on", 200, None, "GET", "/lists",
            "list-type=2&start-after=b%2Bc")
    ask.same("keys after one", r.all("Key"), ["b/d", "z"])
    r = ask("a list of folders", 200, None, "GET", "/lists",
            "delimiter=%2F&list-type=2")
    ask.same("keys of no folder", r.all("Key"), ["a", "a b", "b+c", "z"])
    ask.same("folders", r.all("CommonPrefixes"),
             ["<Prefix>a/</Prefix>", "<Prefix>b/</Prefix>"])
    got, token = [], ""
    for _ in range(9):
        more = f"continuation-token={quoted(token)}&" if token else ""
        r = ask("a page of folders", 200, None, "GET", "/lists",
                more + "delimiter=%2F&list-type=2&max-keys=1")
        got += r.all("Key") + [p[8:-9] for p in r.all("CommonPrefixes")]
        token = r.text("NextContinuationToken")
        if token is None:
            break
    ask.same("folders and keys, one by one", sorted(got),
             ["a", "a b", "a/", "b+c", "b/", "z"])
    r = ask("a list of nothing", 200, None, "GET", "/lists",
            "list-type=2&prefix=q")
    ask.same("no keys", r.all("Key"), [])
    ask("no number of keys", 400, "InvalidArgument", "GET", "/lists",
        "list-type=2&max-keys=x")
    two = b"<Delete><Object><Key>a</Key></Object><Object><Key>never</Key>" \
        b"</Object></Delete>"
    r = ask("delete two", 200, None, "POST", "/lists", "delete=", two,
            ["Content-MD5: " + md5(two)])
    ask.same("what was deleted", sorted(r.all("Key")), ["a", "never"])
    ask("get one of them", 404, "NoSuchKey", "GET", "/lists/a")
    ask("delete without a sum", 400, "InvalidRequest", "POST", "/lists",
        "delete=", two)
    ask("delete with bad XML", 400, "MalformedXML", "POST", "/lists",
        "delete=", b"<Delete><Obj", ["Content-MD5: " + md5(b"<Delete><Obj")])
    ask("delete a bucket that is not empty", 409, "BucketNotEmpty", "DELETE",
        "/lists")


def quoted(text):
    return "".join(c if c.isalnum() or c in "-_.~" else f"%{ord(c):02X}"
                   for c in text)


def complete(*parts):
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{t}</ETag></Part>"
                   for n, t in parts)
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>" \
        .encode()


def parts(ask):
    path = "/house/large"
    r = ask("begin an upload", 200, None, "POST", path, "uploads=", b"",
            ["x-amz-meta-snapctl-upload: whole"])
    u = r.text("UploadId") or "none"
    big, small = b"b" * FIVE, b"end"
    tags = []
    for n, body in ((1, big), (2, small), (3, small)):
        r = ask(f"part {n}", 200, None, "PUT", path,
                f"partNumber={n}&uploadId={quoted(u)}", body)
        tags.append(r.headers.get("etag"))
        ask.same(f"tag of part {n}", tags[-1],
                 f'"{hashlib.md5(body).hexdigest()}"')
    r = ask("uploads", 200, None, "GET", "/house", "prefix=large&uploads=")
    ask.same("ids of uploads", r.all("UploadId"), [u])
    r = ask("parts of an upload", 200, None, "GET", path,
            "uploadId=" + quoted(u))
    ask.same("sizes of parts", r.all("Size"), [str(FIVE), "3", "3"])
    ask("part 0", 400, "InvalidArgument", "PUT", path,
        f"partNumber=0&uploadId={quoted(u)}", b"x")
    ask("a part of no upload", 404, "NoSuchUpload", "PUT", path,
        "partNumber=1&uploadId=none", b"x")
    ask("not there before it is complete", 404, "NoSuchKey", "GET", path)
    ask("parts that are too small", 400, "EntityTooSmall", "POST", path,
        "uploadId=" + quoted(u),
        complete(*((n, tags[n - 1]) for n in (1, 2, 3))))
    ask("parts in a wrong order", 400, "InvalidPartOrder", "POST", path,
        "uploadId=" + quoted(u), complete((2, tags[1]), (1, tags[0])))
    ask("a part with a wrong tag", 400, "InvalidPart", "POST", path,
        "uploadId=" + quoted(u), complete((1, tags[1])))
    ask("no part", 400, "MalformedXML", "POST", path, "uploadId=" + quoted(u),
        complete())
    ask("abort", 204, None, "DELETE", path, "uploadId=" + quoted(u))
    ask("abort again", 404, "NoSuchUpload", "DELETE", path,
        "uploadId=" + quoted(u))
    r = ask("begin another", 200, None, "POST", path, "uploads=", b"",
            ["x-amz-meta-snapctl-upload: whole"])
    u = r.text("UploadId") or "none"
    for n, body in ((1, big), (2, small)):
        ask(f"part {n} of another", 200, None, "PUT", path,
            f"partNumber={n}&uploadId={quoted(u)}", body)
    ask("complete", 200, None, "POST", path, "uploadId=" + quoted(u),
        complete((1, tags[0]), (2, tags[1])))
    both = b"".join(hashlib.md5(b).digest() for b in (big, small))
    r = ask("head of what is complete", 200, None, "HEAD", path)
    ask.same("tag of parts", r.headers.get("etag"),
             f'"{hashlib.md5(both).hexdigest()}-2"')
    ask.same("length of parts", r.headers.get("content-length"),
             str(FIVE + 3))
    ask.same("metadata of parts", r.headers.get("x-amz-meta-snapctl-upload"),
             "whole")
    r = ask("across parts", 206, None, "GET", path, "", b"",
            [f"Range: bytes={FIVE - 2}-{FIVE}"])
    ask.same("bytes across parts", r.body, b"bbe")
    r = ask("uploads afterwards", 200, None, "GET", "/house", "uploads=")
    ask.same("no ids", r.all("UploadId"), [])


def walked(ask, what, path, first, ask_on, row, limit):
    """All of a list that is asked for in pages of `limit`.

    ask_on: parameters in rising order, as (name, element of what they are
    had from, or text that starts with "=").
    """
    got, query = [], first
    for _ in range(9):
        r = ask("a page of " + what, 200, None, "GET", path, query)
        rows = r.all(row)
        check(len(rows) <= limit, f"{what}: a page of {len(rows)}")
        got += rows
        if r.text("IsTruncated") != "true":
            break
        query = "&".join(
            name + (source if source[0] == "=" else
                    "=" + quoted(r.text(source) or ""))
            for name, source in ask_on)
    return got


def pages(ask):
    """Of what is not ListObjectsV2."""
    ask("make a bucket for pages", 200, None, "PUT", "/pages", "", b"",
        ["x-amz-bucket-object-lock-enabled: true"])
    made = {}
    for key in ("a", "b", "b", "b", "c"):
        r = ask("put a version", 200, None, "PUT", "/pages/" + key, "", b"x")
        made.setdefault(key, []).insert(
            0, r.headers.get("x-amz-version-id"))
    got = walked(ask, "versions", "/pages", "max-keys=2&versions=",
                 [("key-marker", "NextKeyMarker"), ("max-keys", "=2"),
                  ("version-id-marker", "NextVersionIdMarker"),
                  ("versions", "=")], "VersionId", 2)
    ask.same("versions, the new ones first", got,
             made["a"] + made["b"] + made["c"])
    r = ask("versions after a key", 200, None, "GET", "/pages",
            "key-marker=b&versions=")
    ask.same("keys after a key", r.all("Key"), ["c"])
    ids = {}
    for key in ("u", "v", "v", "w"):
        r = ask("begin one of many", 200, None, "POST", "/pages/" + key,
                "uploads=")
        ids.setdefault(key, []).append(r.text("UploadId"))
    got = walked(ask, "uploads", "/pages", "max-uploads=1&uploads=",
                 [("key-marker", "NextKeyMarker"), ("max-uploads", "=1"),
                  ("upload-id-marker", "NextUploadIdMarker"),
                  ("uploads", "=")], "UploadId", 1)
    # Which of one key comes first is not the same everywhere.
    ask.same("uploads", sorted(got), sorted(sum(ids.values(), [])))
    upload = quoted(ids["u"][0])
    for n in (1, 3, 7):
        ask("a small part", 200, None, "PUT", "/pages/u",
            f"partNumber={n}&uploadId={upload}", b"p")
    got = walked(ask, "parts", "/pages/u", "max-parts=2&uploadId=" + upload,
                 [("max-parts", "=2"),
                  ("part-number-marker", "NextPartNumberMarker"),
                  ("uploadId", "=" + upload)], "PartNumber", 2)
    ask.same("parts", got, ["1", "3", "7"])


def locks(ask):
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900))
    ask("make a bucket with locks", 200, None, "PUT", "/safe", "", b"",
        ["x-amz-bucket-object-lock-enabled: true"])
    r = ask("its versions", 200, None, "GET", "/safe", "versioning=")
    ask.same("has versions", r.text("Status"), "Enabled")
    ask("versions cannot end", 409, "InvalidBucketState", "PUT", "/safe",
        "versioning=", b"<VersioningConfiguration><Status>Suspended</Status>"
        b"</VersioningConfiguration>")
    r = ask("its lock", 200, None, "GET", "/safe", "object-lock=")
    ask.same("is locked", r.text("ObjectLockEnabled"), "Enabled")
    ask("no lock", 404, "ObjectLockConfigurationNotFoundError", "GET",
        "/house", "object-lock=")
    lock = ["x-amz-object-lock-mode: COMPLIANCE",
            "x-amz-object-lock-retain-until-date: " + until,
            "Content-MD5: " + md5(b"kept")]
    r = ask("put under lock", 200, None, "PUT", "/safe/k", "", b"kept", lock)
    v = r.headers.get("x-amz-version-id", "none")
    r = ask("head under lock", 200, None, "HEAD", "/safe/k")
    ask.same("mode", r.headers.get("x-amz-object-lock-mode"), "COMPLIANCE")
    ask.same("until", r.headers.get("x-amz-object-lock-retain-until-date",
                                    "")[:19], until[:19])
    ask("delete under lock", 403, "AccessDenied", "DELETE", "/safe/k",
        "versionId=" + quoted(v))
    r = ask("retention", 200, None, "GET", "/safe/k",
            "retention=&versionId=" + quoted(v))
    ask.same("retention's mode", r.text("Mode"), "COMPLIANCE")
    shape = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>{}" \
        "</RetainUntilDate></Retention>"

    def put(what, status, code, path, query, body):
        body = body.encode()
        return ask(what, status, code, "PUT", path, query, body,
                   ["Content-MD5: " + md5(body)])

    put("kept longer", 200, None, "/safe/k",
        "retention=&versionId=" + quoted(v), shape.format(later))
    put("kept less long", 403, "AccessDenied", "/safe/k",
        "retention=&versionId=" + quoted(v), shape.format(until))
    r = ask("a piece under lock", 206, None, "GET", "/safe/k", "", b"",
            ["Range: bytes=0-0"])
    ask.same("a piece's mode", r.headers.get("x-amz-object-lock-mode"),
             "COMPLIANCE")
    ask.same("a piece's end", r.headers.get(
        "x-amz-object-lock-retain-until-date", "")[:19], later[:19])
    ask.same("a piece's version", r.headers.get("x-amz-version-id"), v)
    r = ask("delete without a version", 204, None, "DELETE", "/safe/k")
    ask.same("is a marker", r.headers.get("x-amz-delete-marker"), "true")
    marker = r.headers.get("x-amz-version-id", "none")
    r = ask("get behind the marker", 404, "NoSuchKey", "GET", "/safe/k")
    ask.same("the marker is told", (r.headers.get("x-amz-delete-marker"),
                                    r.headers.get("x-amz-version-id")),
             ("true", marker))
    ask("get the marker", 405, "MethodNotAllowed", "GET", "/safe/k",
        "versionId=" + quoted(marker))
    put("keep the marker", 405, "MethodNotAllowed", "/safe/k", "retention=",
        shape.format(later))
    put("hold the marker", 405, "MethodNotAllowed", "/safe/k", "legal-hold=",
        "<LegalHold><Status>ON</Status></LegalHold>")
    r = ask("get by version", 200, None, "GET", "/safe/k",
            "versionId=" + quoted(v))
    ask.same("bytes by version", r.body, b"kept")
    r = ask("all versions", 200, None, "GET", "/safe", "versions=")
    ask.same("markers and versions", (len(r.all("DeleteMarker")),
                                      len(r.all("Version"))), (1, 1))
    ask("delete the marker", 204, None, "DELETE", "/safe/k",
        "versionId=" + quoted(marker))
    ask("get without the marker", 200, None, "GET", "/safe/k")
    ask("get no version", 404, "NoSuchVersion", "GET", "/safe/k",
        "versionId=" + quoted(marker))
    ask("delete no version", 204, None, "DELETE", "/safe/k",
        "versionId=" + quoted(marker))
    put("put on top", 200, None, "/safe/k", "", "other")
    r = ask("get what is on top", 200, None, "GET", "/safe/k")
    ask.same("bytes on top", r.body, b"other")
    r = ask("get what is below", 200, None, "GET", "/safe/k",
            "versionId=" + quoted(v))
    ask.same("bytes below", r.body, b"kept")
    governed = shape.replace("COMPLIANCE", "GOVERNANCE")
    put("governed", 200, None, "/safe/k", "retention=", governed.format(later))
    put("governed for less", 403, "AccessDenied", "/safe/k", "retention=",
        governed.format(until))
    put("complied with for less", 403, "AccessDenied", "/safe/k",
        "retention=", shape.format(until))
    put("retention of nothing", 404, "NoSuchKey", "/safe/no", "retention=",
        shape.format(later))
    ask("retention where there is none", 400, "InvalidRequest", "GET",
        "/house/a/b", "retention=")
    ask("hold where there is none", 400, "InvalidRequest", "GET",
        "/house/a/b", "legal-hold=")
    r = ask("versions where there are none", 200, None, "GET", "/house",
            "versioning=")
    ask.same("has none", r.text("Status"), None)
    r = ask("put unlocked", 200, None, "PUT", "/safe/free", "", b"free")
    w = r.headers.get("x-amz-version-id", "none")
    ask("no retention", 404, "NoSuchObjectLockConfiguration", "GET",
        "/safe/free", "retention=")
    hold = "<LegalHold><Status>{}</Status></LegalHold>"
    put("hold", 200, None, "/safe/free", "legal-hold=", hold.format("ON"))
    r = ask("head of what is held", 200, None, "HEAD", "/safe/free")
    ask.same("head's hold", r.headers.get("x-amz-object-lock-legal-hold"),
             "ON")
    r = ask("its hold", 200, None, "GET", "/safe/free", "legal-hold=")
    ask.same("is held", r.text("Status"), "ON")
    ask("delete what is held", 403, "AccessDenied", "DELETE", "/safe/free",
        "versionId=" + quoted(w))
    put("let go", 200, None, "/safe/free", "legal-hold=", hold.format("OFF"))
    ask("delete what is free", 204, None, "DELETE", "/safe/free",
        "versionId=" + quoted(w))
    r = ask("begin an upload under lock", 200, None, "POST", "/safe/parts",
            "uploads=", b"", lock[:2])
    u = quoted(r.text("UploadId") or "none")
    r = ask("its part", 200, None, "PUT", "/safe/parts",
            "partNumber=1&uploadId=" + u, b"part",
            ["Content-MD5: " + md5(b"part")])
    ask("complete it", 200, None, "POST", "/safe/parts", "uploadId=" + u,
        complete((1, r.headers.get("etag"))))
    r = ask("head of it", 200, None, "HEAD", "/safe/parts")
    ask.same("mode of parts", r.headers.get("x-amz-object-lock-mode"),
             "COMPLIANCE")
    ask("a lock where there is none", 400, "InvalidRequest", "PUT",
        "/house/k", "", b"kept", lock)
    ask("a lock that has ended", 400, "InvalidArgument", "PUT", "/safe/old",
        "", b"kept", ["x-amz-object-lock-mode: COMPLIANCE",
                      "x-amz-object-lock-retain-until-date: "
                      "2020-01-01T00:00:00Z", "Content-MD5: " + md5(b"kept")])


def signatures(ask):
    place = ask.place
    ask("unsigned", 403, "AccessDenied", "GET", "/house/a/b", signed=False)
    place.secret = "wrong"
    ask("another secret", 403, "SignatureDoesNotMatch", "GET", "/house/a/b")
    del place.secret
    place.id = "AKIDNOBODY"
    ask("nobody's key", 403, "InvalidAccessKeyId", "GET", "/house/a/b")
    del place.id
    zero = "x-amz-content-sha256: " + "0" * 64
    ask("another body", 400, "XAmzContentSHA256Mismatch", "PUT", "/house/s",
        "", b"x", [], sha256_line=zero)
    ask("not stored", 404, "NoSuchKey", "GET", "/house/s")
    ask("signed long ago", 403, "RequestTimeTooSkewed", "GET", "/house/a/b",
        "", b"", ["x-amz-date: 20200101T000000Z"])


STORIES = (objects, lists, parts, pages, locks, signatures)


def amazon_only(place, ask):
    """What Ceph 16 has not."""
    body = b"123456789"  # whose CRC-32C is 0xe3069283
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    for name, right in (("sha256", sha256(body)), ("crc32", crc),
                        ("crc32c", "4waSgw==")):
        r = ask("put with " + name, 200, None, "PUT", "/house/sum", "", body,
                [f"x-amz-checksum-{name}: {right}"])
        r = ask("head with " + name, 200, None, "HEAD", "/house/sum", "", b"",
                ["x-amz-checksum-mode: ENABLED"])
        ask.same(name, r.headers.get("x-amz-checksum-" + name), right)
    ask("a wrong sum", 400, "BadDigest", "PUT", "/house/sum", "", b"other",
        ["x-amz-checksum-sha256: " + sha256(body)])
    ask("no sum", 400, "InvalidRequest", "PUT", "/house/sum", "", b"other",
        ["x-amz-checksum-sha256: AAAA"])
    ask("a lock without a sum", 400, "InvalidRequest", "PUT", "/safe/k", "",
        b"x", ["x-amz-object-lock-mode: COMPLIANCE",
               "x-amz-object-lock-retain-until-date: 2100-01-01T00:00:00Z"])
    ask("put cold", 200, None, "PUT", "/house/cold", "", b"ice",
        ["x-amz-storage-class: GLACIER",
         "x-amz-server-side-encryption: aws:kms"])
    r = ask("head of cold", 200, None, "HEAD", "/house/cold")
    ask.same("class", r.headers.get("x-amz-storage-class"), "GLACIER")
    ask.same("encryption", r.headers.get("x-amz-server-side-encryption"),
             "aws:kms")
    ask("get cold", 403, "InvalidObjectState", "GET", "/house/cold")
    ask("thaw", 202, None, "POST", "/house/cold", "restore=",
        b"<RestoreRequest/>")
    ask("get thawed", 200, None, "GET", "/house/cold")
    place.region = "eu-north-1"
    r = ask("another region", 400, "AuthorizationHeaderMalformed", "GET",
            "/house/a/b")
    ask.same("the right one", r.text("Region"), "us-east-1")
    del place.region
    ask("by the host's name", 200, None, "GET", "/a/b",
        host="house.s3.localhost")


def answers(place, real):
    ask = Asked(place, real)
    for story in STORIES:
        story(ask)
    if not real:
        amazon_only(place, ask)
    ask.done()


def ours(place):
    """The store itself, with what it asks of locks and versions."""
    done = subprocess.run(
        [os.path.join(BUILD, "tests", "scenario", "s3_locks"),
         place.url("safe", "ours"), place.url("house", "ours")],
        env={**os.environ, **place.env()}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LIMIT, check=False)
    check(done.returncode == 0, done.stdout + done.stderr)


def main():
    real = sys.argv[2:] == ["ceph"]
    try:
        with Ceph() if real else FakeServer() as place:
            answers(place, real)
            ours(place)
            if real:
                print("resident:", {n: f"{b >> 20} MiB" for n, b in
                                    place.memory().items()})
    except Failed as e:
        print("FAIL", e)
        sys.exit(1)
    print("ok")


if __name__ == "__main__":
    main()
