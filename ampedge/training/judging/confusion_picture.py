"""The confusion matrix as a picture: counts in the cells, the share of the true class as colour."""

from collections.abc import Sequence

import numpy as np

from ampedge.training.drawing import figure_of, png, shortened

NOT_ASKED = "not asked"
_LARGEST_INCHES = 26
_PERCENT_UP_TO = 8
"""Classes for which the cells have room for a percentage."""
_ZEROS_UP_TO = 20
"""Classes beyond which empty cells stay empty."""


def confusion_png(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """The matrix of `ampedge.training.metrics.confusion`; its last column is shown only where it counts any row."""
    counts = np.array(confusion)
    columns = [*classes, NOT_ASKED]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], list(classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = 1.05 if len(classes) <= _PERCENT_UP_TO else min(0.62, _LARGEST_INCHES / len(classes))
    inches = (2.6 + cell * len(columns), 1.9 + cell * len(classes))
    with figure_of("The picture of the confusion matrix", inches) as figure:
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        size = min(10, 16 * cell)
        for (i, j), count in np.ndenumerate(counts):
            if not count and len(classes) > _ZEROS_UP_TO:
                continue
            text = f"{count}\n{shares[i, j]:.0%}" if count and len(classes) <= _PERCENT_UP_TO else f"{count}"
            colour = "white" if shares[i, j] > 0.55 else "#1f2937" if count else "#9ca3af"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
        axes.set_xticks(range(len(columns)), [shortened(name) for name in columns], rotation=40, ha="right")
        axes.set_yticks(range(len(classes)), [shortened(name) for name in classes])
        axes.tick_params(which="both", length=0, labelsize=size)
        for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            tick.set_parse_math(False)
            tick.set_rotation_mode("anchor")
        axes.set_xlabel("class by the model")
        axes.set_ylabel("class by the table")
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.spines[:].set_visible(False)
        return png(figure)
