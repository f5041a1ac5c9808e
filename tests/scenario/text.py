#!/usr/bin/python3
"""Goal of this test: what changed in a configuration is told line by line, and
no secret with it.

A schedule takes a tree with text: true twice; its run and the status tell what
changed in between. A key and passwords that changed are in nothing that is
printed, stored beside the repository, logged or served. What is live is
compared with a snapshot in every way in which it can differ.
"""
import base64
import json
import os
import socket
import subprocess
import time

import snap
from runs import ended
from snap import LIMIT, check, wait_for

MANIFEST = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions: [{name: here, url: "file://%(root)s/here"}]
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: config}
spec:
  type: files
  paths: ["%(root)s/tree"]
  exclude: ["*.swp"]
  text: true
  mask: ["site-[0-9]+", "badge=([a-z]+)"]
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "0 0 1 1 *"
  sources: {names: [config]}
  repository: main
  retries: 0
"""

# Nobody's: what must be seen nowhere, before the change and after it.
OLD, NEW = ("".join((a, "Zq7", "vW2", "kLm", "9Xr", "T4b", "Np8", "sJd", "6Yf"))
            for a in ("Old", "New"))
HOSTILE = b"bad \n\x1b[2J\xff.conf"


def key(secret):
    kind = "PRIVATE " + "KEY-----"
    lines = "".join(secret + str(i) + "\n" for i in range(8))
    return f"-----BEGIN {kind}\n{lines}-----END {kind}\n"


def put(world, name, text):
    path = os.path.join(os.fsencode(world.path("tree")), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


def fill(world, secret, port):
    put(world, "app.ini", f"[db]\nhost = db\npassword = {secret}\n"
        f"port = {port}\nbadge={'abc' if port == 1 else 'xyz'}\n"
        f"at = site-{port}\n")
    put(world, "server.key", key(secret))
    put(world, "app.json", '{"user": "u",\n "api_key": "%s"}\n' % secret)
    put(world, "blob", b"\0\1" + secret.encode())


def begin(world):
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"))
    world.run("repo", "init", world.path("here"), "--key-file",
              world.path("keys/main.key"))


def run(world):
    number = world.json("run", "start", "nightly")["id"]
    done = wait_for("the run", lambda: ended(world, number))
    check(done["state"] == "succeeded", done)
    step, = [s for s in done["steps"] if s["step"] == "snapshot" and
             s["details"].get("snapshot") and not s["region"]]
    return number, step


def get(world, path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(world.socket)
        s.settimeout(LIMIT)
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  "\r\n".encode())
        data = b""
        while piece := s.recv(65536):
            data += piece
    return data.decode()


def everything(world, number):
    """All that is told of a run, and what is kept of it."""
    yield world.run("run", "show", str(number))
    yield world.run("run", "show", str(number), "--json")
    yield world.run("status") + world.run("status", "--json")
    yield world.run("run", "list", "--json")
    yield get(world, f"/v1/runs/{number}")
    yield get(world, "/v1/status")
    for view in ((), ("--json",)):
        ids = [s["id"] for s in world.json("snapshot", "list", "--repo", "main")]
        yield world.run("snapshot", "diff", *ids[:2], "--unified", "--repo",
                        "main", *view)
        yield world.run("snapshot", "diff", ids[0], "live", "--unified",
                        "--repo", "main", *view)
    for folder, _, files in os.walk(world.path("state")):
        for name in files:
            try:
                with open(os.path.join(folder, name), "rb") as f:
                    yield f.read().decode("latin-1")
            except FileNotFoundError:
                pass  # of a daemon that works on
    yield open(world.path("log")).read()


def a_run_tells_what_changed(world):
    begin(world)
    fill(world, OLD, 1)
    put(world, "same.conf", "same\n")
    put(world, "gone.conf", "gone\n")
    world.start()
    world.apply(MANIFEST % {"root": world.root})
    _, step = run(world)
    check("drift" not in step["details"], step)
    check("drift" not in world.json("status")["sources"][0], "drift")
    since = step["details"]["snapshot"]

    fill(world, NEW, 2)
    put(world, "x.swp", "excluded\n")
    put(world, HOSTILE, "a\x1b[31m\n")
    os.unlink(world.path("tree/gone.conf"))
    os.utime(world.path("tree/same.conf"))
    number, step = run(world)
    drift = step["details"]["drift"]
    check(drift["since"] == since, drift)
    check((drift["added"], drift["removed"], drift["changed"],
           drift["more"]) == (1, 1, 4, 0), drift)
    check(step["message"] == f"6 files changed since {since[:8]}", step)
    files = {os.path.basename(f.get("path", "hostile")): f
             for f in drift["files"]}
    ini = files["app.ini"]
    check((ini["lines_added"], ini["lines_removed"]) == (4, 4), ini)
    check(ini["diff"].split("\n", 2)[2] == """\
@@ -1,6 +1,6 @@
 [db]
 host = db
-password = ********
-port = 1
-badge=********
-at = ********
+password = ********
+port = 2
+badge=********
+at = ********
""", ini["diff"])
    check("@@ what changed is masked\n" in files["server.key"]["diff"],
          files["server.key"])
    check(files["blob"]["note"] == "binary files differ", files["blob"])
    check(files["gone.conf"]["diff"].endswith("-gone\n"), files["gone.conf"])
    check(files["hostile"]["diff"].startswith(
        "--- /dev/null\n+++ \"") and "\\n\\033[2J\\377.conf\"\n" in
        files["hostile"]["diff"], files["hostile"])

    text = world.run("run", "show", str(number))
    check("\x1b" not in text and "+port = 2\n" in text and
          f"6 files changed since {since[:8]}" in text and
          "removed  " in text, text)
    row, = world.json("status")["sources"]
    check(row["drift"]["run"] == number and row["drift"]["changed"] == 4, row)
    text = world.run("status")
    check("~ config: 4 changed, 1 added, 1 removed now;" in text or
          "~ config: 4 changed, 1 added, 1 removed " in text, text)
    for told in everything(world, number):
        for secret in (OLD, NEW, "site-1", "site-2"):
            check(secret not in told, (secret, told[:2000]))

    # Nothing changed: the status tells of the last time when something did.
    _, step = run(world)
    drift = step["details"]["drift"]
    check(drift["added"] + drift["removed"] + drift["changed"] == 0 and
          drift["files"] == [] and step["message"] == "", step)
    row, = world.json("status")["sources"]
    check(row["drift"]["run"] == number, row)


def much_that_changed_is_cut(world):
    begin(world)
    for i in range(150):
        put(world, f"many/{i:03}", "a\n" * 200)
    world.start()
    world.apply(MANIFEST % {"root": world.root})
    run(world)
    for i in range(150):
        put(world, f"many/{i:03}", "".join(f"b{n}\n" for n in range(200)))
    _, step = run(world)
    drift = step["details"]["drift"]
    check(drift["changed"] == 150 and len(drift["files"]) == 100 and
          drift["more"] == 50, drift)
    check(sum(len(f.get("diff", "")) for f in drift["files"]) <= 65536,
          "too much")
    notes = [f.get("note") for f in drift["files"]]
    check(notes.count("cut off here") == 1 and
          notes[-1] == "differ (too much to keep)", notes)
    check("… and 50 more\n" in world.run("run", "show", "2"), "no end")


def patterns_are_checked(world):
    begin(world)
    world.start()
    text = MANIFEST % {"root": world.root}
    for wrong, told in (('"("', "no regular expression"),
                        ('"(a)\\\\1"', "refers back"),
                        ('"x*"', "where there is nothing"),
                        ('""', "1 to 256 bytes")):
        world.run("apply", "-f", "-", status=2,
                  stdin=text.replace('"site-[0-9]+"', wrong))
        check(told in world.err, world.err)
    world.run("apply", "-f", "-", status=2,
              stdin=text.replace("  text: true\n", ""))
    check("only with text: true" in world.err, world.err)
    world.run("apply", "-f", "-", status=2, stdin=text.replace(
        '"site-[0-9]+"', ", ".join(["a"] * 65)))
    check("65" in world.err or "66" in world.err, world.err)


# ---- What is live ----------------------------------------------------------

def direct(world):
    begin(world)
    world.env["SNAPCTL_REPO"] = world.path("here")
    world.env["SNAPCTL_KEY_FILE"] = world.path("keys/main.key")


def name_of(row):
    return os.fsencode(row["path"]) if "path" in row else \
        base64.b64decode(row["path_b64"])


def live(world, *words, **more):
    """{name: (change, what)} of what lies below the tree."""
    top = os.fsencode(world.path("tree")) + b"/"
    return {name_of(r)[len(top):].decode("latin-1"): r
            for r in world.json("snapshot", "diff", "latest", "live", *words,
                                **more) if name_of(r).startswith(top)}


def in_short(rows):
    return {n: (r["change"], *r["what"]) for n, r in rows.items()}


def what_is_live(world):
    direct(world)
    put(world, "edited", "one\ntwo\n")
    put(world, "touched", "t\n")
    put(world, "mode", "m\n")
    put(world, "removed", "r\n")
    put(world, "binary", b"\0a")
    put(world, "tail", "x\ny")
    put(world, "large", b"a" * 3000000)
    put(world, "becomes", "folder\n")
    put(world, "linked", "l\n")
    put(world, HOSTILE, "h\n")
    os.symlink("edited", world.path("tree/link"))
    tree = world.path("tree")
    world.run("snapshot", "create", tree, "--exclude", "*.swp")
    check(live(world) == {}, "at once")
    # From now on ctimes tell; before, everything is looked at.
    time.sleep(2.1)
    world.run("snapshot", "create", tree, "--exclude", "*.swp")
    check(live(world) == {}, "nothing")

    put(world, "edited", "one\n2\n")
    os.utime(tree + "/touched")
    os.chmod(tree + "/mode", 0o600)
    os.unlink(tree + "/removed")
    put(world, "binary", b"\0b")
    put(world, "tail", "x\ny\n")
    with open(tree + "/large", "r+b") as f:
        f.seek(2999999)
        f.write(b"b")
    os.unlink(tree + "/becomes")
    os.mkdir(tree + "/becomes")
    os.link(tree + "/linked", tree + "/linked-too")
    put(world, HOSTILE, "hh\n")
    put(world, "new.swp", "excluded\n")
    put(world, "folder/new", "n\n")
    os.unlink(tree + "/link")
    os.symlink("tail", tree + "/link")
    hostile = HOSTILE.decode("latin-1")
    rows = live(world, "--unified")
    check(in_short(rows) == {
        "becomes": ("changed", "type", "mode", "mtime"),
        "binary": ("changed", "content", "mtime"),
        "edited": ("changed", "content", "mtime"),
        "folder": ("added",),
        "folder/new": ("added",),
        "large": ("changed", "content", "mtime"),
        "link": ("changed", "content", "mtime"),
        "linked": ("changed", "links"),
        "linked-too": ("added",),
        "mode": ("changed", "mode"),
        "removed": ("removed",),
        "tail": ("changed", "content", "mtime"),
        "touched": ("changed", "mtime"),
        hostile: ("changed", "content", "mtime"),
    }, in_short(rows))
    check(rows["binary"]["note"] == "binary files differ", rows["binary"])
    check("too large" in rows["large"]["note"], rows["large"])
    check(rows["tail"]["diff"].endswith(
        "-y\n\\ No newline at end of file\n+y\n"), rows["tail"])
    check("-edited\n" in rows["link"]["diff"], rows["link"])
    check("diff" not in rows["mode"] and "diff" not in rows["touched"], rows)
    text = world.run("snapshot", "diff", "latest", "live", "--unified")
    check("\x1b" not in text and "+hh\n" in text, text)
    check("\x1b" not in world.run("snapshot", "diff", "latest", "live"), "ESC")
    only = live(world, "--path", "folder/", "--path", "*dit*")
    check(set(only) == {"edited", "folder", "folder/new"}, only)
    masked = live(world, "--unified", "--mask", "^o(n)e$")["edited"]["diff"]
    check("\n o********e\n" in masked, masked)
    patched(world, rows["edited"], "one\ntwo\n", "one\n2\n")
    # What is as it was by its content is no more than touched.
    put(world, "edited", "one\ntwo\n")
    check(in_short(live(world))["edited"] == ("changed", "mtime"), "content")


def patched(world, row, before, after):
    """patch(1), where it is there, makes the new one of the old."""
    with open(world.path("p"), "w") as f:
        f.write(before)
    try:
        subprocess.run(["patch", "--silent", world.path("p")], text=True,
                       input=row["diff"], check=True, timeout=LIMIT)
    except FileNotFoundError:
        return
    check(open(world.path("p")).read() == after, "patch")


def what_makes_no_sense(world):
    direct(world)
    put(world, "a", "a\n")
    world.run("snapshot", "create", world.path("tree"))
    for words, told in (
            (("live", "latest"), "newer than any"),
            (("latest", "latest", "--mask", "x"), "without --unified"),
            (("latest", "latest", "--cross-file-systems"), "between two"),
            (("latest", "live", "--unified", "--mask", "("), "regular")):
        world.run("snapshot", "diff", *words, status=2)
        check(told in world.err, (words, world.err))
    world.run("snapshot", "diff", "nothing", "live", status=5)
    world.run("snapshot", "create", "--type", "command", "--file", "c", "--",
              "/bin/echo", "x")
    world.run("snapshot", "diff", "latest", "live", "--source", "", status=2)
    check('of type "command"' in world.err, world.err)


def what_cannot_be_read(world):
    if os.geteuid() != 0:
        return
    direct(world)
    put(world, "shut/inside", "x\n")
    put(world, "closed", "x\n")
    world.run("snapshot", "create", world.path("tree"))
    os.chmod(world.path("tree/shut"), 0o700)
    put(world, "closed", "yy\n")
    os.chmod(world.path("tree/closed"), 0o600)
    os.chmod(world.root, 0o755)
    subprocess.run(["chmod", "-R", "go+rX", world.path("here")], check=True)
    subprocess.run(["chown", "-R", "65534", world.path("keys")], check=True)
    p = world.run_as_nobody("snapshot", "diff", "latest", "live", "--json")
    check(p.returncode == 3, p)
    got = {os.path.basename(r["path"]): r for r in json.loads(p.stdout)}
    check(got["closed"]["change"] == "unreadable" and
          "permission denied" in got["closed"]["message"], got)
    check(got["shut"]["change"] == "unreadable" and "inside" not in got, got)


if __name__ == "__main__":
    snap.tell(a_run_tells_what_changed, much_that_changed_is_cut,
              patterns_are_checked, what_is_live, what_makes_no_sense,
              what_cannot_be_read)
