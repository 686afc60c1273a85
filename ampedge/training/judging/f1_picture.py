"""F1 of each class of two models as a picture: two points a class, each with its interval."""

from collections.abc import Sequence

from ampedge.training.drawing import GRID, figure_of, png, shortened
from ampedge.training.judging.evaluation import Evaluation

_COLOURS = ("#9ca3af", "#08519c")


def f1_png(models: Sequence[Evaluation], names: Sequence[str]) -> bytes:
    """Of the classes that occur, the worst of the first model at the top."""
    classes = [name for name, one in models[0].by_class() if one["support"]]
    with figure_of("The picture of the figures", (8, 1.6 + 0.45 * len(classes))) as figure:
        axes = figure.add_subplot()
        for place, (model, title, colour) in enumerate(zip(models, names, _COLOURS, strict=True)):
            offset = 0.14 * (2 * place - 1)
            for row, name in enumerate(classes):
                between = model.intervals.per_class[name]["f1"]
                if between:
                    axes.plot(between, [row + offset] * 2, color=colour, linewidth=2, alpha=0.6)
            found = [model.scores["per_class"][name]["f1"] for name in classes]
            axes.plot(
                found,
                [row + offset for row in range(len(classes))],
                "o",
                color=colour,
                label=shortened(title),
                markersize=6,
            )
        axes.set_yticks(range(len(classes)), [shortened(name) for name in classes])
        axes.set(xlim=(-0.02, 1.02), ylim=(len(classes) - 0.5, -0.5), xlabel="F1")
        axes.grid(color=GRID, axis="x")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        legend = figure.legend(loc="outside upper right", frameon=False, ncols=2)
        for text in (*axes.get_yticklabels(), *legend.get_texts()):
            text.set_parse_math(False)
        return png(figure)
