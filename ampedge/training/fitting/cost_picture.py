"""What a threshold trades, as a picture: misses against false alarms, and what both cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ampedge.training.drawing import GRID, figure_of, png
from ampedge.training.fitting.thresholds import Trade

_COLOURS = {"together": "#1f2937", "misses": "#c62828", "false alarms": "#1d4ed8"}
_LEAST = 1e-4
_POINTS = 4000
"""More than a picture is wide: those of a long table would fill the memory."""


def costs_png(trades: Sequence[Trade], stored: Mapping[str, float]) -> bytes:
    """A panel for each class below each other; lines mark the threshold of its cost, and what the bundle stores."""
    with figure_of("The picture of the costs", (8, 3.4 * len(trades))) as figure:
        for axes, of_class in zip(figure.subplots(len(trades), squeeze=False)[:, 0], trades, strict=True):
            per_row = 1000 / of_class.rows
            shown = _shown(of_class.thresholds)
            at = of_class.thresholds[shown].clip(_LEAST, 1)
            for name, costs in (
                ("together", of_class.costs),
                ("misses", of_class.cost * of_class.misses),
                ("false alarms", of_class.false_alarms),
            ):
                style = "-" if name == "together" else "--"
                axes.step(at, costs[shown] * per_row, style, where="pre", color=_COLOURS[name], label=name)
            kept = stored.get(of_class.name)
            if kept != of_class.chosen:
                label = f"of this cost: {of_class.chosen:.3g}"
                axes.axvline(of_class.chosen, color="#6b7280", linestyle="-.", label=label)
            if kept is not None:
                axes.axvline(kept, color="#6b7280", linestyle=":", label=f"kept in the model: {kept:.3g}")
            axes.set_xscale("log")
            axes.set_xlim(_LEAST, 1)
            axes.set_ylim(bottom=0)
            title = axes.set_title(f"{of_class.name}: a miss costs {of_class.cost:g} false alarms")
            title.set_parse_math(False)
            axes.set_xlabel("probability from which it is said")
            axes.set_ylabel("cost in 1000 rows")
            axes.grid(color=GRID)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        return png(figure)


def _shown(thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """The places of those that can be told apart in the picture."""
    places = np.searchsorted(thresholds, np.geomspace(_LEAST, 1, _POINTS))
    return np.unique(places.clip(max=len(thresholds) - 1))
