"""What one command costs: time, processor, memory, bytes, system calls.

A command runs in a session of its own, so that all of it can be ended, and
stays a zombie until its account in /proc is read.  What Linux adds up for a
process holds its children, too, once they were waited for.
"""
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SAMPLE_SECONDS = 0.02
SAID_BYTES = 4096  # of what a command that failed said last

# Measures, their units, and how several runs of one step become one figure.
MEASURES = {
    "wall": ("s", sum),  # until all of it is on the disk (sync)
    "cpu": ("s", sum),
    "anon": ("MiB", max),  # anonymous memory, sampled
    "peak": ("MiB", max),  # all memory, mapped files included, sampled
    "maxrss": ("MiB", max),  # as wait4() tells; at least our own, from the fork
    "read": ("MB", sum),  # through system calls, pipes included
    "written": ("MB", sum),
    "disk_read": ("MB", sum),
    "disk_written": ("MB", sum),
    "syscalls": ("", sum),
    "stored": ("MB", max),
    "entries": ("", max),
}


class Trouble(Exception):
    """A command that did not do what it was to do."""


class Ended(KeyboardInterrupt):
    """Asked to end, by a signal."""


def end_by_signal() -> None:
    def end(*_: object) -> None:
        raise Ended
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)


def family(pid: int) -> list[int]:
    """A process and what descends from it."""
    found, at = [pid], 0
    while at < len(found):
        try:
            folder = f"/proc/{found[at]}/task"
            for task in os.listdir(folder):
                with open(f"{folder}/{task}/children",
                          encoding="ascii") as f:
                    found += [int(n) for n in f.read().split()]
        except (OSError, ValueError):
            pass
        at += 1
    return found


class Sampler(threading.Thread):
    """The most memory that a family of processes had at one time."""

    FIELDS = {"anon": re.compile(rb"^RssAnon:\s+(\d+)", re.M),
              "peak": re.compile(rb"^VmHWM:\s+(\d+)", re.M)}

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.most: dict[str, float] = {}

    def run(self) -> None:
        while True:
            self.look()
            if self.over.wait(SAMPLE_SECONDS):
                return

    def look(self) -> None:
        now: dict[str, float] = {}
        for pid in family(self.pid):
            try:
                with open(f"/proc/{pid}/status", "rb") as f:
                    text = f.read()
            except OSError:
                continue
            for key, field in self.FIELDS.items():
                found = field.search(text)
                if found:
                    now[key] = now.get(key, 0) + int(found[1]) / 1024
        for key, value in now.items():
            self.most[key] = max(value, self.most.get(key, 0))


def account(pid: int) -> dict[str, float]:
    """What the kernel noted of a process, which may be a zombie."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as f:
            io = dict(line.split(": ") for line in f)
    except (OSError, ValueError):
        return {}
    return {name: int(io[field]) / 1e6 for name, field in (
        ("read", "rchar"), ("written", "wchar"),
        ("disk_read", "read_bytes"), ("disk_written", "write_bytes"))
        if field in io}


def end_group(child: subprocess.Popen) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def wait_for(child: subprocess.Popen, limit: float) -> None:
    """Until it is a zombie, or the limit is over."""
    alarm = threading.Timer(limit, lambda: os.killpg(child.pid,
                                                     signal.SIGKILL))
    alarm.daemon = True
    alarm.start()
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    finally:
        alarm.cancel()


def run(argv: list[str], env: dict[str, str], *, cwd: str = "/",
        good: tuple[int, ...] = (0,), limit: float = 6 * 3600,
        ) -> tuple[dict[str, float], str]:
    """Run a command and sync: its figures, and what it printed."""
    os.sync()  # what others wrote is not on its bill
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        begun = time.monotonic()
        try:
            child = subprocess.Popen(argv, env=env, cwd=cwd, stdout=out,
                                     stderr=said, stdin=subprocess.DEVNULL,
                                     start_new_session=True)
        except OSError as e:
            raise Trouble(f"cannot start {argv[0]}: {e.strerror}") from e
        try:
            sampler = Sampler(child.pid)
            sampler.start()
            wait_for(child, limit)
            figures = account(child.pid)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            os.sync()
            figures["wall"] = time.monotonic() - begun
            sampler.over.set()
            sampler.join()
        finally:
            if child.returncode is None:
                end_group(child)
        figures |= sampler.most
        figures["cpu"] = usage.ru_utime + usage.ru_stime
        figures["maxrss"] = usage.ru_maxrss / 1024
        if child.returncode not in good:
            raise Trouble(complaint(child.returncode, said))
        out.seek(0)
        return figures, out.read().decode(errors="replace")


def complaint(code: int, said) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - SAID_BYTES))
    lines = said.read().decode(errors="replace").strip().splitlines()
    how = (f"exit status {code}" if code >= 0 else
           f"ended by {signal.Signals(-code).name}")
    return how + (f": {lines[-1].strip()[:200]}" if lines else "")


class Counter:
    """Counts system calls with perf, else with strace, else not at all."""

    def __init__(self) -> None:
        self.how = next((h for h in ("perf", "strace") if self._can(h)), None)

    def _can(self, how: str) -> bool:
        if not shutil.which(how):
            return False
        try:
            return self._count(how, ["true"], dict(os.environ), {}) > 0
        except Trouble:
            return False

    @staticmethod
    def _count(how: str, argv: list[str], env: dict[str, str],
               more: dict) -> float:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as told:
            front = {"perf": ["perf", "stat", "-x,", "-e",
                              "raw_syscalls:sys_enter", "-o", told.name, "--"],
                     "strace": ["strace", "-f", "-q", "-c", "-S", "name",
                                "-U", "calls,name", "-o", told.name]}[how]
            run([*front, *argv], env, **more)
            text = told.read()
        found = re.search(r"^(\d+),.*raw_syscalls" if how == "perf" else
                          r"^\s*(\d+) total", text, re.M)
        if not found:
            raise Trouble(f"{how} counted nothing")
        return float(found[1])

    def count(self, argv: list[str], env: dict[str, str],
              **more: object) -> float:
        assert self.how
        return self._count(self.how, argv, env, more)


def stored_mb(path: str) -> float:
    """What the files below a path take on the disk; links count once."""
    blocks, seen = 0, set()
    for folder, _, names in os.walk(path):
        for name in names:
            st = os.lstat(os.path.join(folder, name))
            if (st.st_dev, st.st_ino) not in seen:
                blocks += st.st_blocks
                if st.st_nlink > 1:
                    seen.add((st.st_dev, st.st_ino))
    return blocks * 512 / 1e6


def touch_memory(spare: int = 2 << 30) -> None:
    """Write to all memory that is free. A virtual machine gets a page from its
    host when it first uses it: on a new one whoever came first paid 1.2 s for
    each GB of files it wrote, and those after it nothing."""
    with open("/proc/meminfo", encoding="ascii") as f:
        found = dict(line.split(":", 1) for line in f)
    size = int(found["MemAvailable"].split()[0]) * 1024 - spare
    if size <= 0:
        return
    child = os.fork()
    if child == 0:
        step = 1 << 20
        try:
            with mmap.mmap(-1, size) as held:
                for at in range(0, size - step, step):
                    held[at:at + step] = b"\1" * step
        finally:
            os._exit(0)
    os.waitpid(child, 0)


# What set_aside() moved away, the oldest first, and the room that stays free.
_aside: list[str] = []
ROOM = 20 << 30
# For so long an ext4 without a journal tries an inode that was freed in vain;
# who wants figures in minutes does not wait.
AGING_SECONDS = 370
patient = False


def forgets_slowly(path: str) -> bool:
    """Whether it is on such a file system."""
    number = os.stat(path).st_dev
    try:
        name = os.path.basename(os.readlink(
            f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"))
    except OSError:
        return False
    try:
        journals = os.listdir("/proc/fs/jbd2")
    except OSError:
        journals = []
    return (os.path.isdir(f"/proc/fs/ext4/{name}") and
            not any(j.startswith(name + "-") for j in journals))


def rest_after_removing(path: str) -> None:
    """What was removed there must not slow down who is measured next."""
    if patient and forgets_slowly(path):
        print(f"bench: the disk needed room; waiting {AGING_SECONDS} s until "
              "what was removed slows down nobody", file=sys.stderr, flush=True)
        time.sleep(AGING_SECONDS)


def set_aside(path: str) -> None:
    """Out of the way, to be removed with the folder that it is in, or when the
    disk needs the room. Removed at once it would slow down whoever comes next:
    an ext4 without a journal tries each inode that was freed in the last
    minutes before it makes a new one (of a tree of 74,000 files a restore took
    3 s, and 19 s after three others were removed)."""
    if not os.path.lexists(path):
        return
    _aside.append(f"{path}.aside-{time.monotonic_ns()}")
    os.rename(path, _aside[-1])
    removed = 0
    # All of it at once, so that one rest does for all.
    full = shutil.disk_usage(os.path.dirname(path)).free < ROOM
    while _aside and full:
        removed += sum(1 + len(files) for _, _, files in os.walk(_aside[0]))
        remove(_aside.pop(0))
    # The few of a disk's image or of a repository are soon tried.
    if removed > 1000:
        rest_after_removing(os.path.dirname(path))


def remove(path: str) -> None:
    """rm, which is quicker than Python at a million files."""
    if os.path.lexists(path):
        subprocess.run(["chmod", "-R", "u+rwX", path], check=False,
                       stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", path], check=False)
