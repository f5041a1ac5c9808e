"""The operations of the S3 server of the tests, by name.

Aim: what Amazon's API reference says of each, as far as a backup service asks
for it, including the refusals: their status and their code.  Each operation
takes a request and returns (status, headers, body) or raises Refusal.
"""
import base64
import binascii
import calendar
import hashlib
import re
import time
from urllib.parse import quote_plus
from xml.etree import ElementTree

import s3_buckets
from s3_buckets import CHECKSUMS, Bucket, Upload, Version, stamp, told
from s3_signature import Refusal

XMLNS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
KEPT = ("content-type", "cache-control", "content-disposition",
        "content-encoding", "content-language", "expires",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id")


def escaped(text):
    text = re.sub(r"[&<>\"]", lambda m: f"&#{ord(m[0])};", str(text))
    return re.sub(r"[\0-\x1f]", lambda m: f"&#x{ord(m[0]):x};", text)


def element(name, value):
    """One element; value is text, a number, or pairs of what is in it."""
    if isinstance(value, list):
        inner = "".join(element(n, v) for n, v in value if v is not None)
    else:
        inner = escaped(value)
    return f"<{name}>{inner}</{name}>"


def document(name, pairs):
    inner = "".join(element(n, v) for n, v in pairs if v is not None)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<{name}{XMLNS}>{inner}</{name}>").encode("utf-8",
                                                       "surrogateescape")


def xml_reply(name, pairs, headers=()):
    return (200, [("Content-Type", "application/xml"), *headers],
            document(name, pairs))


def error_body(refusal, resource, request_id):
    body = document("Error", [
        ("Code", refusal.code), ("Message", refusal.message),
        *refusal.more.items(), ("Resource", resource),
        ("RequestId", request_id), ("HostId", "of-the-tests")])
    return body.replace(XMLNS.encode(), b"")


def parsed(body, root):
    """The root element of a body, its names without a name space."""
    try:
        tree = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        tree = None
    if tree is not None:
        for e in tree.iter():
            e.tag = e.tag.rpartition("}")[2]
    if tree is None or tree.tag != root:
        raise Refusal(400, "MalformedXML", "The XML you provided was not "
                      "well-formed or did not validate against our published "
                      "schema")
    return tree


def read_stamp(text):
    m = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z\Z", text or "")
    if not m:
        raise Refusal(400, "InvalidArgument", "not an ISO 8601 date")
    return calendar.timegm(time.strptime(m[1], "%Y-%m-%dT%H:%M:%S"))


def number(r, name, usual, most):
    text = r.args.get(name, "")
    if text and not text.isdigit():
        raise Refusal(400, "InvalidArgument", f"{name} is no number")
    return min(int(text), most) if text else usual


def range_of(text, size):
    """(start, end) of a Range header; None when all is to be sent."""
    m = re.match(r"bytes=(\d*)-(\d*)\Z", text or "")
    if not m or m.groups() == ("", ""):
        return None
    first, last = m.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start = int(first)
        end = min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise Refusal(416, "InvalidRange", "The requested range is not "
                      "satisfiable", [("Content-Range", f"bytes */{size}")],
                      RangeRequested=text, ActualObjectSize=size)
    return start, end


def body_sums(r):
    """What the headers say of the body holds; the x-amz-checksum-* given."""
    if "content-md5" in r.headers:
        try:
            md5 = base64.b64decode(r.headers["content-md5"], validate=True)
        except binascii.Error:
            md5 = b""
        if len(md5) != 16:
            raise Refusal(400, "InvalidDigest",
                          "The Content-MD5 you specified was invalid.")
        if md5 != hashlib.md5(r.body).digest():
            raise Refusal(400, "BadDigest", "The Content-MD5 you specified "
                          "did not match what we received.")
    sums = {}
    for name, value in r.headers.items():
        kind = name.removeprefix("x-amz-checksum-")
        if kind == name or kind in ("mode", "algorithm", "type"):
            continue
        if kind not in CHECKSUMS:
            raise Refusal(400, "InvalidRequest", "unknown checksum " + kind)
        right = told(CHECKSUMS[kind](r.body))
        if len(value) != len(right):
            raise Refusal(400, "InvalidRequest",
                          f"Value for {name} header is invalid.")
        if value != right:
            raise Refusal(400, "BadDigest", f"The {kind.upper()} you "
                          "specified did not match the calculated checksum.")
        sums[kind] = right
    return sums


def sum_headers(sums):
    return [(f"x-amz-checksum-{k}", v) for k, v in sums.items()]


class Operations:
    """Each operation is a method of its name; `self.buckets` is the state."""

    def __init__(self, region="us-east-1"):
        self.region = region
        self.buckets = {}
        self.shift = 0
        # Servers differ in these.
        self.if_none_match = True
        self.part_min = 5 << 20
        self.lock_needs_sum = True
        self.parts_lock = True
        self.checksums = True

    def now(self):
        return time.time() + self.shift

    def bucket(self, r):
        if r.bucket not in self.buckets:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not "
                          "exist", BucketName=r.bucket)
        return self.buckets[r.bucket]

    # --- buckets -----------------------------------------------------------

    def ListBuckets(self, r):
        return xml_reply("ListAllMyBucketsResult", [("Buckets", [
            ("Bucket", [("Name", b.name), ("CreationDate", stamp(b.when))])
            for b in self.buckets.values()])])

    def CreateBucket(self, r):
        if not BUCKET_NAME.match(r.bucket):
            raise Refusal(400, "InvalidBucketName",
                          "The specified bucket is not valid.")
        where = "us-east-1"
        if r.body:
            tree = parsed(r.body, "CreateBucketConfiguration")
            where = tree.findtext("LocationConstraint") or where
        if where != self.region:
            raise Refusal(400, "IllegalLocationConstraintException",
                          f"The {where} location constraint is incompatible "
                          "for the region specific endpoint this request was "
                          "sent to.")
        if r.bucket in self.buckets and self.region != "us-east-1":
            raise Refusal(409, "BucketAlreadyOwnedByYou", "Your previous "
                          "request to create the named bucket succeeded and "
                          "you already own it.")
        lock = r.headers.get("x-amz-bucket-object-lock-enabled", "")
        self.buckets.setdefault(r.bucket, Bucket(
            r.bucket, lock.lower() == "true", self.now()))
        return 200, [("Location", "/" + r.bucket)], b""

    def DeleteBucket(self, r):
        if self.bucket(r).objects:
            raise Refusal(409, "BucketNotEmpty", "The bucket you tried to "
                          "delete is not empty")
        del self.buckets[r.bucket]
        return 204, [], b""

    def HeadBucket(self, r):
        self.bucket(r)
        return 200, [("x-amz-bucket-region", self.region)], b""

    def GetBucketLocation(self, r):
        self.bucket(r)
        where = "" if self.region == "us-east-1" else self.region
        body = document("LocationConstraint", [])
        return 200, [("Content-Type", "application/xml")], \
            body.replace(b"></", b">" + where.encode() + b"</")

    def GetBucketVersioning(self, r):
        return xml_reply("VersioningConfiguration",
                         [("Status", self.bucket(r).versioning)])

    def PutBucketVersioning(self, r):
        bucket = self.bucket(r)
        status = parsed(r.body, "VersioningConfiguration").findtext("Status")
        if status not in ("Enabled", "Suspended"):
            raise Refusal(400, "MalformedXML", "no such Status")
        if bucket.lock and status == "Suspended":
            raise Refusal(409, "InvalidBucketState", "An Object Lock "
                          "configuration is present on this bucket, so the "
                          "versioning state cannot be changed.")
        bucket.versioning = status
        return 200, [], b""

    def GetObjectLockConfiguration(self, r):
        bucket = self.bucket(r)
        if not bucket.lock:
            raise Refusal(404, "ObjectLockConfigurationNotFoundError",
                          "Object Lock configuration does not exist for this "
                          "bucket")
        rule = bucket.default and [("DefaultRetention", [
            ("Mode", bucket.default[0]), ("Days", bucket.default[1])])]
        return xml_reply("ObjectLockConfiguration", [
            ("ObjectLockEnabled", "Enabled"), ("Rule", rule)])

    def PutObjectLockConfiguration(self, r):
        bucket = self.bucket(r)
        tree = parsed(r.body, "ObjectLockConfiguration")
        if bucket.versioning != "Enabled":
            raise Refusal(409, "InvalidBucketState", "Versioning must be "
                          "'Enabled' on the bucket to apply a Object Lock "
                          "configuration")
        rule = tree.find("Rule/DefaultRetention")
        default = None
        if rule is not None:
            days, years = rule.findtext("Days"), rule.findtext("Years")
            mode = rule.findtext("Mode")
            if mode not in ("GOVERNANCE", "COMPLIANCE") or \
               (days is None) == (years is None) or \
               not re.match(r"[1-9]\d{0,4}\Z", days or years):
                raise Refusal(400, "MalformedXML", "no such retention")
            default = mode, int(days or 0) + 365 * int(years or 0)
        bucket.lock, bucket.default = True, default
        return 200, [], b""

    # --- objects -----------------------------------------------------------

    def lock_of(self, r, bucket):
        """What a PUT asks for: (mode, until, legal hold)."""
        mode = r.headers.get("x-amz-object-lock-mode")
        until = r.headers.get("x-amz-object-lock-retain-until-date")
        hold = r.headers.get("x-amz-object-lock-legal-hold")
        if (mode, until, hold) == (None, None, None):
            return None
        if not bucket.lock:
            raise Refusal(400, "InvalidRequest", "Bucket is missing Object "
                          "Lock Configuration")
        if (mode is None) != (until is None):
            raise Refusal(400, "InvalidArgument", "x-amz-object-lock-retain-"
                          "until-date and x-amz-object-lock-mode must both be "
                          "supplied")
        if hold not in (None, "ON", "OFF"):
            raise Refusal(400, "InvalidArgument", "Legal hold must be ON or "
                          "OFF")
        if mode is None:
            return None, None, hold == "ON"
        return *self.retention(mode, until), hold == "ON"

    def retention(self, mode, until):
        if mode not in ("GOVERNANCE", "COMPLIANCE"):
            raise Refusal(400, "InvalidArgument", "Unknown wormMode directive")
        until = read_stamp(until)
        if until <= self.now():
            raise Refusal(400, "InvalidArgument", "The retain until date must "
                          "be in the future!")
        return mode, until

    def check_new(self, r, bucket):
        """If-None-Match."""
        condition = r.headers.get("if-none-match")
        if condition is None or not self.if_none_match:
            return
        if condition != "*":
            raise Refusal(501, "NotImplemented", "A header you provided "
                          "implies functionality that is not implemented")
        if bucket.current(r.key):
            raise Refusal(412, "PreconditionFailed", "At least one of the "
                          "pre-conditions you specified did not hold",
                          Condition="If-None-Match")

    def made(self, r, bucket, data):
        """A version of what a PUT or an initiated upload says."""
        if len(r.key.encode("utf-8", "surrogateescape")) > 1024:
            raise Refusal(400, "KeyTooLongError", "Your key is too long")
        if "x-amz-copy-source" in r.headers:
            raise Refusal(501, "NotImplemented", "no copies")
        lock = self.lock_of(r, bucket)
        headers = {n: v for n, v in r.headers.items()
                   if n in KEPT or n.startswith("x-amz-meta-")}
        if sum(len(n) - 11 + len(v) for n, v in headers.items()
               if n.startswith("x-amz-meta-")) > 2048:
            raise Refusal(400, "MetadataTooLarge", "Your metadata headers "
                          "exceed the maximum allowed metadata size")
        headers.setdefault("content-type", "binary/octet-stream")
        if headers.get("x-amz-server-side-encryption",
                       "AES256") not in ("AES256", "aws:kms", "aws:kms:dsse"):
            raise Refusal(400, "InvalidArgument", "The encryption method "
                          "specified is not supported")
        v = Version(r.key, data, self.now(), headers, lock)
        v.kind = r.headers.get("x-amz-storage-class", "STANDARD")
        if v.kind not in s3_buckets.CLASSES:
            raise Refusal(400, "InvalidStorageClass", "The storage class you "
                          "specified is not valid")
        return v

    def need_sum(self, r, sums):
        if self.lock_needs_sum and not sums and \
           "content-md5" not in r.headers:
            raise Refusal(400, "InvalidRequest", "Content-MD5 OR "
                          "x-amz-checksum- HTTP header is required for Put "
                          "Object requests with Object Lock parameters")

    def PutObject(self, r):
        bucket = self.bucket(r)
        self.check_new(r, bucket)
        sums = body_sums(r) if self.checksums else {}
        v = self.made(r, bucket, r.body)
        if v.mode or v.held or bucket.default:
            self.need_sum(r, sums)
        v.checksums = sums
        bucket.put(v)
        return 200, [("ETag", f'"{v.etag}"'), *sum_headers(sums),
                     *version_header(bucket, v), *sse_headers(v)], b""

    def GetObject(self, r):
        bucket = self.bucket(r)
        if "partNumber" in r.args:
            raise Refusal(501, "NotImplemented", "no parts of objects")
        v = bucket.find(r.key, r.args.get("versionId"))
        tag = f'"{v.etag}"'
        if r.headers.get("if-match", "*") not in ("*", tag, v.etag):
            raise Refusal(412, "PreconditionFailed", "At least one of the "
                          "pre-conditions you specified did not hold",
                          Condition="If-Match")
        if r.headers.get("if-none-match", "") in ("*", tag, v.etag):
            return 304, [("ETag", tag)], b""
        if r.method == "GET" and v.is_cold():
            raise Refusal(403, "InvalidObjectState", "The operation is not "
                          "valid for the object's storage class",
                          StorageClass=v.kind)
        headers = [("ETag", tag), ("Last-Modified", http_date(v.when)),
                   ("Accept-Ranges", "bytes"), *object_headers(bucket, v)]
        span = range_of(r.headers.get("range"), len(v.data))
        if span:
            start, end = span
            headers.append(("Content-Range",
                            f"bytes {start}-{end - 1}/{len(v.data)}"))
            return 206, headers, v.data[start:end]
        if r.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers += sum_headers(v.checksums)
        return 200, headers, v.data

    HeadObject = GetObject

    def DeleteObject(self, r):
        headers = self.bucket(r).delete(r.key, r.args.get("versionId"),
                                        self.now(), bypasses(r))
        return 204, headers, b""

    def DeleteObjects(self, r):
        bucket = self.bucket(r)
        if not body_sums(r) and "content-md5" not in r.headers:
            raise Refusal(400, "InvalidRequest", "Missing required header for "
                          "this request: Content-MD5")
        tree = parsed(r.body, "Delete")
        objects = tree.findall("Object")
        if not 1 <= len(objects) <= 1000:
            raise Refusal(400, "MalformedXML", "1 to 1000 objects, not "
                          f"{len(objects)}")
        quiet = (tree.findtext("Quiet") or "").lower() == "true"
        rows = []
        for o in objects:
            key, version = o.findtext("Key") or "", o.findtext("VersionId")
            named = [("Key", key), ("VersionId", version)]
            try:
                if not key:
                    raise Refusal(400, "UserKeyMustBeSpecified")
                bucket.delete(key, version, self.now(), bypasses(r))
                if not quiet:
                    rows.append(("Deleted", named))
            except Refusal as e:
                rows.append(("Error", named + [("Code", e.code),
                                               ("Message", e.message)]))
        return xml_reply("DeleteResult", rows)

    def RestoreObject(self, r):
        v = self.bucket(r).find(r.key, r.args.get("versionId"))
        if v.kind not in s3_buckets.COLD:
            raise Refusal(403, "InvalidObjectState", "Restore is not allowed "
                          "for the object's current storage class")
        again, v.restored = v.restored, True
        return 200 if again else 202, [], b""

    def locked_version(self, r):
        bucket = self.bucket(r)
        if not bucket.lock:
            raise Refusal(400, "InvalidRequest", "Bucket is missing Object "
                          "Lock Configuration")
        versions = bucket.objects.get(r.key)
        if versions and "versionId" not in r.args and \
           versions[-1].data is None:
            return bucket.find(r.key, versions[-1].id)  # 405
        return bucket.find(r.key, r.args.get("versionId"))

    def GetObjectRetention(self, r):
        v = self.locked_version(r)
        if not v.mode:
            raise no_lock()
        return xml_reply("Retention", [("Mode", v.mode),
                                       ("RetainUntilDate", stamp(v.until))])

    def PutObjectRetention(self, r):
        v = self.locked_version(r)
        self.need_sum(r, body_sums(r))
        tree = parsed(r.body, "Retention")
        v.retain(*self.retention(tree.findtext("Mode"),
                                 tree.findtext("RetainUntilDate")),
                 self.now(), bypasses(r))
        return 200, [], b""

    def GetObjectLegalHold(self, r):
        v = self.locked_version(r)
        return xml_reply("LegalHold", [("Status",
                                        "ON" if v.held else "OFF")])

    def PutObjectLegalHold(self, r):
        v = self.locked_version(r)
        self.need_sum(r, body_sums(r))
        status = parsed(r.body, "LegalHold").findtext("Status")
        if status not in ("ON", "OFF"):
            raise Refusal(400, "MalformedXML", "no such Status")
        v.held = status == "ON"
        return 200, [], b""

    # --- lists -------------------------------------------------------------

    def ListObjectsV2(self, r):
        bucket = self.bucket(r)
        if r.args.get("list-type") != "2":
            raise Refusal(501, "NotImplemented", "only list-type=2")
        show = encoder(r)
        prefix = r.args.get("prefix", "")
        token = r.args.get("continuation-token")
        start = r.args.get("start-after", "")
        from_key = read_token(token) if token is not None else start
        most = number(r, "max-keys", 1000, 1000)
        if r.list_limit is not None:
            most = min(most, r.list_limit)
        rows, groups, last, more = self.page(
            bucket, prefix, r.args.get("delimiter", ""), from_key, most,
            lambda k: r.seen(bucket.current(k)))
        if r.list_limit is not None:
            more = False
        following = make_token(last) if more else None
        if r.list_endless:
            more, following = True, token or make_token(from_key)
        return xml_reply("ListBucketResult", [
            ("Name", bucket.name), ("Prefix", show(prefix)),
            ("StartAfter", show(start) if start else None),
            ("ContinuationToken", token), ("KeyCount", len(rows + groups)),
            ("MaxKeys", most), ("EncodingType", r.args.get("encoding-type")),
            ("Delimiter", r.args.get("delimiter")),
            ("IsTruncated", "true" if more else "false"),
            ("NextContinuationToken", following),
            *(("Contents", [
                ("Key", show(v.key)), ("LastModified", stamp(v.when)),
                ("ETag", f'"{v.etag}"'), ("Size", len(v.data)),
                ("StorageClass", v.kind)]) for v in rows),
            *(("CommonPrefixes", [("Prefix", show(g))]) for g in groups)])

    @staticmethod
    def page(bucket, prefix, delimiter, after, most, look):
        """(versions, common prefixes, last of them, whether more follow)."""
        rows, groups, last, group = [], [], after, None
        if delimiter and after.endswith(delimiter) and \
           after.startswith(prefix):
            group = after  # a common prefix that was told already
        for key in bucket.keys_from(max(after, prefix), after >= prefix):
            if not key.startswith(prefix):
                break
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key[:cut + len(delimiter)] if cut >= 0 else None
            if name and name == group:
                continue
            v = look(key)
            if v is None:
                continue
            if len(rows) + len(groups) >= most:
                return rows, groups, last, most > 0
            if name:
                groups.append(name)
                group = last = name
            else:
                rows.append(v)
                last = key
        return rows, groups, last, False

    def ListObjectVersions(self, r):
        bucket, show = self.bucket(r), encoder(r)
        prefix = r.args.get("prefix", "")
        marker = r.args.get("key-marker", "")
        version = r.args.get("version-id-marker", "")
        most = number(r, "max-keys", 1000, 1000)
        if r.list_limit is not None:
            most = min(most, r.list_limit)
        rows, more = [], False
        start = max(marker, prefix)
        for key in bucket.keys_from(start, start == marker != "" and
                                    not version):
            if not key.startswith(prefix) or more:
                break
            versions = bucket.objects[key][::-1]
            skip = key == marker and [v.id for v in versions].index(version) \
                if version in [v.id for v in versions] else -1
            for n, v in enumerate(versions):
                if n <= skip or r.seen(v) is None:
                    continue
                if len(rows) >= most:
                    more = True
                    break
                rows.append((v, n == 0))
        last = rows[-1][0] if rows else None
        following = last.key if more else None, last.id if more else None
        if r.list_limit is not None:
            more, following = False, (None, None)
        if r.list_endless:
            more, following = True, (marker or "x", version or "x")
        return xml_reply("ListVersionsResult", [
            ("Name", bucket.name), ("Prefix", show(prefix)),
            ("KeyMarker", show(marker)), ("VersionIdMarker", version),
            ("MaxKeys", most), ("EncodingType", r.args.get("encoding-type")),
            ("IsTruncated", "true" if more else "false"),
            ("NextKeyMarker", show(following[0]) if more else None),
            ("NextVersionIdMarker", following[1]),
            *(("DeleteMarker" if v.data is None else "Version", [
                ("Key", show(v.key)), ("VersionId", v.id),
                ("IsLatest", "true" if newest else "false"),
                ("LastModified", stamp(v.when)),
                *([] if v.data is None else [
                    ("ETag", f'"{v.etag}"'), ("Size", len(v.data)),
                    ("StorageClass", v.kind)])])
              for v, newest in rows)])

    # --- uploads in parts --------------------------------------------------

    def upload(self, r):
        found = self.bucket(r).uploads.get(r.args["uploadId"])
        if not found or found.first.key != r.key:
            raise Refusal(404, "NoSuchUpload", "The specified upload does not "
                          "exist. The upload ID may be invalid, or the upload "
                          "may have been aborted or completed.",
                          UploadId=r.args["uploadId"])
        return found

    def CreateMultipartUpload(self, r):
        bucket = self.bucket(r)
        algorithm = r.headers.get("x-amz-checksum-algorithm", "").lower()
        if algorithm and algorithm not in CHECKSUMS:
            raise Refusal(400, "InvalidRequest", "no such algorithm")
        u = Upload(self.made(r, bucket, None), algorithm)
        if not self.parts_lock:
            u.first.mode = u.first.until = None
        bucket.uploads[u.id] = u
        return xml_reply("InitiateMultipartUploadResult", [
            ("Bucket", bucket.name), ("Key", r.key), ("UploadId", u.id)],
            sse_headers(u.first))

    def UploadPart(self, r):
        u = self.upload(r)
        n = number(r, "partNumber", 0, 1 << 30)
        if not 1 <= n <= 10000:
            raise Refusal(400, "InvalidArgument", "Part number must be an "
                          "integer between 1 and 10000, inclusive")
        sums = body_sums(r) if self.checksums else {}
        if u.first.mode or self.bucket(r).default:
            self.need_sum(r, sums)
        etag = hashlib.md5(r.body).hexdigest()
        u.parts[n] = r.body, etag, sums, self.now()
        return 200, [("ETag", f'"{etag}"'), *sum_headers(sums)], b""

    def CompleteMultipartUpload(self, r):
        bucket, u = self.bucket(r), self.upload(r)
        self.check_new(r, bucket)
        parts = [(int(p.findtext("PartNumber") or 0),
                  (p.findtext("ETag") or "").strip('"'))
                 for p in parsed(r.body, "CompleteMultipartUpload")
                 .findall("Part")]
        if not parts:
            raise Refusal(400, "MalformedXML", "no parts")
        numbers = [n for n, _ in parts]
        if numbers != sorted(set(numbers)):
            raise Refusal(400, "InvalidPartOrder", "The list of parts was not "
                          "in ascending order. Parts must be ordered by part "
                          "number.")
        for n, tag in parts:
            if n not in u.parts or u.parts[n][1] != tag:
                raise Refusal(400, "InvalidPart", "One or more of the "
                              "specified parts could not be found.",
                              PartNumber=n, ETag=tag)
        for n in numbers[:-1]:
            if len(u.parts[n][0]) < self.part_min:
                raise Refusal(400, "EntityTooSmall", "Your proposed upload is "
                              "smaller than the minimum allowed size",
                              PartNumber=n, MinSizeAllowed=self.part_min,
                              ProposedSize=len(u.parts[n][0]))
        v = u.finish(numbers)
        v.when = self.now()
        bucket.put(v)
        del bucket.uploads[u.id]
        sums = [("Checksum" + k.upper(), s) for k, s in v.checksums.items()]
        return xml_reply("CompleteMultipartUploadResult", [
            ("Location", f"/{bucket.name}/{r.key}"), ("Bucket", bucket.name),
            ("Key", r.key), ("ETag", f'"{v.etag}"'), *sums],
            version_header(bucket, v))

    def AbortMultipartUpload(self, r):
        del self.bucket(r).uploads[self.upload(r).id]
        return 204, [], b""

    def ListParts(self, r):
        u = self.upload(r)
        after = number(r, "part-number-marker", 0, 10000)
        most = number(r, "max-parts", 1000, 1000)
        left = sorted(n for n in u.parts if n > after)
        return xml_reply("ListPartsResult", [
            ("Bucket", r.bucket), ("Key", encoder(r)(r.key)),
            ("UploadId", u.id), ("PartNumberMarker", after),
            ("NextPartNumberMarker", left[:most][-1] if left[:most] else 0),
            ("MaxParts", most), ("StorageClass", u.first.kind),
            ("IsTruncated", "true" if left[most:] else "false"),
            *(("Part", [
                ("PartNumber", n), ("LastModified", stamp(u.parts[n][3])),
                ("ETag", f'"{u.parts[n][1]}"'),
                ("Size", len(u.parts[n][0]))]) for n in left[:most])])

    def ListMultipartUploads(self, r):
        bucket, show = self.bucket(r), encoder(r)
        prefix = r.args.get("prefix", "")
        marker = (r.args.get("key-marker", ""),
                  r.args.get("upload-id-marker", ""))
        most = number(r, "max-uploads", 1000, 1000)
        # Of one key the first begun comes first.
        begun = {u.id: n for n, u in enumerate(bucket.uploads.values())}
        left = sorted((u for u in bucket.uploads.values()
                       if u.first.key.startswith(prefix)),
                      key=lambda u: (u.first.key, begun[u.id]))
        left = [u for u in left if u.first.key > marker[0] or
                u.first.key == marker[0] and marker[1] and
                begun[u.id] > begun.get(marker[1], -1)]
        last = left[most - 1] if left[most:] and most else None
        return xml_reply("ListMultipartUploadsResult", [
            ("Bucket", bucket.name), ("KeyMarker", show(marker[0])),
            ("UploadIdMarker", marker[1]), ("Prefix", show(prefix)),
            ("EncodingType", r.args.get("encoding-type")),
            ("NextKeyMarker", show(last.first.key) if last else None),
            ("NextUploadIdMarker", last.id if last else None),
            ("MaxUploads", most), ("IsTruncated", "true" if last else "false"),
            *(("Upload", [
                ("Key", show(u.first.key)), ("UploadId", u.id),
                ("Initiated", stamp(u.first.when)),
                ("StorageClass", u.first.kind)]) for u in left[:most])])


def no_lock():
    return Refusal(404, "NoSuchObjectLockConfiguration", "The specified "
                   "object does not have a ObjectLock configuration")


def bypasses(r):
    return r.headers.get("x-amz-bypass-governance-retention",
                         "").lower() == "true"


def encoder(r):
    kind = r.args.get("encoding-type")
    if kind not in (None, "url"):
        raise Refusal(400, "InvalidArgument", "Invalid Encoding Method "
                      "specified in Request")
    # As Amazon has it: a space becomes a "+".
    return (lambda text: quote_plus(text, safe="/*")) if kind else str


def make_token(key):
    raw = key.encode("utf-8", "surrogateescape")
    return "t" + base64.urlsafe_b64encode(raw[::-1]).decode()


def read_token(token):
    try:
        if not token.startswith("t"):
            raise ValueError
        return base64.urlsafe_b64decode(token[1:])[::-1].decode()
    except ValueError:
        raise Refusal(400, "InvalidArgument", "The continuation token "
                      "provided is incorrect") from None


def http_date(when):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(when))


def version_header(bucket, v):
    return [("x-amz-version-id", v.id)] if bucket.versioning else []


def sse_headers(v):
    return [(n, t) for n, t in v.headers.items()
            if n.startswith("x-amz-server-side-encryption")]


def object_headers(bucket, v):
    """What a version says of itself, beside its bytes."""
    headers = [*version_header(bucket, v), *v.headers.items()]
    if v.kind != "STANDARD":
        headers.append(("x-amz-storage-class", v.kind))
    if v.restored:
        headers.append(("x-amz-restore", 'ongoing-request="false", '
                        'expiry-date="Fri, 31 Dec 2100 00:00:00 GMT"'))
    if v.mode:
        headers += [("x-amz-object-lock-mode", v.mode),
                    ("x-amz-object-lock-retain-until-date", stamp(v.until))]
    if v.held:
        headers.append(("x-amz-object-lock-legal-hold", "ON"))
    return headers
