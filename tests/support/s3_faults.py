"""What the S3 server of the tests does wrong, when it is told to.

Aim: each way in which a server, or what is before it, has been seen to fail,
told by one small dictionary.  A rule is

    {"match": REGEX, "next": N | "every": N, "after": N, "kind": KIND, ...}

REGEX is searched in "OPERATION METHOD BUCKET/KEY"; the rule holds for the next
N of what matches (1 when nothing is said), or for every Nth of it, after the
first `after` of them.  The kinds, with what else they take:

    error       status, code, message, retry_after, early (before the body is
                read; the connection is closed), done (the work was done)
    redirect    status (301), region, endpoint
    truncate    bytes: that much of the reply's body, then the connection ends
    reset       bytes: the same, with a TCP reset
    hang        seconds, and bytes for one in the middle of the reply's body;
                without, it stands still before it reads the request's body
    hold        it stands still until the rules are cleared, or until `meet`
                of those that the rule struck do so
    slow        seconds (1) between one byte of the reply's body and the next
    wrong_bytes bytes: the offset in the reply's body where a bit is flipped
    wrong_etag, no_etag, wrong_checksum
    no_lock     what guards the object is not said;  odd_lock: until no date
    lost_reply  the work is done, and the connection ends without a reply
                (reset: true: by a reset)
    dropped     the connection ends before anything was done
    cut_body    bytes: the body ends there, and Content-Length agrees
    ok_error    200 with an <Error>: code, message; nothing was done
    garbage     a body that is no XML;  bomb: a document type that blows up
    stale_list  hide: a REGEX of keys that the list does not know yet, or
                seconds: how long before now the list was made
    short_list  keys: a list that says it is complete after so many
    endless_list    every page says that the next one is the one just asked for
    no_continue     "Expect: 100-continue" is never answered
"""
import re

FAULTS = {"error", "redirect", "truncate", "reset", "hang", "hold", "slow",
          "wrong_bytes", "wrong_etag", "no_etag", "wrong_checksum", "lost_reply",
          "dropped", "cut_body", "ok_error", "garbage", "bomb", "stale_list",
          "short_list", "endless_list", "no_continue", "no_lock", "odd_lock"}
WORDS = {"match", "next", "every", "after", "kind", "status", "code",
         "message", "retry_after", "early", "done", "region", "endpoint",
         "bytes", "seconds", "reset", "hide", "keys", "meet"}
STATUS = {"InternalError": 500, "BadGateway": 502, "SlowDown": 503,
          "ServiceUnavailable": 503, "AccessDenied": 403, "ExpiredToken": 400,
          "RequestTimeTooSkewed": 403, "InvalidAccessKeyId": 403,
          "SignatureDoesNotMatch": 403, "NoSuchKey": 404, "NoSuchBucket": 404,
          "NoSuchUpload": 404, "RequestTimeout": 400, "InvalidToken": 400,
          "OperationAborted": 409, "QuotaExceeded": 403,
          "XMinioStorageFull": 507, "TooManyRequests": 429}
BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE r [<!ENTITY a0 "aaaaaaaaaaaaaaaa">%s]>
<ListBucketResult><Name>&a9;</Name><IsTruncated>false</IsTruncated>\
</ListBucketResult>""" % b"".join(
    b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 16) for i in range(1, 10))


class Fault:
    """One rule, and how often it matched and struck."""

    def __init__(self, number, rule):
        strange = set(rule) - WORDS
        if strange:
            raise ValueError(f"unknown: {sorted(strange)}")
        if rule.get("kind") not in FAULTS:
            raise ValueError(f"no such kind: {rule.get('kind')}")
        if "next" in rule and "every" in rule:
            raise ValueError("both next and every")
        self.number = number
        self.rule = rule
        self.match = re.compile(rule.get("match", ""))
        self.seen = 0
        self.struck = 0
        self.held, self.over = 0, False
        if rule["kind"] in ("error", "ok_error"):
            code = rule.setdefault("code", "InternalError")
            rule.setdefault("status", STATUS.get(code, 500))

    def __getattr__(self, name):
        """What the rule says, or None."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self.rule.get(name)

    def strikes(self, text):
        if not self.match.search(text):
            return False
        self.seen += 1
        n = self.seen - self.rule.get("after", 0)
        if n <= 0:
            return False
        if "every" in self.rule:
            hit = n % self.rule["every"] == 0
        else:
            hit = n <= self.rule.get("next", 1)
        self.struck += hit
        return hit

    def hold(self):
        """Another one stands still by it."""
        self.held += 1
        self.over = self.over or self.held == self.rule.get("meet")

    def told(self):
        return {**self.rule, "number": self.number, "seen": self.seen,
                "struck": self.struck}


class Faults:
    """All rules; the first that strikes is the one.  The caller locks."""

    def __init__(self):
        self.rules = []
        self.made = 0

    def add(self, rule):
        self.made += 1
        self.rules.append(Fault(self.made, dict(rule)))
        return self.made

    def clear(self):
        for fault in self.rules:
            fault.over = True
        self.rules = []

    def told(self):
        return [f.told() for f in self.rules]

    def pick(self, text):
        struck = None
        for fault in self.rules:
            if struck is None and fault.strikes(text):
                struck = fault
        return struck


def flipped(body, offset):
    if not body:
        return body
    offset = min(offset or 0, len(body) - 1)
    return body[:offset] + bytes([body[offset] ^ 1]) + body[offset + 1:]


def spoiled(text):
    """Another text of the same form: its first letter or digit is changed."""
    where = re.search(r"[0-9A-Za-z]", text)
    if not where:
        return text
    i = where.start()
    return text[:i] + ("b" if text[i] == "a" else "a") + text[i + 1:]


def alter(fault, headers, body):
    """The reply with what the fault does to it as a whole."""
    kind = fault.kind
    if kind == "wrong_bytes":
        body = flipped(body, fault.bytes)
    elif kind == "cut_body":
        body = body[:fault.bytes or 0]
    elif kind == "garbage":
        body = b"<html><body>Welcome to the hotel's network<br>"
    elif kind == "bomb":
        body = BOMB
    elif kind == "no_etag":
        headers = [(n, v) for n, v in headers if n.lower() != "etag"]
    elif kind == "no_lock":
        headers = [(n, v) for n, v in headers if "-object-lock-" not in n]
    elif kind == "odd_lock":
        headers = [(n, "soon" if n.endswith("-until-date") else v)
                   for n, v in headers]
    elif kind in ("wrong_etag", "wrong_checksum"):
        start = "etag" if kind == "wrong_etag" else "x-amz-checksum-"
        headers = [(n, spoiled(v) if n.lower().startswith(start) else v)
                   for n, v in headers]
    return headers, body
