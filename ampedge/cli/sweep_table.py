"""What a sweep tried, on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def in_short(layers: Sequence[int], learning_rate: float, l2: float) -> str:
    """One choice of settings on a line."""
    return f"layers {_listed(layers)}, learning rate {learning_rate:g}, L2 {l2:g}"


def heading(swept: Mapping[str, Any]) -> str:
    """What the table shows, and what is in use now."""
    kept = swept["tried"][swept["chosen"]]
    return (
        f"The sweep tried {len(swept['tried'])} settings on {swept['folds']} folds of the rows that are not held out "
        f"and kept {in_short(kept['layers'], kept['learning_rate'], kept['l2'])}."
    )


def sweep_table(swept: Mapping[str, Any]) -> Table:
    """All of them, the best first: mean and standard deviation over the folds."""
    table = Table("best first", box=None, pad_edge=False)
    for name in ("learning rate", "L2", "accuracy", "macro-F1"):
        table.add_column(name, justify="right")
    order = sorted(enumerate(swept["tried"]), key=lambda one: (one[0] != swept["chosen"], -one[1]["macro_f1"]["mean"]))
    for place, trial in order:
        figures = (f"{trial[name]['mean']:.3f} ± {trial[name]['deviation']:.3f}" for name in ("accuracy", "macro_f1"))
        settings = (_listed(trial["layers"]), f"{trial['learning_rate']:g}", f"{trial['l2']:g}")
        table.add_row(*settings, *figures, style="bold" if place == swept["chosen"] else None)
    return table


def _listed(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers))
