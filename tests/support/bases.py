"""Tables of many shapes to plant defects in, each drawn anew from a seed."""

import numpy as np

from ampedge import amplifier
from tests.support.planter import Base

LABELS = ("healthy", "worn", "blocked", "loose", "overheated", "leaking")


def drawn_base(seed: int, *, most_rows: int = 1500) -> Base:
    """A table of a shape that the seed draws: few or many rows and columns, in order of time or not."""
    draw = np.random.default_rng(seed)
    if draw.random() < 0.08:
        return amplifier_base(seed, int(draw.integers(1200, max(1201, most_rows))))
    classes = int(draw.integers(2, 6))
    rows = int(np.exp(draw.uniform(np.log(60 * classes), np.log(max(60 * classes + 1, most_rows)))))
    count = int(draw.integers(3, 30 if draw.random() < 0.2 else 9))
    has_time = draw.random() < 0.45
    shares = draw.dirichlet(np.full(classes, 4.0)) * 0.3 + 0.7 / classes
    if has_time:
        targets = np.repeat(np.arange(classes), np.maximum(1, (shares * rows).astype(int)))
        blocks = np.array_split(targets, max(4, rows // 40))
        draw.shuffle(blocks)
        targets = np.concatenate(blocks)
    else:
        targets = draw.choice(classes, rows, p=shares)
    rows = len(targets)
    columns = {f"sensor_{place}": _column(draw, targets, is_ordered=has_time) for place in range(count)}
    names, cells = list(columns), list(columns.values())
    if has_time:
        step = float(draw.choice([0.5, 1, 10, 60]))
        jitter = draw.uniform(-0.2, 0.2, rows) * step if draw.random() < 0.5 else np.zeros(rows)
        times = 1_700_000_000 + np.arange(rows) * step + jitter
        names, cells = ["timestamp", *names], [[f"{value:.1f}" for value in times], *cells]
    names.append("status")
    cells.append([LABELS[target] for target in targets])
    return Base(tuple(names), [list(row) for row in zip(*cells, strict=True)], time="timestamp" if has_time else None)


def amplifier_base(seed: int, rows: int) -> Base:
    """Rows of the amplifier that does not exist."""
    made = amplifier.generate(rows, seed=seed % 2**31)
    return Base((*amplifier.datamap().names, "status"), made.cells())


def _column(draw: np.random.Generator, targets: np.ndarray, *, is_ordered: bool) -> list[str]:
    """A measurement that depends on the class more or less, of a distribution that is drawn."""
    rows = len(targets)
    says_something = draw.random() < 0.85
    shift = says_something * draw.uniform(1.4, 2.2) * draw.permutation(targets.max() + 1)[targets]
    shape = draw.choice(["normal", "uniform", "lognormal", "exponential", "bimodal", "student", "counts", "codes"])
    if shape == "codes":
        return [str(value) for value in (draw.integers(0, 3, rows) + (shift > 1)).tolist()]
    if shape == "counts":
        return [str(value) for value in draw.poisson(20 * np.exp(0.2 * shift)).tolist()]
    noise = {
        "normal": lambda: draw.normal(0, 1, rows),
        "uniform": lambda: draw.uniform(-1.7, 1.7, rows),
        "lognormal": lambda: draw.lognormal(0, draw.uniform(0.3, 1), rows),
        "exponential": lambda: draw.exponential(1, rows),
        "bimodal": lambda: draw.normal(0, 0.3, rows) + 2 * draw.integers(0, 2, rows),
        "student": lambda: draw.standard_t(4, rows),
    }[str(shape)]()
    if is_ordered and draw.random() < 0.6:
        slow = np.empty(rows)
        slow[0] = 0
        keep = draw.uniform(0.8, 0.99)
        for at in range(1, rows):
            slow[at] = keep * slow[at - 1] + noise[at] * np.sqrt(1 - keep**2)
        noise = slow
    scale = 10 ** draw.uniform(-1, 2)
    values = (noise + shift) * scale + draw.choice([0, 5, 50]) * scale
    digits = max(0, int(3 - np.log10(scale))) if draw.random() < 0.8 else max(0, int(1 - np.log10(scale)))
    return [f"{value:.{digits}f}" for value in values]
