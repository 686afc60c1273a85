"""The pictures of an inspection, drawn as SVG in the page itself: small, sharp, and readable for many columns."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from ampedge.training.detectors.finding import Numbers

COLOURS = (
    *("#1d4ed8", "#c62828", "#2e7d32", "#ea580c", "#7c3aed", "#0891b2", "#ca8a04", "#4b5563", "#db2777", "#65a30d"),
    *("#60a5fa", "#f87171", "#4ade80", "#fdba74", "#c4b5fd", "#67e8f9", "#fde047", "#9ca3af", "#f9a8d4", "#bef264"),
)
_INK, _SOFT, _LINE = "#1f2937", "#6b7280", "#e5e7eb"
_BINS = 48
_WIDTH, _LEFT, _RIGHT = 460, 120, 12
_ROW, _ROW_OF_MANY, _MANY = 26, 16, 8
_NAME = 17
_CELL, _CELL_OF_MANY, _NUMBERS = 34, 13, 14
_WIDEST_CELL = 900


def distributions(values: Numbers, targets: NDArray[np.integer], classes: Sequence[str], unit: str) -> str:
    """How one column is distributed in each class: a row for each, all on one scale, each as high as its fullest bin.

    A mark stands at each median.
    """
    known = np.isfinite(values) & (targets >= 0)
    values, targets = values[known], targets[known]
    if not len(values):
        return ""
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + (abs(low) or 1.0)
    row = _ROW if len(classes) <= _MANY else _ROW_OF_MANY
    height = row * len(classes) + 24
    width = _WIDTH - _LEFT - _RIGHT
    parts = []
    for place, name in enumerate(classes):
        base = row * (place + 1)
        mine = values[targets == place]
        parts.append(_text(_LEFT - 8, base - 3, _short(name), end=True, title=f"{name}: {len(mine)} rows"))
        parts.append(f'<path d="M{_LEFT} {base}h{width}" stroke="{_LINE}"/>')
        if not len(mine):
            continue
        counts = np.histogram(mine, bins=_BINS, range=(low, high))[0]
        tops = base - counts / counts.max() * (row - 3)
        step = width / _BINS
        steps = "".join(f"V{top:.1f}h{step:.2f}" for top in tops)
        parts.append(
            f'<path d="M{_LEFT} {base}{steps}V{base}z" fill="{COLOURS[place % len(COLOURS)]}" fill-opacity=".75"/>'
        )
        middle = _LEFT + width * (float(np.median(mine)) - low) / (high - low)
        parts.append(f'<path d="M{middle:.1f} {base}v-{row - 3}" stroke="{_INK}" stroke-width="1.5"/>')
    foot = height - 8
    parts.append(_text(_LEFT, foot, f"{low:.5g}"))
    parts.append(_text(_WIDTH - _RIGHT, foot, f"{high:.5g} {unit}".strip(), end=True))
    return _svg(_WIDTH, height, parts)


def correlations(matrix: Numbers, names: Sequence[str]) -> str:
    """The correlation of each pair of columns: red where both rise together, blue where one falls."""
    count = len(names)
    cell = _CELL if count <= _NUMBERS else _CELL_OF_MANY
    letters = max((len(_short(name)) for name in names), default=1)
    margin = 14 + 7 * letters
    side = count * cell
    parts = []
    for at, name in enumerate(names):
        middle = margin + at * cell + cell / 2
        parts.append(_text(margin - 6, middle + 4, _short(name), end=True, title=name))
        parts.append(
            f'<text transform="translate({middle + 4:.1f} {margin - 6}) rotate(-90)" fill="{_INK}" font-size="12">'
            f"{escape(_short(name))}</text>"
        )
        for other in range(count):
            value = float(matrix[at, other])
            x, y = margin + other * cell, margin + at * cell
            title = f"{name} and {names[other]}: " + ("unknown" if np.isnan(value) else f"{value:.2f}")
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill="{_shade(value)}">'
                f"<title>{escape(title)}</title></rect>"
            )
            if count <= _NUMBERS and not np.isnan(value) and at != other:
                ink = "#fff" if abs(value) > 0.6 else _INK
                parts.append(
                    f'<text x="{x + cell / 2 - 0.5}" y="{y + cell / 2 + 4}" text-anchor="middle" fill="{ink}" '
                    f'font-size="11">{value:.1f}</text>'
                )
    size = margin + side + 4
    return _svg(size, size, parts)


def _shade(value: float) -> str:
    """White at 0, red at 1, blue at -1, grey where nothing is known."""
    if np.isnan(value):
        return "#d1d5db"
    red, green, blue = (198, 40, 40) if value > 0 else (29, 78, 216)
    strength = min(1.0, abs(value))
    return "#" + "".join(f"{round(255 + (one - 255) * strength):02x}" for one in (red, green, blue))


def _text(x: float, y: float, text: str, *, end: bool = False, title: str = "") -> str:
    anchor = ' text-anchor="end"' if end else ""
    colour = _INK if title else _SOFT
    tip = f"<title>{escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{anchor} fill="{colour}" font-size="12">{tip}{escape(text)}</text>'


def _short(name: str) -> str:
    """Long names differ at their ends, so they are cut in the middle."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 + 1 :]}"


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )
