"""Goal: what the S3 server of the tests does wrong is what it was told to.

Each fault is met with curl(1), so is each word of the control path, bad
certificates, and the bad network (tests/support/tcp_proxy.py).
"""
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from s3_place import PYTHON, S3, SUPPORT, FakeServer, Proxy
from snap import LIMIT, Failed, check, wait_for

# What curl(1) ends with, and says.
PARTIAL, NO_REPLY, RESET, TOO_SLOW, REFUSED, UNTRUSTED, FORGED = \
    "(18)", "(52)", "(56)", "(28)", "(7)", "(60)", "(35)"


def met(reply, status, complaint=None):
    got = reply.headers.get("curl", "")
    check(reply.status == status and
          (complaint in got if complaint else not got),
          f"{reply.status} {got}, not {status} {complaint}: "
          f"{reply.headers} {reply.body[:200]}")
    return reply


def errors(s3):
    s3.fault("error", "GetObject", code="SlowDown", retry_after=7)
    r = met(s3.call("GET", "/b/k"), 503)
    check(r.text("Code") == "SlowDown" and r.headers["retry-after"] == "7", r)
    met(s3.call("GET", "/b/k"), 200)  # it was for the next one
    s3.fault("error", "PutObject", code="InternalError", done=True)
    met(s3.call("PUT", "/b/done", "", b"x"), 500)
    met(s3.call("GET", "/b/done"), 200)
    s3.fault("error", "PutObject", code="AccessDenied", early=True)
    r = met(s3.call("PUT", "/b/early", "", bytes(9 << 20)), 403)
    check(r.headers.get("connection") == "close", r.headers)
    met(s3.call("GET", "/b/early"), 404)
    s3.fault("redirect", region="eu-west-9", endpoint="far.example")
    r = met(s3.call("GET", "/b/k"), 301)
    check(r.text("Endpoint") == "far.example" and
          r.headers["x-amz-bucket-region"] == "eu-west-9", r.body)
    s3.fault("error", "/k$", every=2, after=1, code="BadGateway")
    told = [s3.call("GET", "/b/k").status for _ in range(6)]
    check(told == [200, 200, 502, 200, 502, 200], told)
    s3.control("clear")
    s3.fault("ok_error", "PutObject", code="InternalError")
    r = met(s3.call("PUT", "/b/not", "", b"x"), 200)
    check(r.said() == (200, "InternalError"), r.body)
    met(s3.call("GET", "/b/not"), 404)


def struck(s3):
    return any(f["struck"] for f in s3.control("faults"))


def impatient(s3, kind, enough, of=0.01, **more):
    """What curl(1) has when it waits no longer, for a fault that takes one
    `of`th of that time: the first of ever longer waits in which this machine
    came to where there is enough.  `times`: how often the fault's time fits
    into what that took."""
    seconds = 0.3
    while True:
        s3.fault(kind, seconds=seconds / of, **more)
        began = time.monotonic()
        r = s3.call("GET", "/b/k", "", b"", "--max-time", str(seconds))
        r.times = (time.monotonic() - began) * of / seconds
        done = enough(r) or seconds > 60
        s3.control("clear")
        if done:
            return r
        seconds *= 4


def broken_replies(s3, body):
    s3.fault("truncate", bytes=1000)
    r = met(s3.call("GET", "/b/k"), 200, PARTIAL)
    check(r.body == body[:1000], len(r.body))
    s3.fault("reset", bytes=1000)
    met(s3.call("GET", "/b/k"), 200, RESET)
    s3.fault("lost_reply", "PutObject")
    met(s3.call("PUT", "/b/lost", "", b"x"), 0, NO_REPLY)
    met(s3.call("GET", "/b/lost"), 200)
    s3.fault("dropped", "PutObject")
    met(s3.call("PUT", "/b/dropped", "", b"x"), 0, NO_REPLY)
    met(s3.call("GET", "/b/dropped"), 404)
    met(impatient(s3, "hang", lambda r: struck(s3)), 0, TOO_SLOW)
    met(impatient(s3, "hold", lambda r: struck(s3)), 0, TOO_SLOW)
    r = met(impatient(s3, "hang", lambda r: len(r.body) == 1000, bytes=1000),
            200, TOO_SLOW)
    check(r.body == body[:1000], len(r.body))
    r = met(impatient(s3, "slow", lambda r: r.status == 200, of=10), 200,
            TOO_SLOW)
    check(len(r.body) <= r.times, (len(r.body), r.times))
    s3.fault("wrong_bytes", bytes=7)
    r = met(s3.call("GET", "/b/k"), 200)
    check([i for i, c in enumerate(body) if r.body[i] != c] == [7], r)
    s3.fault("cut_body", bytes=1000)
    r = met(s3.call("GET", "/b/k"), 200)
    check(r.body == body[:1000], len(r.body))
    right = s3.call("HEAD", "/b/k").headers["etag"]
    s3.fault("wrong_etag")
    wrong = s3.call("HEAD", "/b/k").headers["etag"]
    check(right != wrong and len(right) == len(wrong), (right, wrong))
    s3.fault("no_etag")
    check("etag" not in met(s3.call("GET", "/b/k"), 200).headers, "an ETag")
    s3.fault("no_continue")
    r = s3.call("PUT", "/b/large", "", bytes(2 << 20), "-H",
                "Expect: 100-continue", "--expect100-timeout", "0.1")
    met(r, 200)


def lists(s3):
    s3.fault("stale_list", hide="k$")
    r = s3.call("GET", "/b", "list-type=2")
    check("k" not in r.all("Key") and "done" in r.all("Key"), r.body)
    s3.fault("stale_list", seconds=3600)
    check(s3.call("GET", "/b", "list-type=2").all("Key") == [], "too new")
    s3.fault("short_list", keys=1)
    r = s3.call("GET", "/b", "list-type=2")
    check((len(r.all("Key")), r.text("IsTruncated")) == (1, "false"), r.body)
    s3.fault("endless_list", next=3)
    first = s3.call("GET", "/b", "list-type=2&max-keys=1")
    token = first.text("NextContinuationToken")
    for _ in range(2):
        r = s3.call("GET", "/b", "continuation-token=" +
                    token.replace("=", "%3D") + "&list-type=2&max-keys=1")
        check(r.text("NextContinuationToken") == token and
              r.text("IsTruncated") == "true", r.body)
    s3.fault("garbage")
    check(b"hotel" in s3.call("GET", "/b", "list-type=2").body, "a hotel")
    s3.fault("bomb")
    check(b"<!DOCTYPE" in s3.call("GET", "/b", "list-type=2").body, "a bomb")


def at_rest(s3):
    """Who has a reply may have it a little before its end is counted."""
    wait_for("the end of all requests",
             lambda: s3.control("counts")["now"] == 0)


def controls(s3):
    # What hung before is counted no more.
    s3.control("counts", reset=True)
    s3.call("GET", "/b/k")
    at_rest(s3)
    s3.call("GET", "/b/k", signed=False)
    at_rest(s3)
    told = s3.control("counts")
    check(told["operations"] == {"GetObject": 2} and told["unsigned"] == 1 and
          told["statuses"] == {"200": 1, "403": 1} and told["peak"] == 1 and
          told["bytes_out"] > 4096, told)
    s3.fault("hold", meet=4, next=4)
    threads = [threading.Thread(target=s3.call, args=("GET", "/b/k"))
               for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    at_rest(s3)
    check(s3.control("counts")["peak"] == 4, "four at once")
    s3.control("clear")
    s3.control("put", bucket="b", key="x",
               data=base64.b64encode(b"\x00\x00").decode())
    s3.control("corrupt", bucket="b", key="x", bit=9)
    check(s3.call("GET", "/b/x").body == b"\x00\x02", "a bit")
    check(s3.control("get", bucket="b", key="x") == "AAI=", "as stored")
    s3.control("shorten", bucket="b", key="x", size=1)
    check(s3.call("GET", "/b/x").body == b"\x00", "shorter")
    s3.control("delete", bucket="b", key="x")
    met(s3.call("GET", "/b/x"), 404)
    check([o["size"] for o in s3.control("list", prefix="k")] == [4096],
          "list")
    s3.control("set", if_none_match=False)
    met(s3.call("PUT", "/b/k", "", b"again",
                headers=["If-None-Match: *"]), 200)
    s3.control("set", shift=3600)
    r = met(s3.call("GET", "/b/k"), 403)
    check(r.text("Code") == "RequestTimeTooSkewed", r.body)
    s3.control("set", shift=0)
    s3.control("drop")
    check(s3.control("list") == [], "nothing")
    s3.id, s3.secret, s3.token = "AKIDNEW", "newer", "a/token+="
    s3.control("key", key="AKIDNEW:newer:a/token+=")
    met(s3.call("HEAD", "/b"), 200)
    s3.token = "another"
    check(s3.call("GET", "/b", "list-type=2").said() ==
          (400, "InvalidToken"), "another token")
    s3.token = "a/token+="
    s3.control("key", key="AKIDNEW:newer:a/token+=", ends=-1)
    check(s3.call("GET", "/b", "list-type=2").said() ==
          (400, "ExpiredToken"), "an expired token")


def certificates(folder):
    subprocess.run([PYTHON, "-B", os.path.join(SUPPORT, "tls_material.py"),
                    folder], check=True)
    for name in ("good", "expired", "wrong_host", "stranger", "forged"):
        with FakeServer(buckets=["b"], tls=(folder, name)) as s3:
            if name == "good":
                met(s3.call("PUT", "/b/k", "", b"x"), 200)
                met(s3.call("GET", "/k", host="b.s3.localhost"), 200)
            else:
                met(s3.call("HEAD", "/b"), 0,
                    FORGED if name == "forged" else UNTRUSTED)
            check(len(s3.control("list")) == (name == "good"), name)


def network(s3):
    with Proxy(s3.port) as net:
        through = S3()
        through.port = net.port
        met(through.call("PUT", "/b/k", "", bytes(1 << 20)), 200)
        net.control("set", latency=0.2)
        start = time.monotonic()
        met(through.call("GET", "/b/k"), 200)
        check(time.monotonic() - start >= 0.4, "there and back")
        net.control("set", latency=0, bandwidth=2 << 20)
        start = time.monotonic()
        met(through.call("GET", "/b/k"), 200)
        check(time.monotonic() - start >= 0.4, "1 MiB at 2 MiB/s")
        net.control("set", bandwidth=0)
        net.control("reset_after", bytes=100000)
        met(through.call("GET", "/b/k"), 200, RESET)
        net.control("reset_after", bytes=100000, way="up")
        met(through.call("PUT", "/b/k", "", bytes(8 << 20)), 0, "curl: (5")
        met(through.call("GET", "/b/k"), 200)
        net.control("set", black_hole=True)
        met(through.call("GET", "/b/k", "", b"", "--max-time", "0.3"), 0,
            TOO_SLOW)
        net.control("set", black_hole=False)
        net.control("refuse")
        met(through.call("GET", "/b/k"), 0, REFUSED)
        net.control("refuse", on=False)
        wait_for("the others", lambda: net.control("counts")["open"] == 0)
        hang = s3.fault("hang", seconds=60)
        late = []
        t = threading.Thread(target=lambda: late.append(
            through.call("GET", "/b/k")))
        t.start()
        wait_for("the request", lambda: any(
            f["struck"] for f in s3.control("faults") if f["number"] == hang))
        check(net.control("cut", reset=True) == 1, "one is cut")
        t.join()
        met(late[0], 0, RESET)
        wait_for("none to be left",
                 lambda: net.control("counts")["open"] == 0)


def regions():
    """Two servers side by side, in two regions, know nothing of each other."""
    where = b"<CreateBucketConfiguration><LocationConstraint>eu-north-1" \
        b"</LocationConstraint></CreateBucketConfiguration>"
    with FakeServer(buckets=["far"]) as here, \
            FakeServer(region="eu-north-1") as there:
        check(there.call("PUT", "/far").said() ==
              (400, "IllegalLocationConstraintException"), "not in the north")
        met(there.call("PUT", "/far", "", where), 200)
        check(there.call("PUT", "/far", "", where).said() ==
              (409, "BucketAlreadyOwnedByYou"), "made twice")
        check(here.call("PUT", "/near", "", where).said() ==
              (400, "IllegalLocationConstraintException"), "in the north")
        r = met(there.call("HEAD", "/far"), 200)
        check(r.headers["x-amz-bucket-region"] == "eu-north-1", r.headers)
        met(there.call("PUT", "/far/k", "", b"x"), 200)
        met(here.call("GET", "/far/k"), 404)
        check(there.url("far", "a b/c", class_="GLACIER") ==
              f"s3://far/a%20b/c?endpoint=http://127.0.0.1:{there.port}"
              "&region=eu-north-1&class=GLACIER", "URL")


def ends_with_us():
    s3 = FakeServer()
    s3.child.stdin.close()
    check(s3.child.wait(LIMIT) == 0, "it ends when its input does")
    s3.child.stdout.close()


def main():
    folder = tempfile.mkdtemp(prefix="snapctl-s3-", suffix=".d")
    body = os.urandom(4096)
    try:
        with FakeServer(buckets=["b"]) as s3:
            met(s3.call("PUT", "/b/k", "", body), 200)
            errors(s3)
            broken_replies(s3, body)
            lists(s3)
            controls(s3)
        with FakeServer(buckets=["b"]) as s3:
            network(s3)
        certificates(folder)
        regions()
        ends_with_us()
    except Failed as e:
        print("FAIL", e)
        sys.exit(1)
    finally:
        shutil.rmtree(folder)
    print("ok")


if __name__ == "__main__":
    main()
