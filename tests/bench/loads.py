"""The data that is measured on, made from what any Debian machine has.

A load is made once below a folder, deterministically, and kept for the next
run: a stamp, written last, says that it is whole and with which parameters it
was made.  Loads that change have a state 0, which each round begins with, and
further ones, to which change() brings them in place, the way it would happen:
only what differs is written.
"""
import filecmp
import functools
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator

import measure

MB = 1 << 20
SEED = 20260101


class Missing(Exception):
    """A load that cannot be had on this machine, and why."""


def walk(paths: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    for top in paths:
        yield top, os.lstat(top)
        for folder, folders, names in os.walk(top):
            for name in folders + names:
                path = os.path.join(folder, name)
                try:
                    yield path, os.lstat(path)
                except OSError:
                    continue


def census(paths: list[str]) -> dict[str, int]:
    """What is counted to see that a restore brought everything back."""
    found = {"entries": 0, "files": 0, "bytes": 0}
    for _, st in walk(paths):
        found["entries"] += 1
        if stat.S_ISREG(st.st_mode):
            found["files"] += 1
            found["bytes"] += st.st_size
    return found


def warm(paths: list[str]) -> None:
    """Everything read once: whoever is first must not pay for the disk."""
    room = bytearray(MB)
    for path, st in walk(paths):
        if not stat.S_ISREG(st.st_mode):
            continue
        try:
            with open(path, "rb", buffering=0) as f:
                while f.readinto(room):
                    pass
        except OSError:
            continue  # the tools will say


def copy_data(source: str, target: str) -> None:
    """The bytes of a file, over another, with its holes."""
    with open(source, "rb") as f, open(target, "wb") as t:
        size, at = os.fstat(f.fileno()).st_size, 0
        os.truncate(t.fileno(), size)
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            while at < end:
                f.seek(at)
                block = f.read(min(MB, end - at))
                if not block:
                    return
                t.seek(at)
                t.write(block)
                at += len(block)


def same(a: str, b: str) -> bool:
    sa, sb = os.lstat(a), os.lstat(b)
    if stat.S_IFMT(sa.st_mode) != stat.S_IFMT(sb.st_mode):
        return False
    if stat.S_ISLNK(sa.st_mode):
        return os.readlink(a) == os.readlink(b)
    if not stat.S_ISREG(sa.st_mode):
        return True
    return sa.st_size == sb.st_size and filecmp.cmp(a, b, shallow=False)


def bring(target: str, source: str) -> int:
    """Make one tree like another; what is alike is not touched.  How many
    entries were written or removed."""
    done, wanted = 0, {os.path.relpath(p, source) for p, _ in walk([source])}
    have = {os.path.relpath(p, target) for p, _ in walk([target])}
    for name in sorted(have - wanted):
        path = os.path.join(target, name)
        if os.path.lexists(path):
            measure.remove(path)
            done += 1
    for name in sorted(wanted):
        a, b = os.path.join(source, name), os.path.join(target, name)
        if name in have and same(a, b):
            continue
        done += 1
        st = os.lstat(a)
        if os.path.lexists(b) and (
                stat.S_IFMT(os.lstat(b).st_mode) != stat.S_IFMT(st.st_mode)
                or os.path.islink(b)):
            measure.remove(b)
        if stat.S_ISDIR(st.st_mode):
            os.makedirs(b, exist_ok=True)
        elif stat.S_ISLNK(st.st_mode):
            os.symlink(os.readlink(a), b)
        elif stat.S_ISREG(st.st_mode):
            copy_data(a, b)
            os.chmod(b, stat.S_IMODE(st.st_mode))
    return done


class Load:
    """One load; `folder` is its own, below those that are kept."""

    name = ""
    made_as = ""  # the load whose data it is, if another's
    disk = False  # its one path is a disk, to be taken as such
    sparse = False
    changes = 0  # states after state 0

    def __init__(self, above: str, quick: bool, scale: float) -> None:
        self.quick, self.scale = quick, scale
        self.folder = os.path.join(above, (self.made_as or self.name) +
                                   ("-quick" if quick else ""))
        if scale != 1:
            self.folder += f"-{scale:g}"
        self.install = False
        self.what = ""
        self.made: dict = {}

    def of(self, full: int, quick: int) -> int:
        """A size, by the form of the benchmark; tests scale it down."""
        return max(1, int((quick if self.quick else full) * self.scale))

    # What a kind of load says of itself.

    def parameters(self) -> dict:
        return {}

    def need_gb(self) -> float:
        return 0

    def make(self, folder: str) -> None:
        """Make state 0 and what the others need, in an empty folder."""

    def paths(self) -> list[str]:
        return [os.path.join(self.folder, "data")]

    def to_state(self, n: int) -> None:
        """From any state; 0 <= n <= changes."""

    # What is the same for all.

    @property
    def stamp(self) -> str:
        return os.path.join(self.folder, "whole.json")

    def ready(self, fresh: bool) -> None:
        """Make it, unless it is there and whole.  Raises Missing."""
        try:
            with open(self.stamp, encoding="utf-8") as f:
                found = json.load(f)
            if not fresh and found["parameters"] == self.parameters():
                self.made = found["made"]
                return
        except (OSError, ValueError, KeyError):
            pass
        measure.remove(self.folder)
        os.makedirs(self.folder)
        free = shutil.disk_usage(self.folder).free / 1e9
        if free < self.need_gb() * self.scale:
            raise Missing(f"it needs {self.need_gb() * self.scale:.0f} GB, "
                          f"and {free:.0f} GB are free")
        try:
            self.make(self.folder)
        except BaseException:
            measure.remove(self.folder)
            raise
        with open(self.stamp + ".new", "w", encoding="utf-8") as f:
            json.dump({"parameters": self.parameters(), "made": self.made}, f)
        os.rename(self.stamp + ".new", self.stamp)

    def sample(self) -> str | None:
        """A small file in it, always the same."""
        for path, st in walk(self.paths()[:1]):
            if stat.S_ISREG(st.st_mode) and 0 < st.st_size < 4 * MB:
                return path
        return None


class System(Load):
    """Trees of the machine itself, as they are."""

    name = "usr"

    def parameters(self) -> dict:
        return {"paths": self.paths()}

    def need_gb(self) -> float:
        return 2 if self.quick else 25

    def paths(self) -> list[str]:
        tried = (["/usr/share/doc", "/usr/share/perl", "/usr/lib/python3",
                  "/usr/include"] if self.quick else
                 ["/usr/lib", "/usr/share"])
        return [p for p in tried if os.path.isdir(p)]

    def make(self, folder: str) -> None:
        if not self.paths():
            raise Missing("this machine has none of its folders")


class Own(System):
    """Folders that were named on the command line."""

    name = "own"
    given: list[str] = []

    def paths(self) -> list[str]:
        return self.given


WORDS = ("backup snapshot of the and that a file which was taken at night "
         "error warning info user admin request response 200 404 timeout "
         "server database table index value key name path size").split()


@functools.cache
def pool() -> str:
    return " ".join(random.Random(SEED).choices(WORDS, k=40_000))


def small_text(number: int, state: int) -> bytes:
    """10 to 2,000 bytes like those of settings, notes and logs."""
    r = random.Random(SEED + number * 16 + state)
    size = int(10 ** r.uniform(1, 3.301))
    text = f"{number}.{state} "
    while len(text) < size:
        at = r.randrange(len(pool()) - 400)
        text += f"{r.getrandbits(40):x} {pool()[at:at + 400]}\n"
    return text[:size].encode()


class Tiny(Load):
    """Tiny files in folders of a thousand; a change rewrites one in a hundred
    and adds and removes one in a thousand."""

    name = "tiny"
    changes = 1
    EACH = 1000

    def count(self) -> int:
        return self.of(1_000_000, 20_000)

    def parameters(self) -> dict:
        return {"count": self.count(), "seed": SEED}

    def need_gb(self) -> float:
        return 0.5 if self.quick else 20

    def path(self, number: int, extra: str = "") -> str:
        return (f"{self.folder}/data/{number // self.EACH:04}/"
                f"{number:07}{extra}.txt")

    def make(self, folder: str) -> None:
        for n in range(self.count()):
            if n % self.EACH == 0:
                os.makedirs(os.path.dirname(self.path(n)))
            write(self.path(n), small_text(n, 0))

    def to_state(self, n: int) -> None:
        for number in range(7, self.count(), 100):
            wanted = small_text(number, n)
            if read(self.path(number)) != wanted:
                write(self.path(number), wanted)
        for number in range(13, self.count(), 1000):
            here, new = self.path(number), self.path(number, "-new")
            for path, there in ((here, n == 0), (new, n == 1)):
                if there and not os.path.exists(path):
                    write(path, small_text(number, 0 if path == here else 2))
                elif not there and os.path.exists(path):
                    os.unlink(path)


def write(path: str, content: bytes) -> None:
    with open(path, "wb") as f:
        f.write(content)


def read(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()


class Versions(Load):
    """Whole states are kept beside the data, which is made like one of them
    in place."""

    def version(self, n: int) -> str:
        return os.path.join(self.folder, f"state{n}")

    def to_state(self, n: int) -> None:
        data = os.path.join(self.folder, "data")
        os.makedirs(data, exist_ok=True)
        bring(data, self.version(n))


class Image(Versions):
    """A raw disk image with holes: an ext4 with files in it; a change writes
    64 KiB at some places of what is written."""

    name = "image"
    sparse = True
    changes = 1
    SOURCES = ("/usr/include", "/usr/lib/python3", "/usr/share/perl",
               "/usr/share/i18n", "/usr/share/locale", "/usr/lib/gcc")

    def size_mb(self) -> int:
        return self.of(8192, 512)

    def parameters(self) -> dict:
        return {"mb": self.size_mb(), "seed": SEED}

    def need_gb(self) -> float:
        return 1 if self.quick else 12

    def make(self, folder: str) -> None:
        mkfs = shutil.which("mkfs.ext4", path=os.environ.get("PATH", "")
                            + ":/usr/sbin:/sbin")
        if not mkfs:
            raise Missing("there is no mkfs.ext4 (package e2fsprogs)")
        fill, room = os.path.join(folder, "fill"), self.size_mb() * MB // 4
        os.makedirs(fill)
        for source in self.SOURCES:
            if os.path.isdir(source) and census([source])["bytes"] < room:
                room -= 2 * census([source])["bytes"]
                subprocess.run(["cp", "-a", source, fill], check=False,
                               stderr=subprocess.DEVNULL)
        os.makedirs(self.version(0))
        image = os.path.join(self.version(0), "disk.img")
        write(image, b"")
        os.truncate(image, self.size_mb() * MB)
        done = subprocess.run(
            [mkfs, "-q", "-F", "-U", "c0ffee00-0000-4000-8000-000000000000",
             "-d", fill, image], capture_output=True, text=True, check=False)
        measure.remove(fill)
        if done.returncode:
            raise Missing("mkfs.ext4 said: " + done.stderr.strip()[-200:])
        os.makedirs(self.version(1))
        changed = os.path.join(self.version(1), "disk.img")
        copy_data(image, changed)
        self.scribble(changed)
        self.to_state(0)

    @staticmethod
    def scribble(image: str) -> None:
        r = random.Random(SEED)
        with open(image, "r+b") as f:
            size = os.fstat(f.fileno()).st_size
            for _ in range(40):
                at = r.randrange(size) & ~0xffff
                try:
                    at = os.lseek(f.fileno(), at, os.SEEK_DATA)
                except OSError:
                    continue  # only a hole follows
                f.seek(at)
                f.write(r.randbytes(min(65536, size - at)))


class Disk(Image):
    """The same as one stream: --type block, dd."""

    name = "disk"
    made_as = "image"
    disk = True

    def paths(self) -> list[str]:
        return [os.path.join(self.folder, "data", "disk.img")]


class Series(Versions):
    """Ten versions of a source tree, one snapshot each: of this project, when
    its history is here, else of the C headers with made-up edits."""

    name = "series"
    changes = 9
    house = os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))

    def commits(self) -> list[str]:
        try:
            done = subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", self.house, "rev-list",
                 "--first-parent", "--reverse", "HEAD"], capture_output=True,
                text=True, check=False)
        except OSError:
            return []
        found = done.stdout.split() if done.returncode == 0 else []
        if len(found) < 30 or self.scale < 1:
            return []
        # Of the newer half, whose tree has grown, and not of the newest: a
        # commit more must not make it another load.
        found = found[:len(found) // 50 * 50 or None]
        first = len(found) // 2
        return [found[first + (len(found) - 1 - first) * n // self.changes]
                for n in range(self.changes + 1)]

    def parameters(self) -> dict:
        return {"commits": self.commits(), "files": self.of(6000, 1500),
                "seed": SEED}

    def need_gb(self) -> float:
        return 2

    def make(self, folder: str) -> None:
        commits = self.commits()
        if commits:
            for n, commit in enumerate(commits):
                os.makedirs(self.version(n))
                self.unpack(commit, self.version(n))
            self.made["of"] = "this project's history"
        else:
            self.edited()
            self.made["of"] = "C headers with edits"
        self.to_state(0)

    def unpack(self, commit: str, folder: str) -> None:
        with subprocess.Popen(
                ["git", "-c", "safe.directory=*", "-C", self.house, "archive",
                 commit], stdout=subprocess.PIPE) as git:
            done = subprocess.run(["tar", "-x", "-C", folder],
                                  stdin=git.stdout, check=False)
        if done.returncode or git.returncode:
            raise Missing(f"git cannot give version {commit}")

    def edited(self) -> None:
        """Each version rewrites lines of one file in fifty, adds and removes
        some."""
        if not os.path.isdir("/usr/include"):
            raise Missing("there is neither a history nor /usr/include")
        files = sorted(p for p, st in walk(["/usr/include"])
                       if stat.S_ISREG(st.st_mode))[:self.of(6000, 1500)]
        for n in range(self.changes + 1):
            for i, path in enumerate(files):
                if i % 97 == n and n:
                    continue
                at = self.version(n) + path.removeprefix("/usr/include")
                os.makedirs(os.path.dirname(at), exist_ok=True)
                lines = read(path).splitlines(keepends=True)
                for k in range(1, n + 1):
                    if (i + k) % 50 == 0 and lines:
                        lines[(i * k) % len(lines)] = (
                            f"/* edit {k} of {i} */\n".encode())
                write(at, b"".join(lines))
            write(self.version(n) + f"/new{n}.h", small_text(n, 3))


class Random(Load):
    """What does not compress: random bytes, and files that are compressed."""

    name = "random"
    ENDS = (".gz", ".xz", ".bz2", ".zst", ".png", ".jpg", ".woff2", ".deb",
            ".whl", ".jar", ".zip")

    def parameters(self) -> dict:
        return {"mb": self.of(1024, 128), "seed": SEED}

    def need_gb(self) -> float:
        return 1 if self.quick else 8

    def make(self, folder: str) -> None:
        mb, data = self.of(1024, 128), self.paths()[0]
        os.makedirs(data + "/compressed")
        write_random(data + "/random", 0, mb)
        room, n = mb * MB // 4, 0
        for path, st in sorted(walk([
                p for p in ("/usr/share", "/usr/lib/python3")
                if os.path.isdir(p)])):
            if stat.S_ISREG(st.st_mode) and path.endswith(self.ENDS) \
               and 4096 < st.st_size < room and os.access(path, os.R_OK):
                # Names may be the same in several folders.
                name = hashlib.sha256(path.encode("utf-8", "surrogateescape"))
                copy_data(path, f"{data}/compressed/{name.hexdigest()[:8]}-"
                          + os.path.basename(path))
                room, n = room - st.st_size, n + 1
        self.made["compressed"] = n


def write_random(path: str, first_mb: int, count_mb: int) -> None:
    """Megabytes of a stream that is the same on each machine."""
    with open(path, "wb") as f:
        for n in range(first_mb, first_mb + count_mb):
            f.write(random.Random(SEED * 1000 + n).randbytes(MB))


class Growing(Load):
    """Data of several sizes: each state has the folders of the one before,
    and more, which are moved there."""

    unit = ""  # what is counted

    def points(self) -> list[int]:
        """How much there is in each state, in units, ascending."""
        raise NotImplementedError

    def folders(self, n: int) -> int:
        """How many folders that is."""
        raise NotImplementedError

    def fill(self, folder: str, number: int) -> None:
        raise NotImplementedError

    def parameters(self) -> dict:
        return {"points": self.points(), "seed": SEED}

    def make(self, folder: str) -> None:
        for n in range(self.folders(self.points()[-1])):
            os.makedirs(f"{folder}/rest/{n:04}")
            self.fill(f"{folder}/rest/{n:04}", n)
        os.makedirs(folder + "/data")

    def to_state(self, n: int) -> None:
        wanted = self.folders(self.points()[n])
        for i in range(self.folders(self.points()[-1])):
            here = f"{self.folder}/{'data' if i < wanted else 'rest'}/{i:04}"
            there = f"{self.folder}/{'rest' if i < wanted else 'data'}/{i:04}"
            if os.path.lexists(there):
                os.rename(there, here)


class BySize(Growing):
    """Large files of random bytes."""

    name, unit = "size", "GB"

    def each_mb(self) -> int:
        return self.of(256, 16)

    def points(self) -> list[int]:
        return [n << 30 for n in (1, 2, 4, 8, 16)] if not self.quick else \
            [n * self.each_mb() * MB for n in (1, 2, 4, 8)]

    def folders(self, n: int) -> int:
        return n // (self.each_mb() * MB)

    def need_gb(self) -> float:
        return 1 if self.quick else 66  # data, a repository, two copies

    def fill(self, folder: str, number: int) -> None:
        write_random(folder + "/data", 5000 + number * self.each_mb(),
                     self.each_mb())


class ByFiles(Growing):
    """Tiny files, a thousand in a folder."""

    name, unit = "files", "files"

    def points(self) -> list[int]:
        return [n * self.of(1000, 1000)
                for n in ((1, 10, 100, 1000) if not self.quick else
                          (1, 2, 5, 10))]

    def folders(self, n: int) -> int:
        return n // self.of(1000, 1000)

    def need_gb(self) -> float:
        return 0.5 if self.quick else 20

    def fill(self, folder: str, number: int) -> None:
        each = self.of(1000, 1000)
        for n in range(number * each, (number + 1) * each):
            write(f"{folder}/{n:07}.txt", small_text(n, 4))
