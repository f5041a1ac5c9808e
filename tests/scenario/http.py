#!/usr/bin/python3
"""Goal of this test: no client can keep the API from others, or break it.

A byte a second ends; large headers and bodies are refused; what makes no
sense gets an error in JSON; a thousand idle clients cost nothing, and more of
them than there are places shut nobody out.
"""
import json
import resource
import select
import socket
import sqlite3
import threading
import time

import snap
from snap import LIMIT, MANIFEST, SCHEDULE, check, wait_for


def connect(world):
    s = socket.socket(socket.AF_UNIX)
    s.connect(world.socket)  # with a timeout it would not wait in the queue
    s.settimeout(LIMIT)
    return s


def read_all(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


def ask(world, method, path, body=b"", headers=()):
    """The status, and the JSON value of the reply."""
    s = connect(world)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close",
             f"Content-Length: {len(body)}", *headers, "", ""]
    s.sendall("\r\n".join(lines).encode() + body)
    data = read_all(s)
    s.close()
    head, _, text = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text)


def requests(world):
    world.start()
    for method, path, body, status, code in [
            ("GET", "/v1/runs", b"", 200, None),
            ("GET", "/v1/schedule/next?expression=0+0+*+*+*&count=2", b"",
             200, None),
            ("GET", "/v1/schedule/next?expression=%30%200+*+*+*", b"", 200,
             None),
            ("GET", "/v1/openapi.json", b"", 200, None),
            ("GET", "/v1/nothing", b"", 404, "not-found"),
            ("GET", "/", b"", 404, "not-found"),
            ("PATCH", "/v1/runs", b"", 400, "usage"),
            ("GET", "/v1/runs?nonsense=1", b"", 400, "usage"),
            ("GET", "/v1/runs?limit=-1", b"", 400, "usage"),
            ("GET", "/v1/runs?limit=1&limit=2", b"", 400, "usage"),
            ("GET", "/v1/runs?schedule=%00", b"", 400, "usage"),
            ("GET", "/v1/runs?schedule=%zz", b"", 400, "usage"),
            ("GET", "/v1/runs/7", b"", 404, "not-found"),
            ("GET", "/v1/runs/..%2f..%2fetc", b"", 400, "usage"),
            ("POST", "/v1/runs", b"", 400, "usage"),
            ("POST", "/v1/runs", b"{", 400, "usage"),
            ("POST", "/v1/runs", b"[]", 400, "usage"),
            ("POST", "/v1/runs", b'{"schedule":{}}', 400, "usage"),
            ("POST", "/v1/runs", b'{"schedule":"a","schedule":"b"}', 400,
             "usage"),
            ("POST", "/v1/runs", b'{"schedule":"a\\u0000b"}', 400, "usage"),
            ("POST", "/v1/runs", b'{"schedule":["a","b"]}', 400, "usage"),
            ("POST", "/v1/runs", b'{"schedule":"\xff"}', 400, "usage"),
            ("POST", "/v1/runs", b"[" * 100000, 400, "usage"),
            ("GET", "/v1/runs", b"{}", 400, "usage"),
            ("POST", "/v1/runs", b'{"schedule":"a"}', 404, "not-found"),
            # Numbers are texts; those with a point are none.
            ("POST", "/v1/runs", b'{"schedule":7}', 404, "not-found"),
            ("POST", "/v1/runs", b'{"schedule":7.5}', 400, "usage")]:
        got, value = ask(world, method, path, body)
        check(got == status, (method, path, body[:40], got, value))
        if code:
            check(value["error"]["code"] == code, value)
    applied = ask(world, "POST", "/v1/apply", json.dumps(
        {"file": {"name": "web.yaml", "text": MANIFEST % (world.root, 1)},
         "dry-run": True}).encode())
    check(applied[0] == 200 and len(applied[1]) == 2, applied)
    wrong = ask(world, "POST", "/v1/apply", json.dumps(
        {"file": {"text": "kind: 1", "name": "web.yaml"}}).encode())
    check(wrong[0] == 400 and "web.yaml:1:" in wrong[1]["error"]["message"],
          wrong)
    world.stop()


def deep_and_long(world):
    """What a body holds is counted before anything is made of it."""
    world.start()
    for body, status, told in [
            (b'{"schedule":' + b"[" * 9 + b"]" * 9 + b"}", 400, "deeper"),
            (b'{"schedule":' + b'{"a":' * 9 + b"1" + b"}" * 9 + b"}", 400,
             "deeper"),
            (b'{"x":[' + b"1," * 300000 + b"1]}", 400, "more than"),
            (b'{"schedule":[' + b"[]," * 300000 + b"[]]}", 400, "more than"),
            # In a text they are letters.
            (b'{"schedule":"\\"' + b"[,{" * 300000 + b'"}', 404, "[,{"),
            (b'{"schedule":"a', 400, "JSON")]:
        got, value = ask(world, "POST", "/v1/runs", body)
        check(got == status and told in value["error"]["message"],
              (body[:30], got, value))
    world.stop()


def a_long_reply(world):
    """One that is kept in a file until it is sent."""
    world.start()
    many = [{"id": f"{i:032x}", "time": "2026-01-02T03:04:05Z"}
            for i in range(5000)]
    got, value = ask(world, "POST", "/v1/policy/simulate", json.dumps(
        {"policy": {"name": "p", "text": '{"keep-last":-1}'},
         "snapshots": {"name": "s", "text": json.dumps(many)}}).encode())
    check(got == 200 and len(json.dumps(value)) > 256 << 10, got)
    check(sorted(x["id"] for x in value["keep"]) == [x["id"] for x in many] and
          value["delete"] == [], value["keep"][:2])
    world.stop()


def large_ones_at_once(world):
    """Few: each is kept in memory until it is whole."""
    world.start(SNAPCTL_REQUEST_TIMEOUT="1d")
    head = (b"POST /v1/policy/simulate HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 1000000\r\n\r\n")
    # More than there may be, each all but whole.
    peers = [connect(world) for _ in range(40)]
    for s in peers:
        s.sendall(head + b" " * 999_999)
    for s in peers:
        s.sendall(b" ")
    replies = [read_reply(s) for s in peers]
    refused = [r for r in replies if b" 503 " in r]
    check(refused and len(refused) < len(peers) and
          all(b"at once" in r for r in refused), replies[:3])
    check(all(b" 400 " in r for r in replies if r not in refused), replies)
    for s in peers:
        s.close()
    # Who is gone leaves room; small ones have it anyway.
    body = b" " * 1_000_000
    for _ in range(40):
        got, value = ask(world, "POST", "/v1/policy/simulate", body)
        check(got == 400, (got, value))
    world.stop()


def read_reply(s):
    """Head and body of one, on a connection that stays."""
    data = b""
    while not data.endswith(b"}}"):
        piece = s.recv(65536)
        check(piece, data)
        data += piece
    return data


def one_connection(world):
    """Several requests over one connection."""
    world.start()
    s = connect(world)
    for _ in range(3):
        s.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while b"}" not in data:
            data += s.recv(65536)
        check(b" 200 " in data and b"Snapctl-Version" in data, data)
    s.close()
    world.stop()


def too_large(world):
    world.start(SNAPCTL_REQUEST_BYTES="64K")
    status, value = ask(world, "POST", "/v1/apply", b"x" * 70000)
    check(status == 400 and "longer than" in value["error"]["message"], value)
    # The same without saying so beforehand.
    s = connect(world)
    s.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: x\r\n"
              b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for _ in range(9):
        s.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    s.sendall(b"0\r\n\r\n")
    check(b"too long" in read_all(s), "chunked")
    for line in (b"X: " + b"y" * 100000, b"X: y\r\n" * 20000):
        s = connect(world)
        try:
            s.sendall(b"GET /v1/runs HTTP/1.1\r\nHost: x\r\n" + line +
                      b"\r\n\r\n")
        except ConnectionError:
            pass
        check(b" 200 " not in read_all(s)[:40], "header")
    s = connect(world)
    try:
        s.sendall(b"GET /v1/" + b"y" * 100000 + b" HTTP/1.1\r\n\r\n")
    except ConnectionError:
        pass
    check(b" 200 " not in read_all(s)[:40], "line")
    world.answers()
    world.stop()


def trickle(s, first, byte):
    """Send a byte now and then until the other side has enough."""
    try:
        s.sendall(first)
        while True:
            s.sendall(byte)
            time.sleep(0.1)
    except OSError:
        s.close()


def sip(s):
    """Ask for much, and take it byte by byte until the other side is gone:
    what it had sent by then can be read for long."""
    gone = select.poll()
    gone.register(s, 0)
    s.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
    while not gone.poll(10) and s.recv(1):
        pass
    s.close()


def a_byte_now_and_then(world):
    world.start(SNAPCTL_REQUEST_TIMEOUT="1s")
    for first, byte in [
            (b"", b"G"), (b"GET /v1/runs HTTP/1.1\r\nX: ", b"y"),
            (b"POST /v1/apply HTTP/1.1\r\nHost: x\r\n"
             b"Content-Length: 9999\r\n\r\n", b"z")]:
        s = connect(world)
        t = threading.Thread(target=trickle, args=(s, first, byte),
                             daemon=True)
        t.start()
        t.join(LIMIT)
        check(not t.is_alive(), f"still served: {first!r}")
    # A long reply, a byte now and then; and one that nobody reads.
    s = connect(world)
    t = threading.Thread(target=sip, args=(s,), daemon=True)
    t.start()
    t.join(LIMIT)
    check(not t.is_alive(), "still sent to")
    s = connect(world)
    s.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    wait_for("the end of a client that does not read",
             lambda: closed(s))
    world.answers()
    world.stop()


def closed(s):
    s.settimeout(0.1)
    try:
        s.sendall(b"x" * 1000)
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def a_silent_peer(world):
    """Who does not ask is let go, however long a request may take."""
    world.start(SNAPCTL_REQUEST_TIMEOUT="1d")
    asked = b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n"
    peers = [(first, connect(world)) for first in
             (b"", b"GET /v1/runs HTTP/1.1\r\nX: ", asked)]
    for first, s in peers:
        s.sendall(first)
    for first, s in peers:
        check((b" 200 " in read_all(s)) == (first == asked), first)
        s.close()
    world.answers()
    world.stop()


def crowded(world, idle, **env):
    """Many idle clients, and a hundred that work; the timetable goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    world.set_clock((10 - time.time() % 60) % 60)
    world.start(SNAPCTL_REQUEST_TIMEOUT="1d", **env)
    world.apply(MANIFEST % (world.root, 1) +
                SCHEDULE % ("nightly", "* * * * *", ""))
    silent = [connect(world) for _ in range(idle)]
    right, wrong = [], []
    world.set_clock(world.shift + 60)

    def busy():
        try:
            for _ in range(10):
                got = ask(world, "GET", "/v1/runs")
                (right if got[0] == 200 else wrong).append(got)
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=busy, daemon=True) for _ in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LIMIT)
    check(not wrong and len(right) == 1000,
          f"{len(right)} right, {len(wrong)} wrong: {wrong[:3]}")
    wait_for("a run, in time", lambda: world.ledger() and
             world.ledger()[0][1] == "succeeded")
    for s in silent:
        s.close()
    world.stop()


def a_thousand_idle(world):
    crowded(world, 1000)


def more_idle_than_places(world):
    crowded(world, 200, SNAPCTL_REQUEST_CONNECTIONS="64")


def few_files(world):
    """Connections leave descriptors for the catalog and for runs."""
    world.start(["prlimit", "--nofile=160:160"], SNAPCTL_REQUEST_TIMEOUT="1d")
    check("limit of open files" in open(world.path("log")).read(), "told")
    silent = [connect(world) for _ in range(100)]
    world.apply(MANIFEST % (world.root, 1) +
                SCHEDULE % ("nightly", "0 0 1 1 *", ""))
    run = str(world.json("run", "start", "nightly")["id"])
    wait_for("the run", lambda: world.json("run", "show", run)["state"] ==
             "succeeded")
    # No number is so large that it becomes a small one.
    for limit, n in (1, 1), ((1 << 32) + 1, 2), ((1 << 63) - 1, 2):
        got = ask(world, "GET", f"/v1/audit?limit={limit}")
        check(got[0] == 200 and len(got[1]) >= n and (n > 1 or
              len(got[1]) == n), (limit, got))
    for s in silent:
        s.close()
    world.stop()


POLICY = """\
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: p%d}
spec: {retention: {keep-last: 3}}
"""


def a_locked_catalog(world):
    """Who writes the catalog for long keeps a crowd of writers waiting, who
    are told so; but no reader, and nothing of the timetable."""
    world.set_clock((10 - time.time() % 60) % 60)
    world.start()
    world.apply(MANIFEST % (world.root, 1) +
                SCHEDULE % ("nightly", "* * * * *", ""))
    wait_for("a run", lambda: world.ledger()[:1] and
             world.ledger()[0][1] == "succeeded")
    answers, reads = {}, []

    def write(n):
        body = {"file": {"name": "p.yaml", "text": POLICY % n}}
        try:
            answers[n] = ask(world, "POST", "/v1/apply",
                             json.dumps(body).encode())
        except Exception as e:
            answers[n] = 0, e

    def all_write():
        answers.clear()
        threads = [threading.Thread(target=write, args=(n,), daemon=True)
                   for n in range(100)]
        for t in threads:
            t.start()
        return threads

    other = sqlite3.connect(world.path("state/catalog.db"),
                            isolation_level=None, timeout=LIMIT)
    other.execute("BEGIN IMMEDIATE")
    writers = all_write()
    world.set_clock(world.shift + 60)
    while any(t.is_alive() for t in writers):
        reads.append(ask(world, "GET", "/v1/runs")[0])
    check(set(reads) == {200} and len(reads) >= 10, reads[:20])
    check(len(answers) == 100 and all(
        status == 503 and "another process is writing" in
        value["error"]["message"] for status, value in answers.values()),
        list(answers.values())[:3])
    other.execute("ROLLBACK")
    other.close()
    wait_for("what was due meanwhile", lambda: len(
        [o for o in world.ledger() if o[1] == "succeeded"]) > 1)
    for t in all_write():
        t.join(LIMIT)
    check(all(a[0] == 200 for a in answers.values()), answers)
    check(len(ask(world, "GET", "/v1/resources/Policy")[1]) == 100, "policies")
    world.stop()


snap.tell(requests, deep_and_long, a_long_reply, large_ones_at_once,
          one_connection, too_large, a_byte_now_and_then,
          a_silent_peer, a_thousand_idle, more_idle_than_places, few_files,
          a_locked_catalog)
