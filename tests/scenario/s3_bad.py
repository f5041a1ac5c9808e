#!/usr/bin/python3
"""Goal of this test: what is wrong with an S3 region is said, at 03:00.

Each kind of bad input ends with the exit status of its kind, one sentence with
what is wrong, and one with what helps; a server that is ill or gone ends a
command within its limits; and credentials are in no message, no log, no list of
processes, no environment of a hook, and not in the catalog.
"""
import glob
import os
import signal
import socket
import sqlite3
import subprocess
import threading

import snap
from s3_place import PYTHON, S3, SUPPORT, FakeServer, Proxy
from s3_world import MIB, NOBODY, begin, create, refused, spawn, write
from snap import LIMIT, check, wait_for

SECRET, TOKEN = "hush-secret-5d1c", "hush-token-88ab"
KEY = f"AKIDTEST:{SECRET}:{TOKEN}"
ENVIRONMENT = "from the environment (AWS_ACCESS_KEY_ID)"


def no_secret(text, what):
    for secret in SECRET, TOKEN, "hush":
        check(secret not in text, f"{what}: {text[:300]}")


def expect(world, status, *says, words=("snapshot", "list"), **env):
    no_secret(refused(world, status, *words, says=says, **env), words)


# ---- who asks, and what is allowed -----------------------------------------

def credentials(world):
    with FakeServer(buckets=["backup"], key=KEY) as s3:
        begin(world, s3.url("backup", "r1"), s3)
        create(world)
        take = ("snapshot", "create", world.tree)
        s3.fault("error", "PutObject", every=1, code="AccessDenied")
        expect(world, 7, "cannot write object", "access denied",
               "(AccessDenied, request ", "needs s3:PutObject", "AKIDTEST",
               ENVIRONMENT, words=take)
        s3.control("clear")
        for operation, right in (("ListObjectsV2", "s3:ListBucket"),
                                 ("GetObject", "s3:GetObject")):
            s3.fault("error", operation, every=1, code="AccessDenied")
            expect(world, 7, "access denied", "needs " + right)
            s3.control("clear")
        s3.fault("error", every=1, code="ExpiredToken")
        expect(world, 7, "the temporary credentials have ended",
               "get new ones", ENVIRONMENT)
        s3.control("clear")
        expect(world, 7, "does not know the access key", "AKIDNOBODY is from",
               AWS_ACCESS_KEY_ID="AKIDNOBODY")
        expect(world, 7, "the secret key is not the one of the access key",
               "both must be of one pair", ENVIRONMENT,
               AWS_SECRET_ACCESS_KEY="hush-wrong")
        expect(world, 7, "does not know the session token", ENVIRONMENT,
               AWS_SESSION_TOKEN="hush-wrong")
        expect(world, 7, "there are no credentials for S3\n",
               "credentials=FILE", "~/.aws/credentials", "AWS_ACCESS_KEY_ID",
               **NOBODY)
        expect(world, 2, "AWS_ACCESS_KEY_ID is set, and "
               "AWS_SECRET_ACCESS_KEY is not", AWS_SECRET_ACCESS_KEY="")
        files(world, s3)


def files(world, s3):
    """Credentials in a file, and what may be wrong with it."""
    name = world.path("region.keys")

    def hold(text, mode=0o600):
        with open(name, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(name, mode)
    right = (f"[default]\naws_access_key_id = AKIDTEST\n"
             f"aws_secret_access_key = {SECRET}\n"
             f"aws_session_token = {TOKEN}\n")

    def with_it(status, *says, **more):
        expect(world, status, *says, **NOBODY,
               SNAPCTL_REPO=s3.url("backup", "r1", **{
                   "credentials": name, **more}))
    hold(right)
    world.run("snapshot", "list", **NOBODY, SNAPCTL_REPO=s3.url(
        "backup", "r1", credentials=name))
    hold(right, 0o644)
    with_it(7, "others may read it (mode 0644)", "chmod 600 " + name)
    hold(right)
    with_it(2, 'there are no keys of a profile "x"', profile="x")
    hold(right.replace(SECRET, "hush-wrong"))
    with_it(7, "the secret key is not the one", name)
    hold("hush-wrong\n")
    with_it(2, name, "line 1")
    os.unlink(name)
    with_it(5, name, "there is no such file")


# ---- where ------------------------------------------------------------------

def nowhere(world):
    with FakeServer(buckets=["backup"], key=KEY) as s3:
        begin(world, s3.url("backup", "r1"), s3)
        for words in ("snapshot", "list"), ("snapshot", "create", world.tree):
            expect(world, 5, "there is no such bucket", "snapctl makes none",
                   words=words, SNAPCTL_REPO=s3.url("no-bucket", "r1"))
        expect(world, 5, "there is no repository", "snapctl repo init",
               SNAPCTL_REPO=s3.url("backup", "r9"))
        s3.control("set", region="eu-west-3")
        expect(world, 2, 'in the region "eu-west-3", not in "us-east-1"',
               "write region=eu-west-3 into the region's URL")
        world.run("snapshot", "list", SNAPCTL_REPO=s3.url(
            "backup", "r1", region="eu-west-3"))
        s3.control("set", region="us-east-1")
        s3.fault("redirect", every=1, region="eu-west-9")
        expect(world, 2, '"eu-west-9"', "write region=eu-west-9")
        s3.control("clear")
        s3.control("set", shift=3600)
        expect(world, 7, "clock is", "behind the server's",
               "timedatectl, chronyc")
        s3.control("set", shift=-3600)
        expect(world, 7, "clock is 1h ahead of the server's")
        s3.control("set", shift=0)
        for code in "QuotaExceeded", "XMinioStorageFull":
            s3.fault("error", "PutObject", every=1, code=code)
            expect(world, 1, "used up" if "Quota" in code else "full", code,
                   "make room there and run it again",
                   words=("snapshot", "create", world.tree))
            s3.control("clear")
    expect(world, 6, "cannot be reached", "after 3 tries", "try again")


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
    refused(world, 1, "repo", "init", url, "--key-file",
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


def certificates(world):
    folder = world.path("tls")
    os.mkdir(folder)
    subprocess.run([PYTHON, "-B", os.path.join(SUPPORT, "tls_material.py"),
                    folder], check=True, timeout=LIMIT)
    for name, why in (("expired", "certificate has expired"),
                      ("wrong_host", "127.0.0.1"),
                      ("stranger", "unable to get local issuer"),
                      ("forged", "")):
        with FakeServer(buckets=["backup"], tls=(folder, name)) as s3:
            world.env.update(s3.env())
            refused(world, 7, "repo", "init", s3.url("backup", "r1"),
                    "--key-file", world.path("never.key"),
                    says=["is not to be trusted", why, "good today and for "
                          "this host", s3.ca])
            check(s3.control("counts")["operations"] == {}, "it was asked")
    with FakeServer(buckets=["backup"], tls=(folder, "good")) as s3:
        begin(world, s3.url("backup", "r1"), s3)
        create(world)
        ca, s3.ca = s3.ca, None
        bare = s3.url("backup", "r1")
        expect(world, 7, "is not to be trusted", "ca=FILE",
               SNAPCTL_REPO=bare)
        world.run("snapshot", "list", SNAPCTL_REPO=bare, AWS_CA_BUNDLE=ca)
        # Both ways of not being of one mind.
        expect(world, 6, "127.0.0.1",
               SNAPCTL_REPO=bare.replace("https:", "http:"))
    with FakeServer(buckets=["backup"]) as s3:
        expect(world, 6, "127.0.0.1", SNAPCTL_TEST_PATIENCE_MS="500",
               SNAPCTL_REPO=s3.url("backup", "r1").replace("http:",
                                                           "https:"))


# ---- a server that is ill ---------------------------------------------------

def ill(world):
    """Busy, silent, half dead: told within limits, and all at once here."""
    with FakeServer(buckets=["backup"], key=KEY) as s3, \
            FakeServer(buckets=["backup"], key=KEY) as slow, \
            Proxy(s3.port) as proxy:
        begin(world, s3.url("backup", "r1"), s3, big=9 * MIB)
        world.run("repo", "init", slow.url("backup", "r1"), "--key-file",
                  world.path("key2"))
        kept = create(world)["snapshot"]
        write(os.path.join(world.tree, "big"), 9 * MIB, 5)
        slow.fault("error", every=1, code="SlowDown")
        s3.fault("hang", "UploadPart|PutObject PUT backup/r1/data/", every=1)
        s3.fault("hang", "GetObject GET backup/r1/data/", every=1)
        away = s3.url("backup", "r1").replace(str(s3.port), str(proxy.port))
        proxy.control("set", black_hole=True)
        # Ctrl-C of those who wait for a server that says nothing.
        waiting = [spawn(world, "--json", *words,
                         SNAPCTL_TEST_PATIENCE_MS="3600000") for words in (
                   ("snapshot", "create", world.tree),
                   ("restore", kept, "--to", world.path("out")))]
        for n, child in enumerate(waiting):
            wait_for("both to wait", lambda: s3.control("faults")[n]["struck"],
                     child=child)
        for child in waiting:
            child.send_signal(signal.SIGINT)
        others = [(spawn(world, "snapshot", "list", SNAPCTL_REPO=slow.url(
                      "backup", "r1")), "asks for fewer requests"),
                  (spawn(world, "snapshot", "list", SNAPCTL_REPO=away,
                         SNAPCTL_TEST_PATIENCE_MS="500"),
                   "did not answer in time")]
        # Left alone, they would go on for far longer than this waits.
        for child in waiting:
            out, err = child.communicate(timeout=LIMIT)
            no_secret(out + err, "a message")
            check(child.returncode == 130, (child.returncode, out, err))
        for child, says in others:
            out, err = child.communicate(timeout=LIMIT)
            no_secret(out + err, "a message")
            check(child.returncode == 6 and says in err and "try again" in err,
                  (child.returncode, out, err))
        s3.control("clear")
        world.run("repo", "check", "--read-data")
        check(len(world.json("snapshot", "list")) == 1, "a snapshot")


# ---- credentials stay where they are ----------------------------------------

IN_URLS = ["s3://AKIDTEST:hush@backup/r1", "s3://backup/r1?secret=hush",
           "s3://backup/r1?endpoint=http://AKIDTEST:hush@127.0.0.1:9",
           "s3://backup/r1?aws_secret_access_key=hush",
           "s3://backup/r1?X-Amz-Signature=hush",
           "s3://backup/r1?session-token=hush"]

MANIFEST = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions: [{name: here, url: "%(url)s"}]
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc}
spec:
  type: files
  paths: ["%(root)s/tree"]
  hooks: [{when: before, argv: ["%(root)s/look"]}]
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [etc]}
  repository: main
  retries: 0
"""

# What begins a line with #! would be taken for a shell script by its linter.
LOOK = "#!/bin/sh" """
cd "$(dirname "$0")" || exit 1
env > seen.env
cat /proc/[0-9]*/cmdline > seen.arguments 2> /dev/null
exit 0
"""


def urls_hold_none(world):
    world.run("repo", "init", world.path("disk"), "--key-file",
              world.path("key"))
    world.env["SNAPCTL_KEY_FILE"] = world.path("key")
    for url in IN_URLS:
        for words in (["snapshot", "list", "--repo", url],
                      ["repo", "init", url, "--key-file", world.path("k")]):
            expect(world, 2, "holds no credentials", "credentials=/FILE",
                   words=words)
    world.start()
    for url in IN_URLS:
        expect(world, 2, "credentials", words=["apply", "-f", "-"],
               stdin=MANIFEST % {"root": world.root, "url": url})
    world.stop()
    in_no_file(world, ["hush"])


def in_no_file(world, secrets):
    """Neither in what the daemon keeps, nor in what it says."""
    names = [n for n in glob.glob(world.path("state/**"), recursive=True) +
             glob.glob(world.path("cache/**"), recursive=True) +
             glob.glob(world.path("seen.*")) + [world.path("log")]
             if os.path.isfile(n)]
    check(world.path("state/catalog.db") in names, names)
    for name in names:
        with open(name, "rb") as f:
            held = f.read()
        for secret in secrets:
            check(secret.encode() not in held, f"{secret} is in {name}")


def ended(world, number):
    row = world.json("run", "show", str(number))
    return row if row["state"] not in ("queued", "running") else None


def run_once(world, state):
    number = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, number))
    check(done["state"] == state, done)
    return done


def they_are_nowhere_else(world):
    """In a whole run, and in three that fail for their sake."""
    with FakeServer(buckets=["backup"]) as s3:
        # Not by an argument of the server's, where the hook would see it.
        s3.control("key", key=KEY)
        s3.secret, s3.token = SECRET, TOKEN
        begin(world, s3.url("backup", "r1"), s3, init=False)
        with open(world.path("look"), "w", encoding="utf-8") as f:
            f.write(LOOK)
        os.chmod(world.path("look"), 0o755)
        os.mkdir(world.path("keys"), 0o700)
        world.run("repo", "init", s3.url("backup", "r1"), "--key-file",
                  world.path("keys/main.key"))
        world.start()
        world.apply(MANIFEST % {"root": world.root,
                                "url": s3.url("backup", "r1")})
        run_once(world, "succeeded")
        check(os.path.getsize(world.path("seen.env")) > 0 and
              os.path.getsize(world.path("seen.arguments")) > 0, "it saw")
        s3.control("forget_key", id="AKIDTEST")
        failed = run_once(world, "failed")
        check("does not know the access key" in failed["message"], failed)
        s3.control("key", key="AKIDTEST:another:" + TOKEN)
        failed = run_once(world, "failed")
        check("the secret key is not the one" in failed["message"], failed)
        s3.control("key", key=KEY, ends=-5)
        failed = run_once(world, "failed")
        check("have ended" in failed["message"], failed)
        told = world.run("status") + world.run("run", "list") + world.run(
            "audit", "log")
        world.stop()
        in_no_file(world, [SECRET, TOKEN])
        no_secret(told, "what is told")
        # The access key's id is no secret, but the hook has no use for it.
        with open(world.path("seen.env"), encoding="utf-8") as f:
            check("AWS_" not in f.read(), "the hook's environment")
        with sqlite3.connect(world.path("state/catalog.db")) as db:
            dump = "\n".join(db.iterdump())
        no_secret(dump, "the catalog")
        check("endpoint=" in dump, "the catalog is not what was looked at")


# s3:ListBucket and the others that README names, as the server calls them.
README_RIGHTS = ("^(ListObjectsV2|HeadBucket|GetObject|HeadObject|PutObject|"
                 "CreateMultipartUpload|UploadPart|CompleteMultipartUpload|"
                 "DeleteObject|AbortMultipartUpload|ListMultipartUploads) ")


def with_no_more_rights(world):
    """In a bucket without versions nothing takes more than README says."""
    with FakeServer(buckets=["backup", "second"]) as s3:
        s3.control("key", key="AKIDFEW:few", may=README_RIGHTS)
        s3.id, s3.secret = "AKIDFEW", "few"
        begin(world, s3.url("backup", "r1"), s3, big=20 << 20)
        first = world.json("snapshot", "create", world.tree)["snapshot"]
        world.run("snapshot", "create", world.tree)
        world.run("snapshot", "delete", first)
        world.run("snapshot", "undelete", first)
        world.run("snapshot", "delete", first)
        world.run("hold", "add", "latest", "--case", "1")
        world.run("repo", "gc", "--grace", "0s")
        world.run("repo", "check", "--read-data", "--repair")
        far = s3.url("second", "r1")
        world.run("region", "add", "far", far)
        world.run("replicate", "--to", far)
        world.run("repo", "check", "--repo", far)
        world.run("restore", f"latest:{world.tree}", "--to",
                  world.path("back"))
        told = s3.control("counts")["operations"]
        check("ListObjectVersions" not in told, told)


snap.tell(with_no_more_rights, a_name_that_is_not_found, strangers, a_put_that_nobody_stored,
          credentials, nowhere, certificates, ill, urls_hold_none,
          they_are_nowhere_else)
