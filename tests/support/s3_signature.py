"""Whether a request to the S3 server of the tests is signed as it must be.

Aim: to judge snapctl's signatures by code that shares nothing with them, from
the description of AWS Signature Version 4 (Amazon S3 API reference,
"Authenticating Requests: Using the Authorization Header").  Where a server may
be lenient this one is not: every x-amz-* header must be among what was signed,
and so must the body's hash be told.
"""
import calendar
import hashlib
import hmac
import re
import time
from urllib.parse import quote, unquote_to_bytes

SKEW = 15 * 60
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
PARTS = re.compile(r"AWS4-HMAC-SHA256 +Credential=([^, ]+), *"
                   r"SignedHeaders=([^, ]+), *Signature=([0-9a-f]{64})\Z")


class Refusal(Exception):
    """A request that is answered by an <Error>."""

    def __init__(self, status, code, message="", headers=(), **more):
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code
        self.headers = list(headers)
        self.more = more


class Key:
    """A secret and, for temporary ones, a token and when it ends."""

    def __init__(self, text):
        self.id, self.secret, self.token = (text.split(":", 2) + [""])[:3]
        self.ends = None
        self.may = None  # what it may do, when that is not all


def encoded(raw, safe):
    return quote(unquote_to_bytes(raw), safe=safe)


def canonical_query(raw):
    pairs = []
    for part in raw.split("&") if raw else []:
        name, _, value = part.partition("=")
        # A "+" is a space: who means it must have said %2B.
        pairs.append((encoded(name.replace("+", " "), "-_.~"),
                      encoded(value.replace("+", " "), "-_.~")))
    return "&".join(f"{n}={v}" for n, v in sorted(pairs))


def canonical_request(request, names, body_hash):
    lines = [request.method, encoded(request.raw_path, "/-_.~"),
             canonical_query(request.raw_query)]
    for name in names:
        values = [" ".join(v.split()) for n, v in request.pairs if n == name]
        lines.append(f"{name}:{','.join(values)}")
    return "\n".join([*lines, "", ";".join(names), body_hash])


def signature(secret, scope, when, text):
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
    to_sign = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{digest.hexdigest()}"
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def check_date(when, now):
    try:
        at = calendar.timegm(time.strptime(when, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refusal(403, "AccessDenied", "AWS authentication requires a "
                      "valid Date or x-amz-date header") from None
    if abs(at - now) > SKEW:
        raise Refusal(403, "RequestTimeTooSkewed",
                      "The difference between the request time and the "
                      "current time is too large.", RequestTime=when,
                      ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                               time.gmtime(now)))


def check_scope(scope, when, region):
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request" or parts[2] != "s3" or \
       parts[0] != when[:8]:
        raise Refusal(400, "AuthorizationHeaderMalformed",
                      "The authorization header is malformed: scope " + scope)
    if parts[1] != region:
        raise Refusal(400, "AuthorizationHeaderMalformed",
                      f"The authorization header is malformed; the region "
                      f"'{parts[1]}' is wrong; expecting '{region}'",
                      Region=region)


def check_token(key, request, now):
    token = request.headers.get("x-amz-security-token", "")
    if not hmac.compare_digest(token.encode(), key.token.encode()):
        raise Refusal(400, "InvalidToken", "The provided token is malformed "
                      "or otherwise invalid.")
    if key.ends is not None and now >= key.ends:
        raise Refusal(400, "ExpiredToken", "The provided token has expired.")


def check_signed(names, request):
    if names != sorted(names) or "host" not in names:
        raise Refusal(403, "AccessDenied", "SignedHeaders are not in order, "
                      "or without host")
    for name in names:
        if name not in request.headers:
            raise Refusal(403, "SignatureDoesNotMatch",
                          f"{name} was signed, and is not there")
    left = sorted({n for n, _ in request.pairs
                   if n.startswith("x-amz-") and n not in names})
    if left:
        raise Refusal(403, "AccessDenied", "There were headers present in the "
                      "request which were not signed",
                      HeadersNotSigned=", ".join(left))


def check(request, keys, region, now):
    """The one of keys ({id: Key}) that signed it just now, or Refusal."""
    text = request.headers.get("authorization")
    if text is None:
        if "X-Amz-Algorithm" in request.args:
            raise Refusal(501, "NotImplemented", "signed by its query")
        raise Refusal(403, "AccessDenied", "Access Denied")
    found = PARTS.match(text)
    if not found:
        raise Refusal(400, "AuthorizationHeaderMalformed",
                      "The authorization header is malformed.")
    credential, names, given = found.groups()
    name, _, scope = credential.partition("/")
    names = names.split(";")
    when = next((v for n, v in request.pairs if n == "x-amz-date"), "")
    check_date(when, now)
    check_scope(scope, when, region)
    if name not in keys:
        raise Refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you "
                      "provided does not exist in our records.",
                      AWSAccessKeyId=name)
    check_token(keys[name], request, now)
    body_hash = request.headers.get("x-amz-content-sha256")
    if body_hash is None:
        raise Refusal(400, "InvalidRequest", "Missing required header for "
                      "this request: x-amz-content-sha256")
    check_signed(names, request)
    canonical = canonical_request(request, names, body_hash)
    right = signature(keys[name].secret, scope, when, canonical)
    if not hmac.compare_digest(right, given):
        raise Refusal(403, "SignatureDoesNotMatch", "The request signature we "
                      "calculated does not match the signature you provided.",
                      AWSAccessKeyId=name, CanonicalRequest=canonical)
    check_body(request, body_hash)
    return keys[name]


def check_body(request, body_hash):
    if body_hash == "UNSIGNED-PAYLOAD":
        request.unsigned_body = True
    elif not SHA256.match(body_hash):
        raise Refusal(501 if body_hash.startswith("STREAMING-") else 400,
                      "NotImplemented" if body_hash.startswith("STREAMING-")
                      else "InvalidArgument", "x-amz-content-sha256 must be "
                      "UNSIGNED-PAYLOAD or a valid sha256 value.")
    elif hashlib.sha256(request.body).hexdigest() != body_hash:
        raise Refusal(400, "XAmzContentSHA256Mismatch", "The provided "
                      "'x-amz-content-sha256' header does not match what was "
                      "computed.")
