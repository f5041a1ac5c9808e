"""A load: the data directory of a PostgreSQL, stopped, after `pgbench -i -s
100`, and after 5,000 transactions more."""
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

import measure
from loads import Missing, Versions

INSTALL = ["apt-get", "-qq", "install", "-y", "--no-install-recommends",
           "postgresql"]
LONGEST_SOCKET = 90  # sockaddr_un has 108 bytes; a name is appended


def programs() -> str | None:
    """Where those of the newest PostgreSQL are, if pgbench is with them."""
    found = [os.path.dirname(p) for p in
             glob.glob("/usr/lib/postgresql/*/bin/pgbench")
             if os.access(os.path.dirname(p) + "/initdb", os.X_OK)]
    return max(found, key=lambda p: [int(part) if part.isdigit() else 0
                                     for part in p.split("/")], default=None)


class Postgres(Versions):
    name = "pg"
    changes = 1

    def parameters(self) -> dict:
        return {"scale": self.of(100, 5), "transactions": self.of(5000, 500),
                "version": programs()}

    def need_gb(self) -> float:
        return 2 if self.quick else 16

    def make(self, folder: str) -> None:
        where = programs()
        if not where and self.install and not self.quick:
            subprocess.run(["apt-get", "-qq", "update"], check=False)
            done = subprocess.run(INSTALL, check=False, env=dict(
                os.environ, DEBIAN_FRONTEND="noninteractive"))
            where = programs() if done.returncode == 0 else None
        if not where:
            raise Missing("there is no PostgreSQL with pgbench (package "
                          "postgresql; --install has it installed)")
        Server(where, folder).fill(self)


class Server:
    """A server of its own, on a unix socket only."""

    def __init__(self, where: str, folder: str) -> None:
        self.where, self.folder = where, folder
        self.data = os.path.join(folder, "data")
        self.user: str | None = None
        if os.getuid() == 0:  # which PostgreSQL refuses to run as
            names = {p.pw_name for p in pwd.getpwall()}
            self.user = "postgres" if "postgres" in names else "nobody"
        # Of which only that user needs to know.
        self.socket = (folder if len(folder) < LONGEST_SOCKET else
                       tempfile.mkdtemp(prefix="snapctl-bench-"))

    def call(self, program: str, *argv: str, limit: int = 3600) -> None:
        log = os.path.join(self.folder, "log")
        who = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid,
               "extra_groups": []} if self.user else {}
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
               "PGHOST": self.socket, "PGUSER": "bench", "PGPORT": "5432"}
        with open(log, "ab") as out:
            done = subprocess.run([os.path.join(self.where, program), *argv],
                                  env=env, cwd=self.folder, stdout=out,
                                  stderr=subprocess.STDOUT, check=False,
                                  stdin=subprocess.DEVNULL, timeout=limit,
                                  **who)
        if done.returncode:
            with open(log, encoding="utf-8", errors="replace") as f:
                last = f.read().strip().splitlines()[-1:]
            raise Missing(f"{program} of PostgreSQL failed: "
                          + " ".join(last)[:200])

    def start(self) -> None:
        self.call("pg_ctl", "-D", self.data, "-w", "-t", "120", "-l",
                  self.data + ".log", "-o",
                  f"-k {self.socket} -c listen_addresses='' -p 5432", "start")

    def stop(self, how: str = "fast") -> None:
        self.call("pg_ctl", "-D", self.data, "-w", "-t", "600", "-m", how,
                  "stop")

    def running(self) -> bool:
        return os.path.exists(self.data + "/postmaster.pid")

    def fill(self, load: Postgres) -> None:
        want = load.parameters()
        try:
            if self.user:
                for path in {self.folder, self.socket}:
                    shutil.chown(path, self.user)
            try:
                self.call("initdb", "-D", self.data,
                          "-U", "bench", "-A", "trust", "-E", "UTF8",
                          "--locale", "C.UTF-8")
            except PermissionError as e:
                raise Missing(f"{self.user}, who has to run PostgreSQL, "
                              f"cannot get to {self.folder}: give --work a "
                              "folder that all can reach") from e
            self.start()
            self.call("createdb", "bench")
            self.call("pgbench", "-q", "-i", "-s", str(want["scale"]), "bench")
            self.stop()
            keep(self.data, load.version(0))
            self.start()
            self.call("pgbench", "-n", "-c", "1", "-t",
                      str(want["transactions"]), "bench")
            self.stop()
            keep(self.data, load.version(1))
        finally:
            if self.running():
                self.stop("immediate")
            if self.socket != self.folder:
                measure.remove(self.socket)
        load.to_state(0)


def keep(data: str, target: str) -> None:
    subprocess.run(["cp", "-a", data, target], check=True)
