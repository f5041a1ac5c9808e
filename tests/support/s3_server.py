#!/usr/bin/python3
"""An S3 server of our own, which fails as it is told to.

Aim: to test snapctl's S3 store where there is no network, and with every
fault that a real server shows once a year.  Objects are in memory.  Signatures
are verified (s3_signature.py); the operations are in s3_operations.py, the
faults in s3_faults.py.

    s3_server.py [--port N] [--bind ADDRESS] [--region NAME] [--host NAME]...
                 [--key ID:SECRET[:TOKEN]]... [--bucket NAME[:lock]]...
                 [--tls-cert FILE --tls-key FILE] [--like-ceph]

prints "port N" when it listens, and ends when its standard input does, or its
parent.  A bucket is the first part of the path, or what the Host header has
before one of the --host names (localhost and s3.localhost).

What tests tell it is a POST of JSON to /_control, without a signature:
{"do": WORD, ...}, a method `do_WORD` of Control below; it answers JSON.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import unquote_plus, unquote_to_bytes

import s3_faults
import s3_operations
import s3_signature
from s3_buckets import Bucket, Version
from s3_signature import Key, Refusal

HEAD_MAX = 64 << 10
TCP_ESTABLISHED = 1  # <netinet/tcp.h>
BODY_MAX = 1 << 30
REASONS = {100: "Continue", 200: "OK", 202: "Accepted", 204: "No Content",
           206: "Partial Content", 301: "Moved Permanently",
           304: "Not Modified", 307: "Temporary Redirect",
           400: "Bad Request", 403: "Forbidden", 404: "Not Found",
           409: "Conflict", 412: "Precondition Failed",
           416: "Requested Range Not Satisfiable",
           500: "Internal Server Error", 503: "Slow Down"}

# (method, level, sub-resource): the operation.
OPERATIONS = {
    ("GET", "service", ""): "ListBuckets",
    ("PUT", "bucket", ""): "CreateBucket",
    ("HEAD", "bucket", ""): "HeadBucket",
    ("DELETE", "bucket", ""): "DeleteBucket",
    ("GET", "bucket", ""): "ListObjectsV2",
    ("GET", "bucket", "list-type"): "ListObjectsV2",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("GET", "bucket", "versioning"): "GetBucketVersioning",
    ("PUT", "bucket", "versioning"): "PutBucketVersioning",
    ("GET", "bucket", "object-lock"): "GetObjectLockConfiguration",
    ("PUT", "bucket", "object-lock"): "PutObjectLockConfiguration",
    ("GET", "bucket", "versions"): "ListObjectVersions",
    ("GET", "bucket", "uploads"): "ListMultipartUploads",
    ("POST", "bucket", "delete"): "DeleteObjects",
    ("PUT", "object", ""): "PutObject",
    ("GET", "object", ""): "GetObject",
    ("HEAD", "object", ""): "HeadObject",
    ("DELETE", "object", ""): "DeleteObject",
    ("GET", "object", "retention"): "GetObjectRetention",
    ("PUT", "object", "retention"): "PutObjectRetention",
    ("GET", "object", "legal-hold"): "GetObjectLegalHold",
    ("PUT", "object", "legal-hold"): "PutObjectLegalHold",
    ("POST", "object", "restore"): "RestoreObject",
    ("POST", "object", "uploads"): "CreateMultipartUpload",
    ("PUT", "object", "uploadId"): "UploadPart",
    ("GET", "object", "uploadId"): "ListParts",
    ("POST", "object", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "object", "uploadId"): "AbortMultipartUpload",
}
# What makes another operation of a request, as far as S3 has it.
SUBS = ("uploadId", "uploads", "delete", "versions", "versioning",
        "object-lock", "retention", "legal-hold", "location", "restore",
        "list-type", "acl", "policy", "lifecycle", "tagging", "cors",
        "encryption", "notification", "attributes", "select", "torrent")


class Ended(Exception):
    """The connection is to be closed without another word."""


class Request:
    """A request's head; its body is read later."""

    def __init__(self, head, hosts):
        line, *rest = head.decode("latin-1").split("\r\n")
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise Refusal(400, "BadRequest", "no request line")
        self.method, target, self.version = words
        self.pairs = []
        for text in rest:
            name, colon, value = text.partition(":")
            if not colon or name != name.strip():
                raise Refusal(400, "BadRequest", "no header line")
            self.pairs.append((name.lower(), value.strip()))
        self.headers = {}
        for name, value in self.pairs:
            before = self.headers.get(name)
            self.headers[name] = value if before is None \
                else before + "," + value
        if not target.startswith("/"):
            raise Refusal(400, "InvalidURI", "no path")
        self.raw_path, _, self.raw_query = target.partition("?")
        self.args = {}
        for part in self.raw_query.split("&") if self.raw_query else []:
            name, _, value = part.partition("=")
            self.args[unquote_plus(name)] = unquote_plus(value)
        self.find_place(hosts)
        self.body = b""
        self.unsigned_body = False
        self.list_limit, self.list_endless = None, False
        self.hide, self.hide_since = None, None

    def find_place(self, hosts):
        """Bucket and key, by the host's name or by the path."""
        try:
            path = unquote_to_bytes(self.raw_path).decode()
        except UnicodeDecodeError:
            raise Refusal(400, "InvalidURI", "Couldn't parse the specified "
                          "URI.") from None
        name = self.headers.get("host", "").rpartition(":")
        host = name[0] if name[0] and name[2].isdigit() else \
            self.headers.get("host", "")
        self.bucket = ""
        for suffix in hosts:
            if host.endswith("." + suffix) and host not in hosts:
                self.bucket = host[:-len(suffix) - 1]
                self.key = path[1:]
                break
        else:
            self.bucket, _, self.key = path[1:].partition("/")
        level = "object" if self.key else \
            "bucket" if self.bucket else "service"
        sub = next((s for s in SUBS if s in self.args), "")
        self.operation = OPERATIONS.get((self.method, level, sub), "Unknown")

    def text(self):
        """What faults are matched with."""
        return f"{self.operation} {self.method} {self.bucket}/{self.key}"

    def seen(self, version):
        """For lists: the version, unless the list does not know it yet."""
        if version is None or self.hide and self.hide.search(version.key) or \
           self.hide_since and version.when > self.hide_since:
            return None
        return version


class Counts:
    """What went on.  The caller locks."""

    def __init__(self):
        self.resets = 0
        self.reset()

    def reset(self):
        """What began before is not counted any more: a request that stands
        still notices late that its client, of an earlier test, has gone."""
        self.resets += 1
        self.now = 0  # requests under way
        self.operations, self.statuses = {}, {}
        self.bytes_in = self.bytes_out = self.connections = 0
        self.unsigned = self.unsigned_bodies = self.handshakes_failed = 0
        self.peak = 0
        self.log = []

    def told(self):
        names = ("operations", "statuses", "bytes_in", "bytes_out",
                 "connections", "unsigned", "unsigned_bodies",
                 "handshakes_failed", "peak", "now")
        return {n: getattr(self, n) for n in names}

    def answered(self, request, status):
        for counts, name in ((self.operations, request.operation),
                             (self.statuses, str(status))):
            counts[name] = counts.get(name, 0) + 1
        if len(self.log) < 100000:
            self.log.append([request.operation, request.method,
                             request.bucket, request.key, request.raw_query,
                             status])


class Control:
    """The words of /_control.  Each is called with the lock held."""

    def __init__(self, server):
        self.s = server
        self.s3 = server.s3

    def run(self, body):
        words = json.loads(body)
        name = words.pop("do")
        method = getattr(self, "do_" + name, None)
        if method is None:
            raise ValueError("no such word: " + name)
        return method(**words)

    def versions(self, bucket, key):
        return self.s3.buckets[bucket].objects[key]

    def do_fault(self, **rule):
        """A rule of s3_faults.py; its number."""
        return self.s.faults.add(rule)

    def do_faults(self):
        return self.s.faults.told()

    def do_clear(self):
        self.s.faults.clear()

    def do_counts(self, reset=False):
        told = self.s.counts.told()
        if reset:
            self.s.counts.reset()
        return told

    def do_log(self):
        """[operation, method, bucket, key, query, status] of each request."""
        return self.s.counts.log

    def do_set(self, **values):
        """if_none_match, part_min, lock_needs_sum, parts_lock, checksums,
        region; shift: seconds that the server's clock is ahead."""
        for name, value in values.items():
            if name not in ("if_none_match", "part_min", "lock_needs_sum",
                            "parts_lock", "checksums", "region", "shift"):
                raise ValueError("no such setting: " + name)
            setattr(self.s3, name, value)

    def do_key(self, key, ends=None, may=None):
        """Another key, ID:SECRET[:TOKEN]; ends: seconds from now; may: a
        REGEX of what it may, in "OPERATION[Version] METHOD BUCKET/KEY"."""
        made = Key(key)
        made.may = may and re.compile(may)
        if ends is not None:
            made.ends = self.s3.now() + ends
        self.s.keys[made.id] = made

    def do_forget_key(self, id):
        del self.s.keys[id]

    def do_bucket(self, name, lock=False):
        self.s3.buckets[name] = Bucket(name, lock, self.s3.now())

    def do_rule(self, bucket, mode, days):
        self.s3.buckets[bucket].default = mode, days

    def do_versioning(self, bucket, status):
        self.s3.buckets[bucket].versioning = status

    def do_list(self, bucket=None, prefix=""):
        """All objects, old versions and delete markers among them."""
        return [{"bucket": b.name, "key": key, "version": v.id,
                 "size": None if v.data is None else len(v.data),
                 "etag": v.etag, "class": v.kind, "headers": v.headers,
                 "mode": v.mode, "until": v.until, "held": v.held,
                 "checksums": v.checksums, "marker": v.data is None,
                 "latest": n == len(versions)}
                for b in self.s3.buckets.values()
                if bucket in (None, b.name)
                for key, versions in sorted(b.objects.items())
                if key.startswith(prefix)
                for n, v in enumerate(versions, 1)]

    def do_uploads(self):
        return [{"bucket": b.name, "key": u.first.key, "id": u.id,
                 "parts": {n: len(p[0]) for n, p in u.parts.items()}}
                for b in self.s3.buckets.values()
                for u in b.uploads.values()]

    def do_get(self, bucket, key):
        return base64.b64encode(self.versions(bucket, key)[-1].data).decode()

    def do_put(self, bucket, key, data, times=1):
        """An object that no client wrote; data is in base64, or null for a
        delete marker."""
        for _ in range(times):
            self.s3.buckets[bucket].put(
                Version(key, data if data is None else base64.b64decode(data),
                        self.s3.now()))

    def do_corrupt(self, bucket, key, bit=0):
        """Flip a bit of what is stored; ETag and checksums stay."""
        v = self.versions(bucket, key)[-1]
        data = bytearray(v.data)
        data[bit // 8] ^= 1 << bit % 8
        v.data = bytes(data)

    def do_shorten(self, bucket, key, size):
        v = self.versions(bucket, key)[-1]
        v.data = v.data[:size]

    def do_delete(self, bucket, key):
        """With all its versions, locked or not."""
        b = self.s3.buckets[bucket]
        for v in list(b.objects[key]):
            b.drop(v)

    def do_drop(self):
        """All objects and uploads; the buckets stay."""
        for b in self.s3.buckets.values():
            b.objects, b.uploads, b.order = {}, {}, None


class Connection:
    """One client, request after request."""

    def __init__(self, server, sock):
        self.s = server
        self.sock = sock
        self.file = sock.makefile("rb", 256 << 10)
        self.broken = False  # what follows is not to be read
        self.read = self.sent = 0

    def close(self, reset=False):
        """By a reset, or so that the other side reads all that was sent."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        elif not isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.shutdown(socket.SHUT_WR)
                # Else what was not read would make it a reset, which may
                # overtake the reply.
                self.sock.settimeout(1)
                while self.broken and self.sock.recv(256 << 10):
                    pass
            except OSError:
                pass
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        self.sent += len(data)

    def stand_still(self, seconds, over=bool):
        """So long, until it is over, or until the client has gone."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not over():
            time.sleep(0.02)
            if isinstance(self.sock, ssl.SSLSocket):
                continue
            try:
                if not self.sock.recv(1, socket.MSG_PEEK |
                                      socket.MSG_DONTWAIT):
                    raise Ended
            except BlockingIOError:
                pass

    def is_left(self):
        """Whether the client has gone, whatever it sent before."""
        state = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return state[0] != TCP_ESTABLISHED

    def head(self):
        """The next request's lines; None when the client has no more."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            line = self.file.readline(HEAD_MAX)
            if not line or len(data) > HEAD_MAX:
                return None
            data += line
            if data == b"\r\n":
                data = b""
        self.read += len(data)
        return data[:-4]

    def body(self, request, fault):
        if "transfer-encoding" in request.headers:
            self.broken = True
            raise Refusal(501, "NotImplemented", "A header you provided "
                          "implies functionality that is not implemented",
                          Header="Transfer-Encoding")
        text = request.headers.get("content-length")
        if text is None:
            if request.method == "PUT":
                self.broken = True
                raise Refusal(411, "MissingContentLength", "You must provide "
                              "the Content-Length HTTP header.")
            return b""
        if not text.isdigit() or int(text) > BODY_MAX:
            self.broken = True
            raise Refusal(400, "EntityTooLarge", "too large, or no number")
        if request.headers.get("expect", "").lower() == "100-continue" and \
           not (fault and fault.kind == "no_continue"):
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.file.read(int(text))
        self.read += len(body)
        if len(body) != int(text):
            raise Ended
        return body

    def reply(self, request, status, headers, body, fault):
        """Send it, but for what the fault does to it on its way."""
        names = {n.lower() for n, _ in headers}
        length = [] if status in (204, 304) or "content-length" in names \
            else [("Content-Length", str(len(body)))]
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
                 "Date: " + s3_operations.http_date(self.s.s3.now()),
                 "Server: tests", "x-amz-request-id: " + self.s.request_id()]
        lines += [f"{n}: {v}" for n, v in [*headers, *length]]
        if self.broken:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8",
                                                        "surrogateescape")
        if request.method == "HEAD" or status in (204, 304):
            body = b""
        kind = fault.kind if fault else None
        if kind in ("truncate", "reset") or kind == "hang" and \
           fault.bytes is not None:
            self.send(head + body[:fault.bytes or 0])
            if kind == "hang":
                self.stand_still(fault.seconds or 3600)
                self.send(body[fault.bytes:])
                return
            if kind == "reset":
                time.sleep(0.05)  # a reset throws away what is under way
            self.close(reset=kind == "reset")
            raise Ended
        if kind == "slow":
            self.send(head)
            for n in range(len(body)):
                self.stand_still(1 if fault.seconds is None
                                 else fault.seconds)
                self.send(body[n:n + 1])
            return
        if len(body) < 64 << 10:
            self.send(head + body)
        else:
            self.send(head)
            self.send(body)

    def serve(self):
        """Until the client, or a fault, ends it."""
        try:
            while not self.broken:
                head = self.head()
                if head is None:
                    break
                try:
                    request = Request(head, self.s.hosts)
                except Refusal as e:
                    self.broken = True
                    self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0"
                              b"\r\nx-error: %s\r\n\r\n" % e.code.encode())
                    break
                if request.raw_path == "/_control":
                    self.control(request)
                else:
                    self.one(request)
                if request.version == "HTTP/1.0" or "close" in \
                   request.headers.get("connection", "").lower():
                    break
        except (Ended, OSError, ssl.SSLError):
            pass
        finally:
            try:
                self.close()
            except OSError:
                pass

    def control(self, request):
        try:
            body = self.body(request, None)
            with self.s.lock:
                status, told = 200, self.s.control.run(body)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError,
                re.error, Refusal) as e:
            status, told = 400, {"error": repr(e)}
        body = json.dumps(told).encode()
        self.reply(request, status, [("Content-Type", "application/json")],
                   body, None)

    def one(self, request):
        """A request, counted from its head to the end of its reply."""
        s = self.s
        with s.lock:
            # One that is read late is of an earlier test: its client was
            # killed, or stopped, and what that one is about to see is over.
            if self.is_left():
                raise Ended
            fault = s.faults.pick(request.text())
            resets = s.counts.resets
            s.counts.now += 1
            s.counts.peak = max(s.counts.peak, s.counts.now)
        status, lost = 0, False
        try:
            try:
                status, headers, body = self.work(request, fault)
                lost = fault and fault.kind in ("lost_reply", "dropped")
            finally:
                # Before the reply: who has it finds itself counted.
                with s.lock:
                    if s.counts.resets == resets:
                        s.counts.answered(request, 0 if lost else status)
            if lost:
                self.close(reset=bool(fault.reset))
                raise Ended
            self.reply(request, status, headers, body, fault)
        finally:
            with s.lock:
                if s.counts.resets == resets:
                    s.counts.now -= 1
                    s.counts.bytes_in += self.read
                    s.counts.bytes_out += self.sent
                self.read = self.sent = 0

    def work(self, request, fault):
        """(status, headers, body), with the fault's part in it."""
        kind = fault.kind if fault else None
        if kind == "hang" and fault.bytes is None:
            self.stand_still(fault.seconds or 3600)
        if kind == "hold":
            with self.s.lock:
                fault.hold()
            self.stand_still(3600, lambda: fault.over)
        if kind == "dropped":
            return 0, [], b""
        try:
            if kind == "error" and fault.early:
                self.broken = True
                raise told_error(fault)
            request.body = self.body(request, fault)
            if kind == "error" and not fault.done:
                raise told_error(fault)
            if kind == "redirect":
                raise Refusal(fault.status or 301, "PermanentRedirect", "The "
                              "bucket you are attempting to access must be "
                              "addressed using the specified endpoint.",
                              [("x-amz-bucket-region",
                                fault.region or "eu-central-1")],
                              Endpoint=fault.endpoint or "elsewhere.example",
                              Bucket=request.bucket)
            if kind == "ok_error":
                refusal = told_error(fault)
                refusal.status = 200
                raise refusal
            prepare_list(request, fault, self.s.s3.now())
            status, headers, body = self.s.answer(request)
            if kind == "error":
                raise told_error(fault)
        except Refusal as e:
            return self.refused(request, e)
        if fault:
            headers, body = s3_faults.alter(fault, headers, body)
        return status, headers, body

    def refused(self, request, e):
        body = s3_operations.error_body(
            e, f"/{request.bucket}/{request.key}", self.s.request_id())
        return e.status, [("Content-Type", "application/xml"),
                          *e.headers], b"" if e.status == 304 else body


def check_may(request, key):
    """What policies would say; whoever names a version needs more."""
    version = "Version" if "versionId" in request.args else ""
    text = request.text().replace(" ", version + " ", 1)
    if key.may and not key.may.search(text):
        raise Refusal(403, "AccessDenied", "Access Denied")


def told_error(fault):
    headers = []
    if fault.retry_after is not None:
        headers.append(("Retry-After", str(fault.retry_after)))
    return Refusal(fault.status, fault.code,
                   fault.message or "as the test wants it", headers)


def prepare_list(request, fault, now):
    if not fault:
        return
    if fault.kind == "stale_list":
        request.hide = fault.hide and re.compile(fault.hide)
        request.hide_since = fault.seconds and now - fault.seconds
    elif fault.kind == "short_list":
        request.list_limit = fault.keys or 0
    elif fault.kind == "endless_list":
        request.list_endless = True


class Server:
    """State, and a thread for each connection."""

    def __init__(self, options):
        self.s3 = s3_operations.Operations(options.region)
        if options.like_ceph:
            self.s3.if_none_match = False
            self.s3.lock_needs_sum = self.s3.checksums = False
            self.s3.parts_lock = False
        self.keys = {k.id: k for k in map(Key, options.key or
                                          ["AKIDTEST:secrettest"])}
        self.hosts = options.host or ["s3.localhost", "localhost"]
        self.lock = threading.Lock()
        self.faults = s3_faults.Faults()
        self.counts = Counts()
        self.control = Control(self)
        self.served = 0
        self.tls = None
        if options.tls_cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(options.tls_cert, options.tls_key)
        for text in options.bucket or []:
            name, _, lock = text.partition(":")
            self.control.do_bucket(name, lock == "lock")

    def request_id(self):
        self.served += 1
        return hashlib.md5(b"%d" % self.served).hexdigest()[:16].upper()

    def answer(self, request):
        if request.operation == "Unknown":
            raise Refusal(501, "NotImplemented", "not in this server")
        with self.lock:
            now, keys, region = self.s3.now(), dict(self.keys), self.s3.region
        try:
            check_may(request, s3_signature.check(request, keys, region, now))
        finally:
            with self.lock:
                self.counts.unsigned += "authorization" not in request.headers
                self.counts.unsigned_bodies += request.unsigned_body
        with self.lock:
            return getattr(self.s3, request.operation)(request)

    def accept(self, listener):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=self.connected, args=(sock,),
                             daemon=True).start()

    def connected(self, sock):
        with self.lock:
            self.counts.connections += 1
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
        except OSError:
            with self.lock:
                self.counts.handshakes_failed += 1
            sock.close()
            return
        Connection(self, sock).serve()


def end_with_parent():
    """Return when standard input ends, or who started this does."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    while os.read(0, 4096):
        pass


def main():
    p = argparse.ArgumentParser(description="An S3 server for tests.")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--bind", default="127.0.0.1")
    p.add_argument("--region", default="us-east-1")
    p.add_argument("--host", action="append")
    p.add_argument("--key", action="append")
    p.add_argument("--bucket", action="append")
    p.add_argument("--tls-cert")
    p.add_argument("--tls-key")
    p.add_argument("--like-ceph", action="store_true")
    options = p.parse_args()
    server = Server(options)
    listener = socket.create_server((options.bind, options.port),
                                    backlog=1024)
    print("port", listener.getsockname()[1], flush=True)
    threading.Thread(target=server.accept, args=(listener,),
                     daemon=True).start()
    end_with_parent()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
