"""The calibration curve as a picture: how often the model is right at each confidence, and where its rows are."""

from ampedge.training.drawing import GRID, figure_of, png
from ampedge.training.judging.reliability import Calibration

_RIGHT, _ROWS = "#08519c", "#9ca3af"
_SMALLEST, _LARGEST = 10, 70
"""Areas of the points: a bin of few rows says little."""


def calibration_png(calibration: Calibration) -> bytes:
    """Bins of confidence with the share of right rows against the diagonal; below them the rows of each bin."""
    with figure_of("The picture of the calibration", (6.4, 5.6)) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        filled = [one for one in calibration.bins if one.rows]
        middles = [(one.low + one.high) / 2 for one in filled]
        most = max(one.rows for one in filled)
        width = calibration.bins[0].high - calibration.bins[0].low
        above.bar(middles, [one.accuracy for one in filled], width=0.9 * width, color=_RIGHT, alpha=0.25)
        above.plot([0, 1], [0, 1], color="#6b7280", linestyle=":", label="confidence that is right")
        above.scatter(
            [one.confidence for one in filled],
            [one.accuracy for one in filled],
            s=[_SMALLEST + _LARGEST * one.rows / most for one in filled],
            color=_RIGHT,
            zorder=3,
            label="this model; larger points are more rows",
        )
        above.set(ylabel="rows that are right", xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        above.set_title(f"expected calibration error {calibration.error:.3f}", fontsize=11)
        above.legend(frameon=False, loc="upper left")
        below.bar(middles, [one.rows for one in filled], width=0.9 * width, color=_ROWS)
        below.set(ylabel="rows", xlabel="confidence", yscale="log", ylim=(0.6, 2 * most))
        for axes in (above, below):
            axes.grid(color=GRID)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        return png(figure)
