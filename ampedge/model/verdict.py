"""What the scores of a test part say, in plain sentences; see `ampedge.training.metrics.scores`.

Sentences that need not be said are None.  `quoted` is how the name of a class stands in a sentence.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

_MARGIN = 0.02
_ROWS = 2
"""What counts as no difference: so much macro-F1, or what so many rows of a small test part make."""

_HARDLY_BETTER = 0.05
_LOW_MACRO_F1 = 0.8
"""Accuracy misleads where it is at most so far above the commonest class and macro-F1 is below this."""


def verdict(network: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """First what a reader must not miss, then whether the network earns its place."""
    return [*cautions(network, baselines["majority_class"]), *beside_others(network, baselines)]


def cautions(
    network: Mapping[str, Any],
    commonest: Mapping[str, Any] | None,
    quoted: Callable[[str], str] = repr,
    *,
    unasked: Collection[str] = (),
) -> list[str]:
    """What must stand before all figures: that accuracy misleads, and what was never recognised.

    `unasked` are the classes about no row of which the model was asked.
    """
    found = [commonest and misleading(network, commonest), never_recognised(network, quoted, unasked)]
    if unasked:
        found.append(
            f"The model was asked about no row of {', '.join(map(quoted, unasked))}: each has a value of bad quality, "
            "to which serve gives no class, whatever the model has learned."
        )
    return [sentence for sentence in found if sentence]


def beside_others(network: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How the network stands beside simpler means, and beside a random forest where that was tried and is better."""
    outdone = beaten_by_forest(network, baselines)
    return [compared(network, baselines), *([] if outdone is None else [outdone])]


def compared(network: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether the network earns its place beside simpler means."""
    mine = network["macro_f1"]
    name, best = max(
        (
            ("the logistic regression", baselines["logistic_regression"]["macro_f1"]),
            ("always answering the commonest class", baselines["majority_class"]["macro_f1"]),
        ),
        key=lambda pair: pair[1],
    )
    margin = _margin(network)
    figures = f"macro-F1 {mine:.3f} against {best:.3f} of {name}"
    if mine > best + margin:
        return f"The network earns its place: {figures}."
    if mine >= best - margin:
        how = "hardly" if mine > best else "no"
        return f"The network is {how} better than simpler means on these rows: {figures}."
    return f"The network does not earn its place: {figures}."


def beaten_by_forest(network: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> str | None:
    """That a random forest finds more in the same rows; None where it was not tried or does not."""
    forest = baselines.get("random_forest")
    if forest is None or forest["macro_f1"] <= network["macro_f1"] + _margin(network):
        return None
    return (
        f"A random forest is better on the same rows: macro-F1 {forest['macro_f1']:.3f} against "
        f"{network['macro_f1']:.3f}. There is more in these columns than this network has learned; "
        "--sweep or more --epochs may find it."
    )


def _margin(network: Mapping[str, Any]) -> float:
    rows: int = sum(figures["support"] for figures in network["per_class"].values())
    return max(_MARGIN, _ROWS / rows)


def never_recognised(
    network: Mapping[str, Any], quoted: Callable[[str], str] = repr, unasked: Collection[str] = ()
) -> str | None:
    """The classes of which no row was recognised, less those that the model was not asked about."""
    missed = [
        name
        for name, figures in network["per_class"].items()
        if figures["support"] and not figures["recall"] and name not in unasked
    ]
    if not missed:
        return None
    return (
        f"It recognised no row of {', '.join(map(quoted, missed))}: never rely on it there. "
        "More rows of such a class help, or --weights balanced, at the price of false alarms."
    )


def misleading(network: Mapping[str, Any], commonest: Mapping[str, Any]) -> str | None:
    """That accuracy looks good only because one class is so common."""
    mine, always = network["accuracy"], commonest["accuracy"]
    alone = always == 1  # all rows are of one class
    if alone or mine > always + _HARDLY_BETTER or network["macro_f1"] >= _LOW_MACRO_F1:
        return None
    return (
        f"Accuracy misleads here: always answering the commonest class reaches {always:.3f}, this model {mine:.3f}; "
        f"macro-F1, in which every class counts the same, is {network['macro_f1']:.3f}."
    )
