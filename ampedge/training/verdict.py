"""Whether the network earns its place, in plain sentences."""

from collections.abc import Mapping
from typing import Any

_MARGIN = 0.02
_ROWS = 2
"""What counts as no difference: so much macro-F1, or what so many rows of a small test part make."""


def verdict(network: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the scores of the test part say; see `ampedge.training.metrics.scores`."""
    mine = network["macro_f1"]
    name, best = max(
        (
            ("the logistic regression", baselines["logistic_regression"]["macro_f1"]),
            ("always answering the commonest class", baselines["majority_class"]["macro_f1"]),
        ),
        key=lambda pair: pair[1],
    )
    margin = max(_MARGIN, _ROWS / sum(figures["support"] for figures in network["per_class"].values()))
    compared = f"macro-F1 {mine:.3f} against {best:.3f} of {name}"
    if mine > best + margin:
        sentences = [f"The network earns its place: {compared}."]
    elif mine >= best - margin:
        sentences = [f"The network is no better than simpler means on these rows: {compared}."]
    else:
        sentences = [f"The network does not earn its place: {compared}."]
    missed = [name for name, figures in network["per_class"].items() if figures["support"] and not figures["recall"]]
    if missed:
        sentences.append(
            f"It recognised no row of {', '.join(map(repr, missed))}: never rely on it there. "
            "More rows of such a class help, or --class-weight balanced."
        )
    return sentences
