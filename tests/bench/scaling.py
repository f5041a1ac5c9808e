"""Cost against size: the same steps at several sizes, drawn as SVG; and our
own programs that make repositories of many chunks without the data."""
import os
import re

import loads
import measure
import plot
import report
import tools

PANELS = (("first", "wall", "first snapshot"),
          ("unchanged", "wall", "unchanged snapshot"),
          ("check", "wall", "check, all data read"),
          ("restore", "wall", "restore"),
          ("first", "anon", "anonymous memory, first snapshot"),
          ("restore", "anon", "anonymous memory, restore"),
          ("first", "stored", "stored"),
          ("first", "entries", "index entries"))
STEPS = ("init", "first", "unchanged", "check", "restore")
KINDS: dict[str, type[loads.Growing] | None] = {
    "size": loads.BySize, "files": loads.ByFiles, "chunks": None}

CHUNKS = (100_000, 1_000_000, 10_000_000)
CHUNKS_QUICK = (10_000, 30_000, 100_000)

# What those programs print (measure.h): "index: merge them into one  10000
# 0.0195 s  0.0081 s of the processor  1.8 MiB  …".
COST = re.compile(r"^(\w+: .+?) {2,}\d+ +([\d.]+) s +[\d.]+ s of the processor"
                  r" +([\d.]+) MiB", re.M)


def label(kind: loads.Growing, point: int) -> str:
    """The name of a point among the loads of a result."""
    shown = (f"{point / (1 << 30):g}" if kind.unit == "GB" else f"{point:,}")
    return f"{kind.name} {shown} {kind.unit}"


def draw_growing(kind: loads.Growing, figures: report.Figures,
                 names: list[str], foot: str) -> str:
    panels = []
    for step, what, title in PANELS:
        panel = plot.Panel(title, measure.MEASURES[what][0])
        for name in names:
            for point in kind.points():
                x = point / (1 << 30) if kind.unit == "GB" else point
                panel.add(name, x, figures.of(label(kind, point), step, name,
                                              what))
        panels.append(panel)
    return plot.svg(f"Cost against {kind.unit}", kind.unit, panels, foot)


class Chunks:
    """Runs bench_index and bench_gc, where they were built."""

    name = "chunks"

    def __init__(self, programs: list[str], quick: bool) -> None:
        self.points = CHUNKS_QUICK if quick else CHUNKS
        self.programs = {n: p for n in ("index", "gc")
                         if (p := tools.built(programs, n))}

    def missing(self) -> list[str]:
        return [f"bench_{n} is not built" for n in ("index", "gc")
                if n not in self.programs]

    @staticmethod
    def read(said: str) -> dict[str, tuple[float, float]]:
        """Seconds and MiB by what they were for; {} for an unknown print."""
        return {m[1]: (float(m[2]), float(m[3])) for m in COST.finditer(said)}

    def run(self, work: str, figures: report.Figures, number: int,
            tell) -> None:
        for chunks in self.points:
            for name, program in self.programs.items():
                folder = os.path.join(work, f"chunks-{name}")
                measure.remove(folder)
                os.makedirs(folder)
                load = f"chunks {chunks:,}"
                tell(f"{load}, {name}")
                try:
                    whole, said = measure.run(
                        [program, folder, str(chunks)], dict(os.environ))
                    found = self.read(said)
                    if not found:
                        raise measure.Trouble("what it printed is not known "
                                              "here")
                    for step, (seconds, mib) in found.items():
                        at = load, step, "snapctl"
                        figures.add((*at, "wall"), number, seconds)
                        figures.add((*at, "anon"), number, mib)
                    for what in ("wall", "anon", "read", "written"):
                        if what in whole:
                            figures.add((load, f"{name} whole", "snapctl",
                                         what), number, whole[what])
                except measure.Trouble as e:
                    figures.failed[(load, name, "snapctl")] = str(e)
                finally:
                    measure.remove(folder)

    def draw(self, figures: report.Figures, foot: str) -> str:
        steps = list(dict.fromkeys(k[1] for k in figures.values
                                   if k[0].startswith("chunks ")
                                   and not k[1].endswith(" whole")))
        time = plot.Panel("time of each part", "s")
        memory = plot.Panel("memory of each part", "MiB")
        for chunks in self.points:
            for step in steps:
                for panel, what in ((time, "wall"), (memory, "anon")):
                    panel.add(step, chunks, figures.of(
                        f"chunks {chunks:,}", step, "snapctl", what))
        return plot.svg("Cost against chunks", "chunks", [time, memory], foot)
