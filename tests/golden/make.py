#!/usr/bin/python3
"""Make a golden repository: once for each version of the format.

    make.py BUILD VERSION

It lands beside this file as vVERSION.tar, with vVERSION.json, which tells what
is in it. What scenario_golden asks of it, every later program has to be able to
do. Needs root, for the owners of files.
"""
import json
import os
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "scenario")]

# pylint: disable=wrong-import-position
import golden_tree  # noqa: E402
import snap  # noqa: E402
from picture import picture  # noqa: E402
from snap import check, wait_for  # noqa: E402

DECLARED = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {{name: main}}
spec:
  keyFile: main.key
  regions:
    - {{name: here, url: "file://{root}/golden/here"}}
    - {{name: there, url: "file://{root}/golden/there"}}
  gc: {{every: 0s}}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {{name: tree, labels: {{tier: gold}}}}
spec: {{type: files, paths: ["{root}/tree"]}}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {{name: gold}}
spec:
  retention: {{keep-last: 2, keep-daily: 7}}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {{name: nightly}}
spec:
  cron: "0 0 1 1 *"
  sources: {{names: [tree]}}
  repository: main
  replicateTo: [there]
  policy: gold
"""


def resources(world):
    """What is declared, without where."""
    return {kind: [row["metadata"]["name"] for row in world.json("get", kind)]
            for kind in ("repositories", "policies", "sources", "schedules")}


def runs(world):
    """All but the last, whose end the next segment would have told."""
    rows = world.json("run", "list", "--limit", "0")
    return [{key: row[key] for key in ("schedule", "kind", "state")}
            for row in rows if row["kind"] == "Schedule"][1:]


def retention(world):
    rows = world.json("report", "retention")
    return [{key: row[key] for key in
             ("snapshot", "source", "received", "completeness", "state",
              "reasons", "policy", "policy_version", "deleted")}
            for row in rows]


def audit(world):
    """What was declared and done while it was made, the oldest first."""
    rows = world.json("audit", "log", "--limit", "0")
    return [{key: row[key] for key in ("action", "object")}
            for row in sorted(rows, key=lambda row: row["at"])][:AUDITED]


AUDITED = 8
ASK = {"resources": resources, "runs": runs, "retention": retention,
       "audit": audit}


def plain(value):
    """A picture as JSON takes it: bytes and names as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return os.fsencode(value).decode("latin-1")
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def run_schedule(world):
    """A run by the daemon: the id of the snapshot that it took."""
    run = str(world.json("run", "start", "nightly")["id"])

    def ended():
        row = world.json("run", "show", run)
        return row if row["state"] not in ("queued", "running") else None

    row = wait_for("the run", ended)
    check(row["state"] == "succeeded", row)
    return world.json("snapshot", "list")[-1]["id"]


def make(world, golden):
    """The repository's life; what there is to know of it."""
    tree, here = world.path("tree"), os.path.join(golden, "here")
    key = world.path("keys/main.key")
    phrase = os.path.join(golden, "passphrase")
    other = world.path("other.key")
    trees = {}
    world.env |= {"SNAPCTL_REPO": here, "SNAPCTL_KEY_FILE": key}
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    golden_tree.make(tree, True)
    world.run("repo", "init", here, "--key-file", key)
    golden_tree.put(phrase, b"golden\n")
    os.chmod(phrase, 0o600)
    world.run("key", "add", "--new-passphrase-file", phrase, "--label", "words")
    world.run("region", "add", "there", os.path.join(golden, "there"))

    # Of the first epoch: one by hand, one by the daemon.
    first = world.json("snapshot", "create", tree, "--tag",
                       "golden")["snapshot"]
    trees[first] = plain(picture(tree))
    world.start()
    world.apply(DECLARED.format(root=world.root))
    by_daemon = run_schedule(world)
    trees[by_daemon] = trees[first]

    # A key is revoked: the second epoch.
    world.run("key", "add", "--new-key-file", other, "--label", "other")
    slot = next(s for s in world.json("key", "list")
                if s["label"] == "other")["slot"]
    world.run("key", "revoke", slot)
    golden_tree.change(tree)
    changed = run_schedule(world)
    trees[changed] = plain(picture(tree))
    world.run("hold", "add", by_daemon, "--case", "golden case",
              "--custodian", "the archive")
    os.remove(os.path.join(tree, "new"))
    gone = world.json("snapshot", "create", tree)["snapshot"]
    back = world.json("snapshot", "create", tree)["snapshot"]
    trees[back] = plain(picture(tree))
    trees[gone] = trees[back]
    world.run("snapshot", "delete", gone, "--reason", "golden reason")
    world.run("snapshot", "delete", back)
    world.run("snapshot", "undelete", back)
    world.run("repo", "gc")
    run_schedule(world)
    facts = {name: ask(world) for name, ask in ASK.items()}
    world.stop()
    os.rename(key, os.path.join(golden, "key"))
    world.env["SNAPCTL_KEY_FILE"] = os.path.join(golden, "key")
    return facts | {
            "made": int(time.time()), "root": world.root, "trees": trees,
            "deleted": gone, "held": by_daemon,
            "snapshots": world.json("snapshot", "list"),
            "elsewhere": world.json("snapshot", "list", "--repo",
                                    os.path.join(golden, "there")),
            "holds": world.json("hold", "list"),
            "keys": world.json("key", "list")}


def main():
    version = sys.argv[2]
    world = snap.World()
    try:
        golden = world.path("golden")
        os.mkdir(golden)
        facts = make(world, golden)
        with tarfile.open(os.path.join(HERE, f"v{version}.tar"), "w",
                          format=tarfile.PAX_FORMAT) as out:
            for name in sorted(os.listdir(golden)):
                out.add(os.path.join(golden, name), name)
        with open(os.path.join(HERE, f"v{version}.json"), "w",
                  encoding="ascii") as out:
            json.dump(facts, out, indent=1, sort_keys=True)
            out.write("\n")
    finally:
        world.close()


if __name__ == "__main__":
    main()
