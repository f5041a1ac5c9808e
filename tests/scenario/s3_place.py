"""S3 servers for the scenarios, and a bad network before them.

FakeServer is ours (tests/support/s3_server.py), Ceph is a real one, Proxy is
tests/support/tcp_proxy.py.  Each is to be used as

    with FakeServer(buckets=["b"]) as s3:
        world.run("--repo", s3.url("b", "home"), …, **s3.env())

so that it ends whatever happens.
"""
import hashlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from urllib.parse import quote

from snap import LIMIT, Failed, check

SUPPORT = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "support")
PYTHON = "/usr/bin/python3"
ID, SECRET = "AKIDTEST", "secrettest"


def tell(port, context, **words):
    """A word to a control path; its answer.

    By hand: http.py beside this file stands before Python's http.
    """
    body = json.dumps(words).encode()
    with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
        sock = context.wrap_socket(plain) if context else plain
        sock.sendall(b"POST /_control HTTP/1.1\r\nHost: localhost\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
                     % (len(body), body))
        reply = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    check(b" 200 " in head.split(b"\r\n")[0], f"{words}: {reply}")
    return json.loads(body)


class Child:
    """A program of tests/support that ends when our end of its input does."""

    def start(self, program, *words):
        self.child = subprocess.Popen(
            [PYTHON, "-B", os.path.join(SUPPORT, program), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self, word):
        """The number that it prints after a word."""
        line = self.child.stdout.readline().split()
        check(line[:1] == [word], f"it said {line}, not {word}")
        return int(line[1])

    def stop(self):
        self.child.stdin.close()
        try:
            self.child.wait(LIMIT)
        finally:
            self.child.kill()
            self.child.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


class Reply:
    """What a server answered."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def text(self, name):
        """Of the first element of that name; None without one."""
        rest = self.body.decode("utf-8", "replace").partition(f"<{name}>")[2]
        return rest.partition(f"</{name}>")[0] if rest else None

    def all(self, name):
        parts = self.body.decode().split(f"<{name}>")[1:]
        return [p.partition(f"</{name}>")[0] for p in parts]

    def said(self):
        """Status and error code, for comparison."""
        code = self.text("Code") if self.body[:300].find(b"<Error>") >= 0 \
            else None
        return self.status, code


class S3:
    """What our server and a real one have in common."""

    scheme, ca, region = "http", None, "us-east-1"
    id, secret, token = ID, SECRET, ""

    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def url(self, bucket, prefix="", **more):
        """As snapctl takes it; more parameters by name: class_, sse_key."""
        words = {"endpoint": self.endpoint(), "region": self.region}
        if self.ca:
            words["ca"] = self.ca
        words.update({n.rstrip("_").replace("_", "-"): v
                      for n, v in more.items()})
        return f"s3://{bucket}/{quote(prefix)}?" + "&".join(
            f"{n}={quote(str(v), safe='/:')}" for n, v in words.items())

    def env(self):
        """What snapctl needs in its environment, and what it must not have
        from the machine's."""
        env = {"AWS_ACCESS_KEY_ID": self.id, "no_proxy": "127.0.0.1,localhost",
               "AWS_SECRET_ACCESS_KEY": self.secret,
               "AWS_EC2_METADATA_DISABLED": "true"}
        if self.token:
            env["AWS_SESSION_TOKEN"] = self.token
        return env

    def call(self, method, path, query="", body=b"", *words, headers=(),
             signed=True, host=None, sha256_line=None):
        """A request by curl(1), which signs it without code of ours.

        path and query are as they are sent, the query in rising order; words
        are more arguments of curl's.  A Reply; its status is 0 when there was
        none.
        """
        url = f"{self.scheme}://{host or '127.0.0.1'}:{self.port}{path}" + \
            (f"?{query}" if query else "")
        send = ["curl", "-q", "-sS", "--path-as-is", "--globoff",
                "--noproxy", "*", "--max-time", str(LIMIT), "-D",
                "/dev/stderr", "-X", method]
        if method == "HEAD":
            send += ["--head", "-o", "/dev/null"]
        elif body or method in ("PUT", "POST"):
            send += ["--data-binary", "@-", "-H",
                     "Content-Type: application/octet-stream"]
        if self.ca:
            send += ["--cacert", self.ca]
        if signed:
            sha256_line = sha256_line or "x-amz-content-sha256: " + \
                hashlib.sha256(body).hexdigest()
            send += ["--aws-sigv4", f"aws:amz:{self.region}:s3",
                     "--user", f"{self.id}:{self.secret}", "-H",
                     sha256_line]
            if self.token:
                send += ["-H", "x-amz-security-token: " + self.token]
        for header in headers:
            send += ["-H", header]
        done = subprocess.run([*send, *words, url], input=body,
                              capture_output=True, check=False, timeout=LIMIT)
        return parsed(done)


def parsed(done):
    """A Reply of what curl wrote; the last head counts, but for 100."""
    head = done.stderr.decode("latin-1")
    complaint = [line for line in head.splitlines()
                 if line.startswith("curl: (")]
    heads = [h for h in head.split("\r\n\r\n") if h.startswith("HTTP/") and
             not h.startswith("HTTP/1.1 100")]
    if not heads:
        return Reply(0, {"curl": "".join(complaint)}, done.stdout)
    first, *lines = heads[-1].split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in
               (line.partition(":") for line in lines)}
    if complaint:
        headers["curl"] = complaint[0]
    return Reply(int(first.split()[1]), headers, done.stdout)


class FakeServer(S3, Child):
    """Ours; tls is a folder of tls_material.py and a name in it."""

    def __init__(self, *words, buckets=(), region="us-east-1", tls=None,
                 key=None):
        self.context = None
        if region != S3.region:
            self.region = region
        words = [*words, "--region", region]
        for bucket in buckets:
            words += ["--bucket", bucket]
        if key:
            self.id, self.secret, self.token = (key.split(":", 2) + [""])[:3]
            words += ["--key", key]
        if tls:
            folder, name = tls
            words += ["--tls-cert", os.path.join(folder, name + ".pem"),
                      "--tls-key", os.path.join(folder, name + ".key")]
            self.scheme, self.ca = "https", os.path.join(folder, "ca.pem")
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
        self.start("s3_server.py", *words)
        try:
            self.port = self.told("port")
        except BaseException:
            self.stop()
            raise

    def control(self, do, **words):
        """A word of its class Control."""
        return tell(self.port, self.context, do=do, **words)

    def fault(self, kind, match="", **words):
        """A rule of s3_faults.py."""
        return self.control("fault", kind=kind, match=match, **words)


def ceph_is_there():
    return subprocess.run([os.path.join(SUPPORT, "ceph_rgw.sh"), "have"],
                          check=False).returncode == 0


def free_port():
    """None of those that clients have: one of the other tests' could take it
    before who is told of it does."""
    for _ in range(100):
        port = random.randrange(10000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed("there is no free port")


class Ceph(S3):
    """A real server; without its packages the test is skipped."""

    def __init__(self, buckets=()):
        if not ceph_is_there():
            print("skipped: there is no Ceph (packages ceph-mon ceph-osd "
                  "radosgw)")
            sys.exit(77)
        self.root = tempfile.mkdtemp(prefix="snapctl-ceph-", suffix=".d")
        self.folder = os.path.join(self.root, "ceph")
        self.port = free_port()
        try:
            self.script("up", self.folder, str(self.port))
            for bucket in buckets:
                name, _, lock = bucket.partition(":")
                made = self.call("PUT", "/" + name, headers=[
                    "x-amz-bucket-object-lock-enabled: true"] if lock else [])
                check(made.status == 200, made.body)
        except BaseException:
            self.stop()
            raise

    def script(self, *words):
        done = subprocess.run([os.path.join(SUPPORT, "ceph_rgw.sh"), *words],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=LIMIT, check=False)
        check(done.returncode == 0, f"{words}: {done.stdout}{done.stderr}")

    def memory(self):
        """Bytes that its programs have resident, by name."""
        told = {}
        for name in ("mon", "osd", "rgw"):
            with open(os.path.join(self.folder, name + ".pid")) as f:
                pid = f.read().strip()
            with open(f"/proc/{pid}/status") as f:
                rss = next(line for line in f if line.startswith("VmRSS:"))
            told[name] = int(rss.split()[1]) * 1024
        return told

    def stop(self):
        try:
            if os.path.isdir(self.folder):
                self.script("down", self.folder)
        finally:
            shutil.rmtree(self.root)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


class Proxy(Child):
    """tcp_proxy.py before a server's port."""

    def __init__(self, port):
        self.start("tcp_proxy.py", "--to", str(port))
        try:
            self.port = self.told("port")
            self.control_port = self.told("control")
        except BaseException:
            self.stop()
            raise

    def control(self, do, **words):
        return tell(self.control_port, None, do=do, **words)
