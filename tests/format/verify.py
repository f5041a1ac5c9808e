"""Reads every object of a repository and checks every rule of FORMAT.md.

The readers are strict already: this calls them on everything, and adds what
concerns several objects.
"""
from collections import Counter
from typing import Any, Callable

import tree
from repository import DATA, FIELDS, NAMES, Repository, Stored
from sealing import Cursor, Damaged, need

STATES = (1, 2)


class Verify:
    """Collects what is damaged, and goes on."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.damaged: list[str] = []
        self.counts: Counter[str] = Counter()
        self.holders: dict[tuple[bytes, str], Stored] = {}

    def run(self) -> bool:
        """Whether all is sound."""
        repo = self.repository
        for name in repo.strangers():
            self.damaged.append(f"{name}: is no object of a repository")
        for kind in NAMES:
            for name in [] if kind == 1 else repo.names(kind):
                self.counts[name.split("/", maxsplit=1)[0]] += 1
        for kind in (4, 5):
            for name in repo.names(kind):
                self._try(name, lambda: self._pack(name, kind))
        for name in repo.names(6):
            self._try(name, lambda: self._index(name))
        boxes: dict[int, list[dict[str, Any]]] = {k: [] for k in FIELDS}
        for kind in FIELDS:
            for name in repo.names(kind):
                self._try(name, lambda: boxes[kind].append(
                    repo.box(name, kind)))
        received = {box["snapshot"] for box in boxes[8]}
        for manifest in boxes[7]:
            name = f"snapshots/{manifest['snapshot']}"
            self._try(name, lambda: self._snapshot(manifest))
            if manifest["snapshot"] not in received:
                self.damaged.append(f"{name}: has no receipt")
        for hold in boxes[15]:
            if "released" in hold and \
                    hold["released"] not in {h["hold"] for h in boxes[15]}:
                self.damaged.append(f"hold {hold['hold']}: releases nothing")
        return not self.damaged

    def _try(self, name: str, check: Callable[[], None]) -> None:
        try:
            check()
        except (Damaged, OSError) as e:
            self.damaged.append(f"{name}: {e}")

    def _pack(self, name: str, kind: int) -> None:
        """§5, and §4 at level `data`."""
        for one in self.repository.pack(name, kind):
            self.repository.open_chunk(one, self.repository.read(
                name, one.offset, one.sealed))
            self.holders[one.id, one.pack] = one
            self.counts["chunks"] += 1

    def _index(self, name: str) -> None:
        """§6, §10: names only what is there, as its pack has it."""
        entries, _, _ = self.repository.index_object(name)
        self.counts["entries of index"] += len(entries)
        for one in entries:
            need(self.holders.get((one.id, one.pack)) == one,
                 f"its pack does not hold chunk {one.id.hex()} like this")

    def _snapshot(self, manifest: dict[str, Any]) -> None:
        """§7, §8: the tree, its hints and totals, all that it reaches."""
        repo, totals = self.repository, Counter()
        need(manifest["state"] in STATES, "unknown state")
        need(("tree" in manifest) == ("hints" in manifest),
             "a tree without hints, or the reverse")
        for entry in tree.entries(repo, manifest.get("tree"),
                                  manifest.get("hints")):
            totals[{tree.FOLDER: "folders", tree.FILE: "files"}
                   .get(entry.type, "others")] += 1
            totals["bytes"] += entry.size
            tree.xattrs(repo, entry)
            for extent in tree.stretches(repo, entry.extents, entry.level):
                self._extent(extent)
        self.counts["entries of trees"] += sum(
            totals[k] for k in ("files", "folders", "others"))
        for key in ("files", "folders", "others", "bytes"):
            need(totals[key] == manifest[key],
                 f"{manifest[key]} {key} by its manifest, {totals[key]} by "
                 "its tree")
        errors = 0
        if "errors" in manifest:
            cursor = Cursor(repo.chunk(manifest["errors"], tree.VALUE))
            while cursor.left():
                cursor.bytes()
                cursor.bytes()
                errors += 1
        need(errors == manifest["errors_count"], "another number of errors")

    def _extent(self, extent: tree.Extent) -> None:
        if not extent.chunk:
            return
        one = self.repository.index.get(extent.chunk)
        need(one, f"chunk {extent.chunk.hex()} is in no index")
        assert one
        need(one.kind == DATA and extent.offset + extent.length <= one.plain,
             "an extent beyond its chunk")
