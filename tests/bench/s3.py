#!/usr/bin/python3
"""./dev bench s3 [FOLDER...]: snapctl and restic on the same S3 server.

Goal: time, memory, requests and bytes of a first snapshot, one without
changes, a restore and a check of all data, in turns; the same 20 ms away
(LATENCY_MS; tests/support/tcp_proxy.py), with a collection; then a second
region, and what it takes to have the tree back when the first one is gone.

Time and memory are of Ceph's gateway, which keeps all in memory, so that its
disk is out of the picture; requests and bytes are of our own test server, which
counts them, by TLS (in the clear restic signs in a way that it does not know).
Neither tool is told anything but where the repository is.  restic
has its cache in a new folder for the first snapshot, the restore and the check,
and as it is then for the second snapshot; snapctl has its own likewise.
"""
import copy
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", room) for room in
                ("scenario", "support")]
import s3_place  # noqa: E402
import tls_material  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
MEMORY = "/dev/shm"
LATENCY_MS = float(os.environ.get("LATENCY_MS", "20"))
BUCKET = "bench"


def measured(argv, env, place):
    """Seconds, and the most memory in MiB; what it says is thrown away."""
    began = time.monotonic()
    with open(os.path.join(place, "said"), "wb") as said:
        child = subprocess.Popen(argv, env=env, stdout=said, stderr=said,
                                 stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):
        with open(os.path.join(place, "said"), encoding="utf-8") as said:
            sys.exit(f"bench s3: {argv}: {child.returncode}\n{said.read()}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


class Snapctl:
    name = "snapctl"

    def __init__(self, program, server, place, prefix):
        self.place, self.server = place, server
        self.key = os.path.join(place, prefix + ".key")
        self.url = server.url(BUCKET, prefix)
        self.program = program
        self.cache()
        self.run("repo", "init", self.url, "--key-file", self.key)

    def cache(self):
        folder = os.path.join(self.place, "cache")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        self.env = {**os.environ, **self.server.env(),
                    "XDG_CACHE_HOME": folder, "SNAPCTL_CACHE": folder,
                    "HOME": folder}

    def run(self, *words):
        return measured([self.program, "-q", *words], self.env, self.place)

    def at(self, *words):
        return self.run(*words, "--repo", self.url, "--key-file", self.key)

    def snapshot(self, folders):
        return self.at("snapshot", "create", *folders)

    def restore(self, to):
        return self.at("restore", "latest", "--to", to)

    def check(self):
        return self.at("repo", "check", "--read-data")

    def collect(self):
        return self.at("repo", "gc")


class Restic:
    name = "restic"

    def __init__(self, program, server, place, prefix):
        self.place, self.server = place, server
        self.program = program
        self.prefix = prefix
        self.cache()
        self.run("init")

    def cache(self):
        folder = os.path.join(self.place, "rcache")
        shutil.rmtree(folder, ignore_errors=True)
        self.env = {**os.environ, **self.server.env(), "RESTIC_PASSWORD": "x",
                    "RESTIC_CACHE_DIR": folder, "RESTIC_REPOSITORY":
                    f"s3:{self.server.endpoint()}/{BUCKET}/{self.prefix}"}
        if self.server.ca:
            self.env["RESTIC_CACERT"] = self.server.ca

    def run(self, *words):
        return measured([self.program, "-q", *words], self.env, self.place)

    def snapshot(self, folders):
        return self.run("backup", *folders)

    def restore(self, to):
        return self.run("restore", "latest", "--target", to)

    def check(self):
        return self.run("check", "--read-data")

    def collect(self):
        return self.run("prune")


def restored(tool):
    """Into memory, where there is one: ext4 took ten seconds to find room in
    a folder from which as many files had just gone, whoever restored."""
    with tempfile.TemporaryDirectory(
            prefix="snapctl-s3-", dir=MEMORY if os.path.isdir(MEMORY)
            else "/var/tmp") as to:
        tool.cache()
        return tool.restore(to)


def story(tool, folders):
    """Each step's name and a function that does it."""
    def restore():
        return restored(tool)

    def check():
        tool.cache()
        return tool.check()
    yield "first", lambda: tool.snapshot(folders)
    yield "unchanged", lambda: tool.snapshot(folders)
    yield "restore", restore
    yield "check", check


def print_times(title, seen):
    print(title + ": seconds (lowest to highest), most MiB")
    for (step, name), got in sorted(seen.items(), key=str):
        seconds = [s for s, _ in got]
        print(f"  {step:10} {name:8} {statistics.median(seconds):7.2f} "
              f"({min(seconds):.2f} to {max(seconds):.2f})"
              f" {max(m for _, m in got):6.0f}")


def times(tools, folders, place):
    seen = {}
    with s3_place.Ceph(buckets=[BUCKET]) as server:
        for n in range(ROUNDS):
            for kind, program in tools:
                tool = kind(program, server, place, f"{kind.name}{n}")
                for step, act in story(tool, folders):
                    seen.setdefault((step, tool.name), []).append(act())
    print_times("on Ceph's gateway", seen)


def times_afar(tools, folders, place):
    """The same through a proxy that holds all back, half each way."""
    seen = {}
    with s3_place.Ceph(buckets=[BUCKET]) as server, \
            s3_place.Proxy(server.port) as proxy:
        proxy.control("set", latency=LATENCY_MS / 2000)
        far = copy.copy(server)
        far.port = proxy.port
        for n in range(ROUNDS):
            for kind, program in tools:
                tool = kind(program, far, place, f"{kind.name}{n}")
                for step, act in [*story(tool, folders),
                                  ("collect", tool.collect)]:
                    seen.setdefault((step, tool.name), []).append(act())
    print_times(f"on Ceph's gateway, {LATENCY_MS:g} ms away", seen)


def requests(tools, folders, place):
    print("on our own server, by TLS: requests, MB sent, MB received")
    os.mkdir(os.path.join(place, "tls"))
    tls_material.make(os.path.join(place, "tls"))
    with s3_place.FakeServer(buckets=[BUCKET], tls=(
            os.path.join(place, "tls"), "good")) as server:
        for kind, program in tools:
            tool = kind(program, server, place, kind.name)
            for step, act in story(tool, folders):
                server.control("counts", reset=True)
                act()
                got = server.control("counts")
                kinds = ", ".join(f"{n} {k}" for k, n in
                                  sorted(got["operations"].items()))
                print(f"  {step:10} {tool.name:8} "
                      f"{sum(got['operations'].values()):6} "
                      f"{got['bytes_in'] / 1e6:8.1f} "
                      f"{got['bytes_out'] / 1e6:8.1f}   {kinds}")


def regions(program, folders, place):
    """The first region is gone: from its loss to the restored tree."""
    with s3_place.Ceph(buckets=[BUCKET]) as first, \
            s3_place.Ceph(buckets=[BUCKET]) as second:
        tool = Snapctl(program, first, place, "first")
        taken, _ = tool.snapshot(folders)
        far = second.url(BUCKET, "second")
        tool.at("region", "add", "far", far)
        copied, _ = tool.at("replicate", "--to", far)
        first.script("down", first.folder)
        tool.url = far
        got, _ = restored(tool)
        print(f"two regions: snapshot {taken:.2f} s, copied {copied:.2f} s, "
              f"restored from the second {got:.2f} s after the first was gone")


def main():
    snapctl, restic, *folders = sys.argv[1:]
    folders = folders or ["/usr/include", "/usr/lib/gcc", "/usr/share/doc"]
    tools = [(Snapctl, snapctl)]
    if os.access(restic, os.X_OK):
        tools.append((Restic, restic))
    else:
        print("bench s3: there is no restic, going on without",
              file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="snapctl-s3-",
                                     dir="/var/tmp") as place:
        requests(tools, folders, place)
        times(tools, folders, place)
        times_afar(tools, folders, place)
        regions(snapctl, folders, place)


if __name__ == "__main__":
    main()
