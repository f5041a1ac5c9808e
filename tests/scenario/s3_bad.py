#!/usr/bin/python3
"""Goal of this test: what is wrong with an S3 region is said, at 03:00."""
import os
import socket
import threading

import snap
from s3_place import S3, FakeServer
from s3_world import begin, refused
from snap import check


def expect(world, status, *says, words=("snapshot", "list"), **env):
    refused(world, status, *words, says=says, **env)


def a_name_that_is_not_found(world):
    """It may be for a moment: tried again, and busy."""
    begin(world, world.path("disk"), S3())
    expect(world, 6, "cannot be reached", "after 3 tries", "try again",
           SNAPCTL_REPO="s3://backup/r1?endpoint=http://no-such.invalid")


class Portal:
    """Somebody in between who says yes to everything, in HTML."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    @staticmethod
    def serve(sock):
        with sock, sock.makefile("rb") as f:
            for first in iter(f.readline, b""):
                n = 0
                for line in iter(f.readline, b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        n = int(line.split(b":")[1])
                f.read(n)
                page = b"<html><body>Welcome to the hotel's network<br>"
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                             % len(page) +
                             (b"" if first.startswith(b"HEAD") else page))


def strangers(world):
    """Who answers is no S3 server: no damage, and nothing acknowledged."""
    begin(world, world.path("disk"), S3())
    portal = Portal()
    url = f"s3://backup/r1?endpoint=http://127.0.0.1:{portal.port}"
    for words in (("snapshot", "list"), ("snapshot", "create", world.tree),
                  ("repo", "check")):
        expect(world, 1, "no S3 server", "log-in page", words=words,
               SNAPCTL_REPO=url)
    refused(world, 4, "repo", "init", url, "--key-file",
            world.path("never.key"), says=["the server's list makes no sense",
                                           '"html" instead of'])
    check(not os.path.exists(world.path("never.key")), "a key for nothing")
    portal.listener.close()


def a_put_that_nobody_stored(world):
    """A reply of 200 that no S3 server gave acknowledges nothing."""
    with FakeServer(buckets=["backup"]) as s3:
        begin(world, s3.url("backup", "r1"), s3)
        s3.fault("no_etag", "PutObject PUT backup/r1/snapshots", every=1)
        expect(world, 1, "no S3 server",
               words=("snapshot", "create", world.tree))


snap.tell(a_name_that_is_not_found, strangers, a_put_that_nobody_stored)
