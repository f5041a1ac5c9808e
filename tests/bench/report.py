"""What was measured, as a table, as JSON, and beside an earlier result."""
import glob
import json
import os
import statistics
import subprocess
from dataclasses import dataclass, field

import measure

FORMAT = "snapctl-bench-1"

# Which measures of a step the table shows; the JSON has all.
SHOWN = {
    "init": ("wall",),
    "first": ("wall", "cpu", "anon", "read", "written", "syscalls", "stored",
              "entries"),
    "unchanged": ("wall", "cpu", "anon", "read", "written", "syscalls"),
    "changed": ("wall", "cpu", "anon", "read", "written", "syscalls",
                "stored", "entries"),
    "check": ("wall", "cpu", "anon", "read", "syscalls"),
    "restore": ("wall", "cpu", "anon", "read", "written", "syscalls"),
    "cat": ("wall", "anon"),
}
# Of the points of a plot, which has the rest.
BRIEF = {step: ("wall", "anon") for step in SHOWN}
TITLES = {"anon": "anonymous", "entries": "index entries",
          "syscalls": "system calls"}
OURS = "snapctl"
LABEL, CELL = 27, 29

# Differences below this are no news, however steady both rounds were.
NOISE = 0.02

Key = tuple[str, str, str, str]  # load, step, tool, measure


@dataclass
class Figures:
    """One value a round, None where a round has none."""

    values: dict[Key, list[float | None]] = field(default_factory=dict)
    failed: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, key: Key, number: int, value: float) -> None:
        """A second value of the same round is added up, or the larger one
        kept, as the measure wants it."""
        row = self.values.setdefault(key, [])
        row += [None] * (number + 1 - len(row))
        before = row[number]
        row[number] = value if before is None else \
            measure.MEASURES[key[3]][1]((before, value))

    def of(self, *key: str) -> list[float]:
        return [v for v in self.values.get(key, []) if v is not None]

    def ratios(self, load: str, step: str, tool: str,
               what: str) -> list[float]:
        """Ours to theirs, round by round."""
        ours = self.values.get((load, step, OURS, what), [])
        theirs = self.values.get((load, step, tool, what), [])
        return [a / b for a, b in zip(ours, theirs)
                if a is not None and b]


def number(value: float, counted: bool = False) -> str:
    """Three digits that matter, or all of what was counted."""
    if value >= 1e7:
        return f"{value / 1e6:,.1f}M"
    if counted or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 0.1 else 3}f}"


def span(values: list[float], counted: bool = False) -> str:
    low, high = number(min(values), counted), number(max(values), counted)
    return f"({low}–{high})" if low != high else ""


def cell(figures: Figures, load: str, step: str, tool: str, what: str) -> str:
    values = figures.of(load, step, tool, what)
    if (load, step, tool) in figures.failed and (what == "wall" or not values):
        return "failed"
    if not values:
        return "–"
    ratios = figures.ratios(load, step, tool, what)
    counted = not measure.MEASURES[what][0]
    shown = number(statistics.median(values), counted)
    if tool == OURS or not ratios:
        return f"{shown} {span(values, counted)}".rstrip()
    return f"{shown}  ×{number(statistics.median(ratios))} {span(ratios)}"\
        .rstrip()


def table(figures: Figures, loads: dict[str, dict], tools: list[tuple[str,
          str]], steps: list[str]) -> list[str]:
    """Rows of text; tools are names and titles, ours first."""
    lines = []
    for load, about in loads.items():
        lines += ["", f"{load}: {about['title']}",
                  (" " * LABEL + "".join(f"{t:<{CELL}}"
                                         for _, t in tools)).rstrip()]
        for step in steps:
            for what in (BRIEF if about["point"] else SHOWN)[step]:
                cells = [cell(figures, load, step, n, what) for n, _ in tools]
                if all(c == "–" for c in cells):
                    continue
                unit = measure.MEASURES[what][0]
                label = f"  {step:<10}{TITLES.get(what, what)} {unit}"
                lines.append(f"{label:<{LABEL}}"
                             + "".join(f"{c:<{CELL}}" for c in cells).rstrip())
    return lines


# --- the machine -----------------------------------------------------------

def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def after(text: str, name: str) -> str:
    return next((line.split(":", 1)[1].strip() for line in text.splitlines()
                 if line.startswith(name)), "?")


def disk(path: str) -> str:
    """The device and the file system that a path is on."""
    best, found = "", "?"
    for line in read("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        place = fields.split()[4]
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best = place
            found = f"{rest.split()[1]}, {rest.split()[0]}"
    name = os.path.basename(found.split(",")[0])
    model = read(f"/sys/class/block/{name}/device/model").strip()
    return found + (f", {model}" if model else "")


def machine(work: str) -> dict:
    return {"cpu": after(read("/proc/cpuinfo"), "model name"),
            "cores": len(os.sched_getaffinity(0)),
            "memory_mb": int(after(read("/proc/meminfo"), "MemTotal")
                             .split()[0]) // 1024,
            "kernel": os.uname().release,
            "disk": disk(os.path.abspath(work))}


def commit(house: str) -> str:
    """Of the source; with a + when it is not as committed."""
    def git(*argv: str) -> str:
        try:
            return subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", house, *argv],
                capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            return ""
    found = git("rev-parse", "HEAD")
    return found and found + ("+" if git("status", "--porcelain") else "")


# --- results ---------------------------------------------------------------

def save(path: str, about: dict, figures: Figures) -> None:
    whole = {"format": FORMAT, **about,
             "figures": [{"load": k[0], "step": k[1], "tool": k[2],
                          "measure": k[3], "unit": measure.MEASURES[k[3]][0],
                          "values": v} for k, v in figures.values.items()],
             "failed": [{"load": k[0], "step": k[1], "tool": k[2], "why": v}
                        for k, v in figures.failed.items()]}
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(whole, f, indent=1)
        f.write("\n")
    os.rename(path + ".new", path)


def load_result(path: str) -> dict:
    with open(path, encoding="utf-8") as f:
        found = json.load(f)
    if found.get("format") != FORMAT:
        raise ValueError(f"{path} is no result of this benchmark")
    return found


def last_result(folder: str, before: str) -> str | None:
    """The newest one, other than the one being written."""
    found = sorted(p for p in glob.glob(folder + "/bench-*.json")
                   if os.path.abspath(p) != os.path.abspath(before))
    return found[-1] if found else None


def changes(old: dict, new: dict) -> list[str]:
    """What differs by more than both spreads; ours first."""
    lines = [f"other {what}: {old['machine'].get(what)} then, "
             f"{is_now} now"
             for what, is_now in new["machine"].items()
             if old["machine"].get(what) != is_now]
    alike = {name for name, about in new["loads"].items()
             if old["loads"].get(name, {}).get("parameters")
             == about["parameters"]}
    lines += [f"{name}: not the same data as then; left out"
              for name in new["loads"]
              if name in old["loads"] and name not in alike]
    then = {(f["load"], f["step"], f["tool"], f["measure"]):
            [v for v in f["values"] if v is not None] for f in old["figures"]}
    rows = []
    for f in new["figures"]:
        key = (f["load"], f["step"], f["tool"], f["measure"])
        now = [v for v in f["values"] if v is not None]
        was = then.get(key)
        if f["load"] in alike and was and now and differs(was, now):
            a, b = statistics.median(was), statistics.median(now)
            rows.append((f["tool"] != OURS, f"{' '.join(key)}: {number(a)} "
                         f"{span(was)} then, {number(b)} {span(now)} now"
                         + (f", ×{number(b / a)}" if a else "")))
    rows.sort(key=lambda r: r[0])
    return lines + [" ".join(text.split()) for _, text in rows]


def differs(was: list[float], now: list[float]) -> bool:
    a, b = statistics.median(was), statistics.median(now)
    spread = max(max(was) - min(was), max(now) - min(now))
    return abs(a - b) > max(spread, NOISE * a)
