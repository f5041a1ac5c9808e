"""Test programs run with a mutant chosen, so that none can do harm.

Each runs in a session and, for root, a mount namespace of its own, with limits
on memory, the size of files and time, and in a scratch folder in memory.
"""
import concurrent.futures
import hashlib
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

MUTANTS_MAX = 1 << 16
MEMORY = "/dev/shm"
# No test needs more; sanitizers reserve address space without end.  Files may
# be sparse: what they really take is watched.
ADDRESS_BYTES = 8 << 30
FILE_BYTES = 1 << 44
# What the scratch folders leave of the machine's memory.
SPARE_BYTES = 4 << 30
# Killed after that many times its own time and some seconds.
TIMES, SECONDS = 10, 5


def confining():
    """A prefix: mounts of its own, for who may have them."""
    prefix = ["unshare", "--mount", "--"]
    p = subprocess.run([*prefix, "true"], capture_output=True)
    return prefix if p.returncode == 0 else []


class Trials:
    def __init__(self, programs, args, slower, memory):
        """
        slower: how many times slower than natively these tests are; memory: a
        folder that remembers what programs reach, as long as they stay so.
        """
        self.tests = {}     # each case of each program, by its name
        self.reached = {}   # bytes, not 0 where it reaches the mutant
        self.jobs, self.slow = args.jobs, args.slow * slower
        self.most = args.most * slower if args.most else math.inf
        self.sanitized = slower > 1
        self.prefix = confining()
        self.left_out = {}  # why, by the case's name
        self.noticed = {}   # how often, by (file, case's name)
        self.lock = threading.Lock()
        self.until = math.inf  # begin no program after that
        self.memory = memory
        os.makedirs(memory, exist_ok=True)
        for program in programs:
            digest = self.digest(program)
            called = program["name"] if program["story"] else \
                os.path.basename(program["targets"][0])
            for case in self.cases(program):
                name = f"{called}:{case}"
                self.tests[name] = {**program, "name": name, "case": case,
                                    "digest": digest}

    @staticmethod
    def digest(program):
        """Of all that it consists of; a story's script is one of these."""
        digest = hashlib.sha256()
        for path in (*program["files"], *program["cmd"]):
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    digest.update(
                        hashlib.file_digest(f, "sha256").digest())
        return digest.digest()

    def cases(self, program):
        """What can be run alone; a program of another frame is one case."""
        if any(s.split(":")[-1] == "fuzz" for s in program["suite"]):
            return ["all"]
        told = subprocess.run(
            program["cmd"], env={**os.environ, **program["env"],
                                 "SNAPCTL_TEST_CASE": ""},
            capture_output=True, text=True, timeout=600)
        return [line[5:] for line in told.stdout.split("\n")
                if line.startswith("case ")] or ["all"]

    # ---- One program ------------------------------------------------------

    def command(self, test):
        limits = ["prlimit", "--core=0", f"--fsize={FILE_BYTES}"]
        if not self.sanitized:
            limits.append(f"--as={ADDRESS_BYTES}")
        return [*self.prefix, *limits, "--", *test["cmd"]]

    def environment(self, test, folder):
        env = {**os.environ, "TMPDIR": folder, "SNAPCTL_TEST_MEMORY": folder,
               "CK_FORK": "no", "LC_ALL": "C.UTF-8",
               "UBSAN_OPTIONS": "halt_on_error=1",
               "MALLOC_PERTURB_": "165", "SNAPCTL_TEST_CASE": test["case"],
               **test["env"]}
        if env["SNAPCTL_TEST_MEMORY"]:
            env["SNAPCTL_TEST_MEMORY"] = folder
        return env

    def run(self, test, limit, **more):
        """Its status, None after the limit, seconds, and those of the
        processor."""
        folder = tempfile.mkdtemp(prefix="snapctl-mutate-", dir=MEMORY)
        os.chmod(folder, 0o755)  # some tests become nobody
        mark = {"SNAPCTL_MUTATE_RUN": folder}
        begun = time.monotonic()
        child = subprocess.Popen(
            self.command(test), cwd=test["workdir"] or folder,
            env={**self.environment(test, folder), **mark, **more},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            status, used = self.wait(child, begun + limit)
        finally:
            self.end(child, folder)
        return status, time.monotonic() - begun, used

    @staticmethod
    def wait(child, end):
        pause = 0.002
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return child.returncode, usage.ru_utime + usage.ru_stime
            free = os.statvfs(MEMORY)
            if time.monotonic() > end or \
               free.f_bavail * free.f_frsize < SPARE_BYTES:
                return None, 0
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    @staticmethod
    def end(child, folder):
        """It and all that it started, also what left its session."""
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        regular = child.wait() == 0
        mark = f"SNAPCTL_MUTATE_RUN={folder}".encode()
        for pid in () if regular else filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if mark in f.read().split(b"\0"):
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(folder, ignore_errors=True)

    # ---- All that reach a mutant -------------------------------------------

    def record(self):
        """Run each case with no mutant: its seconds, and what it reaches."""
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            os.chmod(folder, 0o711)  # some programs are run as nobody
            with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
                for _ in pool.map(lambda t: self.record_one(folder, t),
                                  self.tests.values()):
                    pass
        for name, why in sorted(self.left_out.items()):
            print(f"left out: {name}: {why}", file=sys.stderr)

    def remembered(self, test):
        """Whether it was run before, when its program was the same."""
        try:
            with open(os.path.join(self.memory, test["name"]), "rb") as f:
                digest, times, packed = f.read(32), f.read(16), f.read()
        except FileNotFoundError:
            return False
        if digest != test["digest"]:
            return False
        test["seconds"], test["used"] = struct.unpack("dd", times)
        self.reached[test["name"]] = zlib.decompress(packed)
        return True

    def remember(self, test):
        with open(os.path.join(self.memory, test["name"]), "wb") as f:
            f.write(test["digest"] +
                    struct.pack("dd", test["seconds"], test["used"]) +
                    zlib.compress(self.reached[test["name"]]))

    def record_one(self, folder, test):
        if not self.remembered(test) and not self.run_once(folder, test):
            return
        # A busy machine makes no test slow.
        if test["used"] > self.slow:
            self.left_out[test["name"]] = \
                f"it takes more than {self.slow:.0f} s"
            del self.reached[test["name"]]

    def run_once(self, folder, test):
        seen = os.path.join(folder, test["name"])
        with open(seen, "wb") as f:
            f.truncate(MUTANTS_MAX)
        os.chmod(seen, 0o666)
        status, test["seconds"], test["used"] = self.run(
            test, 5 * self.slow, SNAPCTL_MUTANTS_SEEN=seen)
        with open(seen, "rb") as f:
            reached = f.read()
        os.remove(seen)
        if status != 0:
            self.left_out[test["name"]] = \
                f"it takes more than {self.slow:.0f} s" if status is None \
                else f"it fails without a mutant, status {status}"
            return False
        self.reached[test["name"]] = reached
        self.remember(test)
        return True

    def reach(self, mutant):
        return [name for name, seen in self.reached.items()
                if seen[mutant["number"]]]

    def worth(self, mutant, name):
        """
        How soon a case notices such a mutant, as far as can be told: as it
        noticed others of this file, or by what its program is called.
        """
        subject = os.path.basename(mutant["file"]).split(".")[0].split("_")[0]
        often = self.noticed.get((mutant["file"], name), 0) + \
            (0.5 if f"_{subject}" in name.split(":")[0] else 0.05)
        return often / (self.tests[name]["seconds"] + 0.05)

    def order(self, mutant):
        """Those first that notice much in little time; not more than --most."""
        seconds = 0
        for name in sorted(self.reach(mutant), reverse=True,
                           key=lambda name: self.worth(mutant, name)):
            seconds += self.tests[name]["seconds"]
            if seconds > self.most:
                return
            yield name

    def attempt(self, mutant):
        """Whether a case notices it, and which."""
        for name in self.order(mutant):
            status = self.status(self.tests[name],
                                 SNAPCTL_MUTANT=str(mutant["number"]))
            if status == "not begun":
                return "untried", None
            if status != 0:
                with self.lock:
                    at = mutant["file"], name
                    self.noticed[at] = self.noticed.get(at, 0) + 1
                return "noticed", name + (", timed out" if status is None
                                          else "")
        return "unnoticed", None

    def status(self, test, **mutant):
        """
        How it ended, None for too late.  On a busy machine it may be late, or
        fail, without any mutant: it has to do so twice, and without a mutant
        it has to be in time meanwhile.
        """
        limit = TIMES * test["seconds"] + SECONDS
        failed = False
        while time.monotonic() <= self.until:
            status, _, _ = self.run(test, limit, **mutant)
            if status is None:
                usual, seconds, _ = self.run(test, limit)
                if usual == 0 and seconds < limit / 4:
                    return None
            elif failed or status <= 0:
                return status
            else:
                failed = True
        return "not begun"
