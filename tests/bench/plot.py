"""Charts of cost against size, as SVG, written by hand: both axes are
logarithmic, a line is a tool, whiskers are the spread of its rounds."""
import math
import statistics
from dataclasses import dataclass, field
from html import escape

COLOURS = {"snapctl": "#c2410c", "restic": "#1d4ed8", "borg": "#15803d",
           "tar": "#6b7280"}
OTHERS = ("#7c3aed", "#0891b2", "#be185d", "#854d0e", "#374151", "#4d7c0f")
WIDTH, HEIGHT, COLUMNS = 430, 300, 2
LEFT, RIGHT, TOP, BOTTOM = 66, 18, 40, 48
HEAD, FOOT = 74, 30


@dataclass
class Panel:
    title: str
    unit: str
    # For each line its points: x, and what was measured there.
    lines: dict[str, list[tuple[float, list[float]]]] = field(
        default_factory=dict)

    def add(self, line: str, x: float, values: list[float]) -> None:
        good = [v for v in values if v > 0]
        if good and x > 0:
            self.lines.setdefault(line, []).append((x, good))


@dataclass
class Axis:
    """Where a value is, between two ends that are not round numbers."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        part = ((math.log10(value) - math.log10(self.low))
                / (math.log10(self.high) - math.log10(self.low)))
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; with 2 and 5 between them where there are few."""
        first, last = (math.floor(math.log10(self.low)),
                       math.ceil(math.log10(self.high)))
        for steps in ((1,), (1, 2, 5)):
            found = [s * 10.0 ** n for n in range(first, last + 1)
                     for s in steps
                     if self.low * 0.999 <= s * 10.0 ** n <= self.high * 1.001]
            if len(found) >= 3:
                return found
        return found or [self.low, self.high]


def axis(values: list[float], start: float, end: float) -> Axis:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.06, 1.15)
    return Axis(low / room, high * room, start, end)


def short(value: float) -> str:
    """1,500,000 as 1.5M; powers of ten stay readable."""
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{mark}"
    return f"{value:.3g}"


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def colour(name: str, names: list[str]) -> str:
    others = [n for n in names if n not in COLOURS]
    return COLOURS.get(name) or OTHERS[others.index(name) % len(OTHERS)]


def draw_panel(panel: Panel, x_title: str, names: list[str]) -> list[str]:
    points = [p for line in panel.lines.values() for p in line]
    out = [text(LEFT, TOP - 14, f"{panel.title}, {panel.unit}"
                if panel.unit else panel.title, ' class="panel"')]
    if not points:
        return out + [text(LEFT + 10, TOP + 30, "nothing was measured")]
    xs = axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    ys = axis([v for _, vs in points for v in vs], HEIGHT - BOTTOM, TOP)
    for x in xs.ticks():
        at = xs.at(x)
        out.append(f'<path class="grid" d="M{at:.1f} {TOP}V'
                   f'{HEIGHT - BOTTOM}"/>')
        out.append(text(at, HEIGHT - BOTTOM + 16, short(x),
                        ' text-anchor="middle"'))
    for y in ys.ticks():
        at = ys.at(y)
        out.append(f'<path class="grid" d="M{LEFT} {at:.1f}H'
                   f'{WIDTH - RIGHT}"/>')
        out.append(text(LEFT - 6, at + 4, short(y), ' text-anchor="end"'))
    out.append(f'<path class="frame" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H'
               f'{WIDTH - RIGHT}"/>')
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, x_title,
                    ' text-anchor="middle"'))
    for name, line in panel.lines.items():
        out += draw_line(sorted(line), xs, ys, colour(name, names))
    return out


def draw_line(line: list[tuple[float, list[float]]], xs: Axis, ys: Axis,
              ink: str) -> list[str]:
    at = [(xs.at(x), ys.at(statistics.median(v)), v) for x, v in line]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in at)
    out = [f'<path d="M{path}" fill="none" stroke="{ink}" '
           'stroke-width="2"/>']
    for x, y, values in at:
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" '
                   f'fill="{ink}"/>')
        if max(values) > min(values):
            out.append(f'<path d="M{x:.1f} {ys.at(min(values)):.1f}V'
                       f'{ys.at(max(values)):.1f}" stroke="{ink}" '
                       'stroke-width="1"/>')
    return out


def svg(title: str, x_title: str, panels: list[Panel],
        foot: str = "") -> str:
    """The whole picture; panels stand two in a row."""
    names = list(dict.fromkeys(n for p in panels for n in p.lines))
    rows = -(-len(panels) // COLUMNS)
    width = WIDTH * min(COLUMNS, len(panels))
    height = HEAD + rows * HEIGHT + FOOT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
           f'height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" '
           'font-size="12" fill="#1f2937">',
           f"<title>{escape(title)}</title>",
           "<style>.grid{stroke:#e5e7eb}.frame{stroke:#6b7280;fill:none}"
           ".panel{font-weight:bold;font-size:13px}</style>",
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           text(LEFT, 28, title, ' font-size="17" font-weight="bold"')]
    x, y = LEFT, HEAD - 24
    for name in names:
        wide = 50 + 7 * len(name)
        if x > LEFT and x + wide > width:
            x, y = LEFT, y + 17
        ink = colour(name, names)
        out.append(f'<path d="M{x} {y}H{x + 22}" stroke="{ink}" '
                   f'stroke-width="3"/><circle cx="{x + 11}" cy="{y}" r="4" '
                   f'fill="{ink}"/>')
        out.append(text(x + 28, y + 4, name))
        x += wide
    for n, panel in enumerate(panels):
        out.append(f'<g transform="translate({n % COLUMNS * WIDTH},'
                   f'{HEAD + n // COLUMNS * HEIGHT})">')
        out += draw_panel(panel, x_title, names)
        out.append("</g>")
    out.append(text(LEFT, height - 12, foot, ' font-size="11" '
                    'fill="#6b7280"'))
    out.append("</svg>\n")
    return "\n".join(out)
