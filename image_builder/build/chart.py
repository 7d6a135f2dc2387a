"""When each step of a build ran, and beside which others, as an SVG picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from image_builder.build.record import BuildRecord, LayerRecord

WIDTH, ROW, TOP, LEFT = 960, 24, 28, 12  # pixels
CHARACTER = 6.2  # pixels of one at 11 px, about
# kind of step -> colour; all readable under dark text, and apart for those who see no red or green
COLOURS = {
    "base": "#b8b8b8", "prepare": "#d9d9d9", "early": "#9ecae1", "packages": "#6baed6", "chroot": "#c6dbef",
    "finish": "#bcbddc", "image": "#fdae6b", "binary": "#fdd0a2", "pack": "#fee391",
}  # fmt: skip
FAILED = "#e6550d"


def lanes(layers: Sequence[LayerRecord]) -> list[list[LayerRecord]]:
    """Steps that ran, in as few rows as ran at once; none overlaps another one of its row."""
    rows: list[list[LayerRecord]] = []
    for layer in sorted((x for x in layers if x.began_s is not None), key=lambda x: (x.began_s, x.name)):
        began = layer.began_s or 0.0
        free = (row for row in rows if (row[-1].began_s or 0.0) + row[-1].seconds <= began + 0.005)
        row = next(free, None)
        if row is None:
            row = []
            rows.append(row)
        row.append(layer)
    return rows


def svg(record: BuildRecord) -> str:
    """The chart of a build; a build in which nothing ran gives one with a word about that."""
    rows = lanes(record.layers)
    total = max([record.seconds, *((x.began_s or 0.0) + x.seconds for row in rows for x in row)], default=0.0) or 1.0
    scale = (WIDTH - 2 * LEFT) / total
    height = TOP + max(len(rows), 1) * ROW + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label={quoteattr(_title(record))}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for seconds in _ticks(total):
        x = LEFT + seconds * scale
        out.append(f'<line x1="{x:.1f}" y1="18" x2="{x:.1f}" y2="{height - 4}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{x:.1f}" y="13" text-anchor="middle" fill="#666666">{seconds:g} s</text>')
    if not rows:
        out.append(f'<text x="{LEFT}" y="{TOP + 15}">no step ran: all was there already</text>')
    for number, row in enumerate(rows):
        for layer in row:
            out.append(_bar(layer, LEFT + (layer.began_s or 0.0) * scale, TOP + number * ROW, layer.seconds * scale))
    return "\n".join([*out, "</svg>"]) + "\n"


def _title(record: BuildRecord) -> str:
    return f"{len(record.targets)} targets in {record.seconds:.0f} s"


def _ticks(total: float) -> list[float]:
    """Round seconds, six to twelve of them up to the end."""
    step = next((s for s in (0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if total / s <= 12), 1800)
    return [round(step * n, 3) for n in range(int(total / step) + 1)]


def _bar(layer: LayerRecord, x: float, y: float, width: float) -> str:
    colour = FAILED if layer.action == "failed" else COLOURS.get(layer.kind, "#dddddd")
    label = layer.name.rpartition(" ")[2].rpartition("/")[2]
    room = int((width - 6) / CHARACTER)
    shown = label if len(label) <= room else label[: max(room - 1, 0)] + "…" if room > 3 else ""
    text = f'<text x="{x + 3:.1f}" y="{y + 15}">{escape(shown)}</text>' if shown else ""
    tip = f"{layer.name}: {layer.seconds:.1f} s, {', '.join(layer.targets)}"
    place = f'x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{ROW - 4}"'
    return f'<g><title>{escape(tip)}</title><rect {place} rx="2" fill="{colour}"/>{text}</g>'
