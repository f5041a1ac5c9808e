#!/usr/bin/python3
"""An independent reader of snapctl's repositories.

It is written from storage/FORMAT.md alone and shares no code with snapctl, so
that what both agree on is what the page says. It needs Debian's python3-nacl,
python3-cryptography and libzstd1.
"""
import argparse
import json
import os
import sys
from typing import Any

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from folder import Compare, Restore, below  # noqa: E402
from repository import (Repository, instant, key_file,  # noqa: E402
                        passphrase_file)
from sealing import Damaged  # noqa: E402
from tree import entries  # noqa: E402
from verify import Verify  # noqa: E402


def snapshots(repository: Repository) -> list[dict[str, Any]]:
    """§9: the manifests with what the records say of them, oldest first."""
    voids = repository.voids()
    receipts = {box["snapshot"]: box for _, box in repository.boxes(8)}
    tombstones = [(name, box) for name, box in repository.boxes(13)]
    revoked = {one for name, box in repository.boxes(14)
               if name[-32:] in voids.get(box.get("session", ""),
                                          {name[-32:]})
               for one in box["revokes"]}
    deleted = {box["snapshot"] for name, box in tombstones
               if name[-32:] not in revoked}
    found = []
    for _, box in repository.boxes(7):
        receipt = receipts.get(box["snapshot"])
        found.append(box | {
            "received": receipt["time"] if receipt else box["ended"],
            "voided": box["snapshot"] not in voids.get(
                box["session"], {box["snapshot"]}),
            "deleted": box["snapshot"] in deleted})
    return sorted(found, key=lambda box: (box["received"], box["snapshot"]))


def choose(repository: Repository, wanted: str) -> tuple[dict[str, Any],
                                                         bytes]:
    """SNAP[:PATH]: a manifest, and the path below which all is meant."""
    snap, _, path = wanted.partition(":")
    there = [box for box in snapshots(repository)
             if not box["voided"] and not box["deleted"]]
    if snap == "latest":
        there = [box for box in there if box["state"] == 1][-1:]
    else:
        there = [box for box in there if box["snapshot"].startswith(snap)]
    if len(there) != 1:
        sys.exit(f"reader: {len(there)} snapshots are \"{snap}\"")
    return there[0], os.fsencode(path.rstrip("/") or "/")


def do_list(repository: Repository, _: argparse.Namespace) -> int:
    """Print the snapshots as JSON."""
    rows = [{
        "id": box["snapshot"], "received": instant(box["received"]),
        "state": {1: "complete", 2: "partial"}[box["state"]],
        "deleted": box["deleted"], "voided": box["voided"],
        "host": box["host"], "source": box["source"] or None,
        "paths": [os.fsdecode(path) for path in box["paths"]],
        "tags": box["tags"], "files": box["files"], "bytes": box["bytes"],
    } for box in snapshots(repository)]
    json.dump(rows, sys.stdout, indent=1)
    print()
    return 0


def do_paths(repository: Repository, args: argparse.Namespace) -> int:
    """Print the paths of a snapshot, each ended by NUL."""
    manifest, base = choose(repository, args.snapshot)
    for entry in below(entries(repository, manifest.get("tree")), base):
        sys.stdout.buffer.write(entry.path + b"\0")
    return 0


def do_restore(repository: Repository, args: argparse.Namespace) -> int:
    """Put a snapshot into a new folder."""
    manifest, base = choose(repository, args.snapshot)
    count = Restore(repository, os.fsencode(args.folder)).run(
        below(entries(repository, manifest.get("tree")), base))
    print(f"{count} entries restored")
    return 0


def do_compare(repository: Repository, args: argparse.Namespace) -> int:
    """Compare a snapshot with a folder."""
    manifest, base = choose(repository, args.snapshot)
    compare = Compare(repository, os.fsencode(args.folder), args.partly)
    count = compare.run(below(entries(repository, manifest.get("tree")),
                              base))
    for line in compare.differences:
        print(line)
    print(f"{count} entries compared, "
          f"{len(compare.differences)} differences")
    return 1 if compare.differences or not count else 0


def do_verify(repository: Repository, _: argparse.Namespace) -> int:
    """Check every rule on every object."""
    verify = Verify(repository)
    sound = verify.run()
    for line in verify.damaged:
        print(line)
    print(", ".join(f"{count} {what}"
                    for what, count in sorted(verify.counts.items())))
    print("sound" if sound else f"{len(verify.damaged)} damaged")
    return 0 if sound else 1


def main() -> int:
    """Read the arguments, open, do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repo", required=True, metavar="FOLDER")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--key-file", metavar="FILE")
    secret.add_argument("--passphrase-file", metavar="FILE")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, function in (("list", do_list), ("paths", do_paths),
                           ("restore", do_restore), ("compare", do_compare),
                           ("verify", do_verify)):
        verb = verbs.add_parser(name, help=function.__doc__)
        verb.set_defaults(function=function)
        if name in ("paths", "restore", "compare"):
            verb.add_argument("snapshot", metavar="SNAP[:PATH]")
        if name in ("restore", "compare"):
            verb.add_argument("folder")
        if name == "compare":
            verb.add_argument("--partly", action="store_true",
                              help="what is not in the folder is no matter")
    args = parser.parse_args()
    try:
        repository = Repository(args.repo)
        if args.key_file:
            repository.open(key_file(args.key_file), 1)
        else:
            repository.open(passphrase_file(args.passphrase_file), 2)
        return args.function(repository, args)
    except Damaged as e:
        print(f"reader: {args.repo}: {e}", file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main())
