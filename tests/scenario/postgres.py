"""A PostgreSQL for the scenarios that need a real one."""
import glob
import os
import pwd
import shutil
import subprocess
import sys

from snap import LIMIT, check


class Server:
    """A server of its own, on a unix socket only.

    Its socket and its log are in `folder`, which is made; its data there, too,
    or elsewhere, where it may be already.
    """

    def __init__(self, folder, data=None):
        found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
        if not found:
            print("skipped: there is no PostgreSQL (package postgresql)")
            sys.exit(77)
        self.bin = os.path.dirname(max(found))
        self.folder = folder
        self.data = data or folder + "/data"
        self.user = None
        if os.getuid() == 0:  # which PostgreSQL refuses to run as
            names = {p.pw_name for p in pwd.getpwall()}
            self.user = "postgres" if "postgres" in names else "nobody"
        os.mkdir(folder)
        if self.user:
            shutil.chown(folder, self.user)
        if not os.path.exists(self.data + "/PG_VERSION"):
            self.call("initdb", "-D", self.data, "-U", "owner",
                      "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8")

    def who(self):
        """What subprocess needs to run something as its user."""
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid,
                "extra_groups": []} if self.user else {}

    def env(self):
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                "PGHOST": self.folder, "PGUSER": "owner"}

    def call(self, program, *words, stdin=None):
        done = subprocess.run([os.path.join(self.bin, program), *words],
                              env=self.env(), cwd=self.folder, input=stdin,
                              stdout=subprocess.PIPE, timeout=LIMIT,
                              check=False, **self.who())
        check(done.returncode == 0, (program, words, done))
        return done.stdout

    def start(self):
        self.call("pg_ctl", "-D", self.data, "-w", "-t", str(LIMIT), "-l",
                  self.folder + "/log", "-o",
                  f"-k {self.folder} -c listen_addresses=''", "start")

    def stop(self):
        self.call("pg_ctl", "-D", self.data, "-w", "-t", str(LIMIT), "-m",
                  "immediate", "stop")

    def runs(self):
        return os.path.exists(self.data + "/postmaster.pid")

    def sql(self, text, database="shop"):
        return self.call("psql", "-X", "-At", "-d", database, "-c", text)
