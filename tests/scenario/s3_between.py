#!/usr/bin/python3
"""Goal of this test: what stands before an S3 server changes nothing.

A front that speaks HTTP/2 (nghttpx of Debian's nghttp2-proxy), as most
services have, which ends in the middle and comes back; and a proxy that makes
tunnels, as companies have, with its own name and password.
"""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import snap
from s3_place import PYTHON, S3, SUPPORT, Child, FakeServer, free_port
from s3_world import (MIB, begin, create, keep, refused, restored, spawn,
                      write)
from snap import LIMIT, check, wait_for

USER, PASSWORD = "keeper", "hush-of-the-proxy"
NGHTTPX = "/usr/sbin/nghttpx"


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Http2(S3):
    """nghttpx before one of our servers: https and HTTP/2 at its front."""

    scheme = "https"

    def __init__(self, world, s3):
        self.world, self.behind = world, s3
        self.port = free_port()
        self.id, self.secret = s3.id, s3.secret
        self.ca = world.path("tls/ca.pem")
        self.log = world.path("front.log")
        self.start()

    def start(self):
        # One protocol at the front: a client that speaks none fails.
        wait_for("the port of the front before", lambda: is_free(self.port))
        self.child = subprocess.Popen(
            [NGHTTPX, "--conf=/dev/null", f"-f127.0.0.1,{self.port}",
             f"-b127.0.0.1,{self.behind.port}", "--npn-list=h2",
             "--workers=1", "--no-ocsp", "--accesslog-file=" + self.log,
             "--accesslog-format=$alpn $status $request",
             "--errorlog-file=" + self.world.path("front.errors"),
             "--frontend-http2-max-concurrent-streams=8",
             self.world.path("tls/good.key"), self.world.path("tls/good.pem")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for("the front", lambda: self.call(
            "GET", "/backup", "list-type=2").status == 200, child=self.child)

    def stop(self):
        # The one that listens is a child of it, and outlives it by a little.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def protocols(self):
        with open(self.log, encoding="utf-8") as f:
            return [line.split()[0] for line in f]


def needs_nghttpx():
    if not os.path.exists(NGHTTPX):
        print("skipped: there is no nghttpx (package nghttp2-proxy)")
        sys.exit(77)


def certificates(world):
    os.mkdir(world.path("tls"))
    subprocess.run([PYTHON, "-B", os.path.join(SUPPORT, "tls_material.py"),
                    world.path("tls")], check=True, timeout=LIMIT)


def by_http2(world):
    """The story over one connection with many requests at once."""
    certificates(world)
    with FakeServer(buckets=["backup"]) as s3, Http2(world, s3) as front:
        begin(world, front.url("backup", "r1"), front, big=70 * MIB)
        first = create(world)
        before = keep(world, "before")
        write(os.path.join(world.tree, "new"), 3 * MIB, 7)
        create(world)
        restored(world, first["snapshot"], before)
        restored(world, "latest")
        world.run("repo", "check", "--read-data")
        world.run("snapshot", "delete", first["snapshot"])
        world.run("repo", "gc", "--grace", "0s")
        restored(world, "latest")
        told = front.protocols()
        check(len(told) > 100 and set(told) == {"h2"}, set(told))
        check(s3.control("counts")["operations"]["UploadPart"] >= 8, "parts")


def a_front_that_ends(world):
    """In the middle of an upload, of a restore: what is tried again is."""
    certificates(world)
    with FakeServer(buckets=["backup"]) as s3, Http2(world, s3) as front:
        begin(world, front.url("backup", "r1"), front, big=40 * MIB)
        s3.fault("hang", "UploadPart", seconds=1, next=4)
        doing = spawn(world, "snapshot", "create", world.tree, "--json")
        wait_for("a part", lambda: s3.control("faults")[-1]["struck"],
                 child=doing)
        front.stop()
        front.start()
        out, err = doing.communicate(timeout=LIMIT)
        check(doing.returncode == 0, (doing.returncode, out, err))
        s3.control("clear")
        # One that says that it goes (GOAWAY), and takes nothing new.
        s3.fault("hang", "GetObject", seconds=1, next=8)
        to = world.path("out")
        doing = spawn(world, "restore", f"latest:{world.tree}", "--to", to)
        wait_for("a read", lambda: s3.control("faults")[-1]["struck"],
                 child=doing)
        front.child.send_signal(signal.SIGQUIT)
        front.child.wait(LIMIT)
        front.start()
        out, err = doing.communicate(timeout=LIMIT)
        check(doing.returncode == 0, (doing.returncode, out, err))
        s3.control("clear")
        restored(world, "latest")
        world.run("repo", "check", "--read-data")
        # Of one that began, its answer being lost, nothing more was sent.
        check(not any(u["parts"] for u in s3.control("uploads")),
              s3.control("uploads"))


class Tunnels(Child):
    """connect_proxy.py, and what it was asked for."""

    def __init__(self, *words):
        self.start("connect_proxy.py", *words)
        self.port = self.told("port")
        os.set_blocking(self.child.stdout.fileno(), False)

    def asked(self):
        """(status, "host:port") of each since the last call."""
        text = b""
        try:
            text = os.read(self.child.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            pass
        return [tuple(line.split()) for line in text.decode().splitlines()]


def by_a_tunnel(world):
    """The proxy is asked for the server, and sees nothing else of it."""
    certificates(world)
    with FakeServer(buckets=["backup"], tls=(world.path("tls"), "good")) as s3,\
            Tunnels("--user", f"{USER}:{PASSWORD}") as proxy:
        url = s3.url("backup", "r1")
        begin(world, url, s3, big=20 * MIB, init=False)
        world.env.update(
            no_proxy="",
            https_proxy=f"http://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}")
        world.run("repo", "init", url, *world.key)
        create(world)
        restored(world, "latest")
        world.run("repo", "check", "--read-data")
        told = proxy.asked()
        check(told and set(told) == {("200", f"127.0.0.1:{s3.port}")},
              set(told))
        wrong = dict(https_proxy=f"http://{USER}:no@127.0.0.1:{proxy.port}")
        said = refused(world, 7, "snapshot", "list", **wrong,
                       says=["wants credentials of its own", "https_proxy"])
        check("407" in {s for s, _ in proxy.asked()}, "it let us in")
        # A server that the proxy's tunnel leads to is still to be trusted.
        bad = re.sub(r"ca=[^&]*", "ca=" + world.path("tls/stranger.pem"), url)
        said += refused(world, 7, "snapshot", "list", SNAPCTL_REPO=bad,
                        says=["certificate"])
        port = free_port()
        said += refused(world, 6, "snapshot", "list", https_proxy=(
            f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"),
            says=["cannot be reached", "try again"])
        check(PASSWORD not in said, said)
        proxy.asked()
        restored(world, "latest", no_proxy="127.0.0.1")
        check(proxy.asked() == [], "it went by the proxy")


needs_nghttpx()
snap.tell(by_http2, a_front_that_ends, by_a_tunnel)
