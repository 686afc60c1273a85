"""ROC and precision-recall curves of each class against all others, side by side as one picture."""

from collections.abc import Sequence
from typing import Any

from ampedge.training.drawing import COLOURS, GRID, figure_of, png, shortened
from ampedge.training.judging.curves import Curves

_OTHERS = "#d1d5db"


def curves_png(of_classes: Sequence[Curves]) -> bytes:
    """The classes with the least average precision in colour, all others in grey, as no eye can tell twenty lines."""
    ordered = sorted(of_classes, key=lambda one: one.average_precision)
    with figure_of("The picture of the curves", (13, 4.6)) as figure:
        roc, precision = figure.subplots(1, 2)
        for place, one in enumerate(ordered):
            in_colour = place < len(COLOURS)
            look = {"color": COLOURS[place] if in_colour else _OTHERS, "zorder": 30 - place if in_colour else 2}
            roc.plot(one.false_alarms, one.found, linewidth=1.6, label=_legend(ordered, place), **look)
            precision.plot(one.recall, one.precision, linewidth=1.6, drawstyle="steps-post", **look)
        roc.plot([0, 1], [0, 1], color="#9ca3af", linestyle=":", zorder=1)
        roc.set(title="ROC", xlabel="false alarms among rows of other classes", ylabel="rows of the class found")
        precision.set(title="precision and recall", xlabel="rows of the class found", ylabel="rows called so that are")
        for axes in (roc, precision):
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
            axes.grid(color=GRID)
            axes.spines[["top", "right"]].set_visible(False)
        _explain(figure)
        return png(figure)


def _legend(ordered: Sequence[Curves], place: int) -> str:
    """The name of a class with both areas; all that are in grey have one line."""
    if place < len(COLOURS):
        one = ordered[place]
        return f"{one.roc_area:.3f}  {one.average_precision:.3f}  {shortened(one.name)}"
    rest = len(ordered) - len(COLOURS)
    return f"{rest} more, better ones" if place == len(COLOURS) else "_"


def _explain(figure: Any) -> None:
    legend = figure.legend(
        loc="outside right upper", frameon=False, fontsize=9, title="area of ROC and PR", alignment="left"
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
