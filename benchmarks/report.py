"""What the benchmarks write: tables in Markdown and a picture in SVG."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

UNAVAILABLE = "not measured: the base image cannot be had"


@dataclass(frozen=True)
class Figures:
    """What was measured of one image: bytes of each file, pull in MB, times in seconds."""

    python: str
    sizes: Mapping[str, int]
    pull: float
    cold: float
    code: float
    dependency: float
    start: float

    @property
    def root(self) -> float:
        """Return the size of the root file system."""
        return sum(self.sizes.values()) / 1e6


@dataclass(frozen=True)
class Row:
    """One image: its name, whether the template makes it, and its figures if its base was had."""

    name: str
    ours: bool
    figures: Figures | None


def table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table whose first columns, so many as `left`, hold text, others figures."""
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def ratio(ones: Sequence[float], others: Sequence[float]) -> str:
    """Return the median of the ratios of the rounds, with the lowest and the highest."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def figures_table(rows: Sequence[Row]) -> str:
    """Return the table of all figures, with units in its head."""
    head = ["image", "Python", "root fs, MB", "pull, MB", "files"]
    head += [f"build {kind}, s" for kind in ("cold", "after code", "after dependency")]
    lines = []
    for row in rows:
        name, it = f"**{row.name}**" if row.ours else row.name, row.figures
        if it is None:
            lines.append([name, UNAVAILABLE, *[""] * 7])
            continue
        seconds = [f"{value:.1f}" for value in (it.cold, it.code, it.dependency)]
        sizes = [f"{it.root:.1f}", f"{it.pull:.1f}", str(len(it.sizes))]
        lines.append([name, it.python, *sizes, *seconds, f"{it.start:.2f}"])
    return table([*head, "start, s"], lines, left=2)


def ratios_table(rows: Sequence[Row], baseline: str) -> str:
    """Return each of our rows' sizes and start divided by those of the row named `baseline`."""
    base = next((row.figures for row in rows if row.name == baseline), None)
    if base is None:
        return f"No ratios, as {baseline} was {UNAVAILABLE}."
    lines = []
    for row in rows:
        if row.ours and (it := row.figures):
            pairs = ((it.root, base.root), (it.pull, base.pull), (it.start, base.start))
            lines.append([row.name, *[f"{mine / other:.2f}" for mine, other in pairs]])
    return table([f"divided by {baseline}", "root fs", "pull", "start"], lines)


def parts(sizes: Mapping[str, int]) -> Counter[str]:
    """Sum up the bytes of the files by library, distribution and folder."""
    summed: Counter[str] = Counter()
    for path, size in sizes.items():
        folder, _, name = path.rpartition("/")
        _, installed, inside = path.partition("/site-packages/")
        if installed:
            part = inside.partition("/")[0].partition("-")[0]
        elif ".so" in name and folder in {"lib", "usr/lib"}:
            part = name.partition(".so")[0]
        elif "lib/python3" in path:
            part = "standard library"
        else:
            part = folder
        summed[part] += size
    return summed


def parts_table(rows: Sequence[Row]) -> str:
    """Return what the parts take of each row's root file system, from 0.5 MB on; largest first."""
    columns = [(row.name, parts(row.figures.sizes)) for row in rows if row.figures]
    largest: Counter[str] = Counter()
    for _, column in columns:
        largest |= column
    shown = [part for part, size in largest.most_common() if size >= 500_000]
    lines = [[part, *[f"{column[part] / 1e6:.2f}" for _, column in columns]] for part in shown]
    rest = [column.total() - sum(column[part] for part in shown) for _, column in columns]
    lines.append(["all else", *[f"{size / 1e6:.2f}" for size in rest]])
    return table(["part", *[name for name, _ in columns]], lines)


@dataclass(frozen=True)
class Palette:
    """The colours of a picture: bars are pairs, for the root file system and for the pull."""

    ground: str
    text: str
    quiet: str
    line: str
    theirs: tuple[str, str]
    ours: tuple[str, str]


LIGHT = Palette(
    "#ffffff", "#1f2328", "#59636e", "#d1d9e0", ("#818b98", "#c8d1da"), ("#1a7f37", "#8ddb9f")
)
DARK = Palette(
    "#0d1117", "#f0f6fc", "#9198a1", "#3d444d", ("#848d97", "#4a525c"), ("#3fb950", "#1f6f35")
)

WIDTH, TOP, STEP, BAR, LABELS, VALUES = 800, 54, 42, 14, 236, 84


def svg(rows: Sequence[Row], palette: Palette) -> str:
    """Return a picture of every row's root file system and pull size, as horizontal bars in MB."""
    height = TOP + STEP * len(rows) + 10
    largest = max((row.figures.root for row in rows if row.figures), default=1.0)
    scale = (WIDTH - LABELS - VALUES) / largest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title" font-size="13" '
        "font-family=\"-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif\">",
        '<title id="title">Root file system and pull size of each image, in MB</title>',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{palette.ground}"/>',
        f'<text x="16" y="28" font-size="16" font-weight="600" fill="{palette.text}">'
        "Image size, MB</text>",
        f'<path d="M{LABELS - 0.5} {TOP - 8}V{height - 14}" stroke="{palette.line}"/>',
    ]
    for place, (words, kind) in enumerate((("root file system", 0), ("pull, compressed", 1))):
        x = LABELS + 150 * place
        for shift, pair in enumerate((palette.theirs, palette.ours)):
            parts.append(
                f'<rect x="{x + 14 * shift}" y="18" width="12" height="12" fill="{pair[kind]}"/>'
            )
        parts.append(f'<text x="{x + 34}" y="28" fill="{palette.quiet}">{words}</text>')
    for number, row in enumerate(rows):
        y = TOP + STEP * number
        weight = ' font-weight="600"' if row.ours else ""
        parts.append(
            f'<text x="{LABELS - 12}" y="{y + BAR + 5}" text-anchor="end"{weight} '
            f'fill="{palette.text}">{escape(row.name)}</text>'
        )
        if row.figures is None:
            parts.append(
                f'<text x="{LABELS + 8}" y="{y + BAR + 5}" font-style="italic" '
                f'fill="{palette.quiet}">{UNAVAILABLE}</text>'
            )
            continue
        colours = palette.ours if row.ours else palette.theirs
        for kind, megabytes in enumerate((row.figures.root, row.figures.pull)):
            top, width = y + kind * (BAR + 1), max(megabytes * scale, 1)
            parts.append(
                f'<rect x="{LABELS}" y="{top}" width="{width:.1f}" height="{BAR}" '
                f'fill="{colours[kind]}"/>'
                f'<text x="{LABELS + width + 7:.1f}" y="{top + 11.5}" font-size="12"{weight} '
                f'fill="{palette.quiet if kind else palette.text}">{megabytes:.1f}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])
