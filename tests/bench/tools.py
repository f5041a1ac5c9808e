"""The tools that are measured: ours, its peers, and yardsticks that are none.

Each with the settings that its users would have.  A tool is told of a load,
gets a folder of its own for its repository, cache, configuration and what it
restores, and gives for each step the command that does it.
"""
import glob
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field

import measure

STEPS = ("init", "first", "unchanged", "changed", "check", "restore", "cat")


@dataclass
class Command:
    argv: list[str]
    cwd: str = "/"
    good: tuple[int, ...] = (0,)


@dataclass
class Job:
    """What a tool needs to know of a load."""

    paths: list[str]
    sparse: bool = False
    disk: bool = False
    sample: str | None = None  # a small file in it


@dataclass
class Tool:
    program: str
    name: str = ""
    title: str = ""
    work: str = ""
    job: Job = field(default_factory=lambda: Job([]))
    env: dict[str, str] = field(default_factory=dict)

    def begin(self, work: str, job: Job) -> None:
        """A load begins: work is an absolute path, and does not exist."""
        self.work, self.job = os.path.join(work, self.name), job
        os.makedirs(self.work)
        self.env = dict(os.environ) | {
            "HOME": self.work, "XDG_CACHE_HOME": self.work + "/cache",
            "XDG_CONFIG_HOME": self.work + "/config", "LC_ALL": "C.UTF-8"}
        for name in list(self.env):
            if name.startswith(("SNAPCTL_", "RESTIC_", "BORG_")):
                del self.env[name]
        self.env |= self.settings()

    @property
    def repo(self) -> str:
        return self.work + "/repo"

    @property
    def out(self) -> str:
        return self.work + "/out"

    def settings(self) -> dict[str, str]:
        return {}

    def fresh(self) -> None:
        """A round begins: no repository, no cache, nothing restored."""
        measure.set_aside(self.work)
        os.makedirs(self.work)

    def command(self, step: str, number: int) -> Command | None:
        """Of a step; number counts the snapshots taken, this one included."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What a restore takes besides; not measured."""

    def version(self) -> str:
        return first_line([self.program, "version"])

    def entries(self) -> int | None:
        """Index entries in the repository, when it can tell."""
        return None

    def ask(self, *argv: str) -> dict:
        done = subprocess.run([self.program, *argv], env=self.env, check=True,
                              capture_output=True, cwd="/", timeout=3600)
        return json.loads(done.stdout)


def first_line(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60,
                              check=False, env=dict(os.environ, LC_ALL="C"))
    except OSError:
        return "?"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return " ".join(lines[0].split()) if lines else "?"


class Snapctl(Tool):
    """A key file, its own cache, all at its defaults."""

    def settings(self) -> dict[str, str]:
        return {"SNAPCTL_REPO": self.repo,
                "SNAPCTL_KEY_FILE": self.work + "/key",
                "SNAPCTL_CACHE": self.work + "/cache/snapctl"}

    def command(self, step: str, number: int) -> Command | None:
        p, latest = [self.program, "-q"], ["--source", "bench"]
        kind = ["--type", "block"] if self.job.disk else []
        take = Command([*p, "snapshot", "create", *latest, *kind,
                        *self.job.paths], good=(0, 3))
        to = ["--to", self.out]
        if self.job.disk:
            disk = self.out + self.job.paths[0]
            to = ["--output", disk]
            if step == "restore":
                os.makedirs(os.path.dirname(disk), exist_ok=True)
        return {
            "init": Command([*p, "repo", "init", self.repo]),
            "first": take, "unchanged": take, "changed": take,
            "check": Command([*p, "repo", "check", "--read-data"]),
            "restore": Command([*p, "restore", "latest", *latest, *to],
                               good=(0, 3)),
            "cat": self.job.sample and Command(
                [*p, "cat", "latest:" + self.job.sample, *latest]),
        }.get(step) or None

    def entries(self) -> int | None:
        return self.ask("--json", "repo", "stats")["index_entries"]


class Restic(Tool):
    """A password in the environment, its own cache, all at its defaults."""

    def settings(self) -> dict[str, str]:
        return {"RESTIC_REPOSITORY": self.repo, "RESTIC_PASSWORD": "bench",
                "RESTIC_CACHE_DIR": self.work + "/cache/restic"}

    def command(self, step: str, number: int) -> Command | None:
        p = [self.program, "-q"]
        take = Command([*p, "backup", *self.job.paths], good=(0, 3))
        sparse = ["--sparse"] if self.job.sparse else []
        return {
            "init": Command([*p, "init"]),
            "first": take, "unchanged": take, "changed": take,
            "check": Command([*p, "check", "--read-data"]),
            "restore": Command([*p, "restore", "latest", *sparse,
                                "--target", self.out]),
            "cat": self.job.sample and Command(
                [*p, "dump", "latest", self.job.sample]),
        }.get(step) or None

    def entries(self) -> int | None:
        return self.ask("stats", "--mode", "raw-data", "--json",
                        "-q")["total_blob_count"]


class Borg(Tool):
    """repokey, its passphrase in the environment, zstd,1."""

    def settings(self) -> dict[str, str]:
        return {"BORG_REPO": self.repo, "BORG_PASSPHRASE": "bench",
                "BORG_BASE_DIR": self.work + "/borg",
                "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}

    def command(self, step: str, number: int) -> Command | None:
        p = self.program
        take = Command([p, "create", "-C", "zstd,1", f"::s{number}",
                        *self.job.paths], good=(0, 1))
        sparse = ["--sparse"] if self.job.sparse else []
        os.makedirs(self.out, exist_ok=True)
        return {
            "init": Command([p, "init", "-e", "repokey"]),
            "first": take, "unchanged": take, "changed": take,
            "check": Command([p, "check", "--verify-data"]),
            "restore": Command([p, "extract", *sparse, f"::s{number}"],
                               cwd=self.out, good=(0, 1)),
            "cat": self.job.sample and Command(
                [p, "extract", "--stdout", f"::s{number}",
                 self.job.sample.lstrip("/")]),
        }.get(step) or None

    def version(self) -> str:
        return first_line([self.program, "--version"])

    def entries(self) -> int | None:
        return self.ask("info", "--json")["cache"]["stats"][
            "total_unique_chunks"]


class Tar(Tool):
    """No peers: `tar | zstd -1 -T2` for the first snapshot, a walk of `find`
    for an unchanged one, `tar xf` of a plain tar for a restore; of a disk
    `dd | zstd` and back."""

    def command(self, step: str, number: int) -> Command | None:
        if self.job.disk:
            return self.of_disk(step)
        paths = " ".join(map(shlex.quote, self.job.paths))
        sparse = "-S " if self.job.sparse else ""
        repo, out = shlex.quote(self.repo), shlex.quote(self.out)
        # The status of tar, which is the first of the two.
        first = (f"mkdir -p {repo} && {{ {{ {{ tar -P {sparse}-cf - {paths} "
                 f"3>&-; echo $? >&3; }} | zstd -q -1 -T2 -f -o "
                 f"{repo}/a.tar.zst 3>&-; }} 3>&1; }} | grep -qx '[01]'")
        return {
            "first": Command(["sh", "-c", first]),
            "unchanged": Command(["sh", "-c", f"find {paths} -printf "
                                  "'%p %s %T@\\n' >/dev/null"], good=(0, 1)),
            "restore": Command(["sh", "-c", f"mkdir -p {out} && tar -C {out} "
                                f"-xf {shlex.quote(self.plain)}"]),
        }.get(step)

    def of_disk(self, step: str) -> Command | None:
        disk = self.job.paths[0]
        path, repo = shlex.quote(disk), shlex.quote(self.repo)
        back = shlex.quote(self.out + disk)
        folder = shlex.quote(os.path.dirname(self.out + disk))
        return {
            # The status of dd, which is the first of the two.
            "first": Command(["sh", "-c", f"mkdir -p {repo} && {{ {{ {{ dd "
                              f"if={path} bs=1M status=none 3>&-; echo $? "
                              f">&3; }} | zstd -q -1 -T2 -f -o {repo}/a.zst "
                              f"3>&-; }} 3>&1; }} | grep -qx 0"]),
            "restore": Command(["sh", "-c", f"mkdir -p {folder} && "
                                f"zstd -q -d --sparse -f {repo}/a.zst "
                                f"-o {back}"]),
        }.get(step)

    @property
    def plain(self) -> str:
        return self.work + "/plain.tar"

    def prepare(self) -> None:
        if self.job.disk:  # as it is now
            subprocess.run(self.of_disk("first").argv, check=True, cwd="/")
            return
        sparse = ["-S"] if self.job.sparse else []
        done = subprocess.run(["tar", *sparse, "-cf", self.plain,
                               *self.job.paths], check=False, cwd="/",
                              stderr=subprocess.DEVNULL)
        if done.returncode > 1:
            raise measure.Trouble(f"tar ended with {done.returncode}")

    def version(self) -> str:
        return ", ".join(first_line([p, "--version"])
                         for p in ("tar", "zstd", "find"))


KINDS = {"snapctl": (Snapctl, "snapctl"), "restic": (Restic, "restic"),
         "borg": (Borg, "borg"), "tar": (Tar, "tar, find")}

FOOT = ("restic at its defaults with a cache of its own; borg with repokey, "
        "its passphrase in the environment, and -C zstd,1; "
        "tar is `tar | zstd -1 -T2`, then `find -printf`, then `tar xf` of a "
        "plain tar; of a disk `dd | zstd -1 -T2` and `zstd -d --sparse`")


def find(name: str, snapctl: str, peers: str) -> Tool | str:
    """The tool of that name, or why it is missing."""
    kind, title = KINDS[name]
    if name == "snapctl":
        program = snapctl
    elif name == "tar":
        lacking = [p for p in ("tar", "zstd", "find", "dd") if not shutil.which(p)]
        if lacking:
            return f"there is no {' and no '.join(lacking)}"
        program = "tar"
    else:
        program = os.path.join(os.path.abspath(peers), name)
        if not os.access(program, os.X_OK):
            program = shutil.which(name) or ""
    if not program or (os.sep in program and not os.access(program, os.X_OK)):
        return (f"no {name} in {peers} nor in PATH" if name != "snapctl" else
                f"no program {snapctl}")
    return kind(program=program, name=name, title=title)


def built(programs: list[str], name: str) -> str | None:
    """One of our own measuring programs, from the first folder that has it."""
    for folder in programs:
        for path in glob.glob(os.path.join(folder, "bench_" + name)):
            if os.access(path, os.X_OK):
                return os.path.abspath(path)
    return None
