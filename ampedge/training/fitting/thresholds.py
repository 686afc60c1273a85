"""From what a miss costs to the probability from which a class is said, and what that trades for what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.decision import chosen
from ampedge.errors import UsageError
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.training.rows.labels import by_known_class


@dataclass(frozen=True, slots=True)
class Trade:
    """What each threshold of one class costs on the same rows; all arrays have one place for each threshold.

    `cost` is that of one miss, in false alarms; `chosen` the threshold that follows from it.
    """

    name: str
    cost: float
    chosen: float
    rows: int
    thresholds: NDArray[np.float64]
    misses: NDArray[np.int64]
    false_alarms: NDArray[np.int64]

    @property
    def costs(self) -> NDArray[np.float64]:
        """In false alarms, of all rows together."""
        return np.asarray(self.cost * self.misses + self.false_alarms, dtype=np.float64)


def known_costs(costs: Mapping[str, float], classes: Sequence[str], normal_label: str) -> dict[str, float]:
    """The costs by the classes' own names; raises UsageError for a name that is no class or the normal state."""
    found = by_known_class("--cost", costs, classes)
    if normal_label in found:
        raise UsageError(
            f"--cost: {normal_label!r} is the normal state; to miss it is the false alarm that the costs are counted "
            "in.",
            "Give the costs of the other classes.",
        )
    return found


def threshold(cost: float) -> float:
    """The probability from which a false alarm is cheaper than a miss that costs `cost` false alarms.

    With calibrated probabilities p, an alarm costs 1 - p and silence cost * p (C. Elkan, The Foundations of
    Cost-Sensitive Learning, 2001).  It is not searched for on the rows: rare classes have too few of them.
    """
    return 1 / (1 + cost)


def said(probabilities: Matrix, thresholds: Mapping[int, float]) -> NDArray[np.intp]:
    """The place of the class that is said of each row, as the pipeline chooses it."""
    each = (chosen(row.tolist(), thresholds) for row in probabilities)  # all as lists would fill the memory
    return np.fromiter(each, dtype=np.intp, count=len(probabilities))


def said_by(bundle: Bundle, probabilities: Matrix) -> NDArray[np.intp]:
    """The same with the thresholds of the bundle."""
    least = bundle.manifest.thresholds
    return said(probabilities, {bundle.classes.index(name): least[name] for name in least})


def missed(found: NDArray[np.intp], targets: NDArray[np.int32], place: int) -> dict[str, int]:
    """Rows of the class at `place` that were not found, and other rows that were taken for it."""
    return {
        "misses": int(((targets == place) & (found != place)).sum()),
        "false_alarms": int(((targets != place) & (found == place)).sum()),
    }


def traded(
    of_each: Sequence[Trade], classes: Sequence[str], targets: NDArray[np.int32], probabilities: Matrix
) -> dict[str, dict[str, Any]]:
    """For each class with a cost: its threshold, and misses and false alarms with and without the thresholds."""
    if not of_each:
        return {}
    places = {classes.index(one.name): one for one in of_each}
    now = said(probabilities, {place: one.chosen for place, one in places.items()})
    plain = said(probabilities, {})
    return {
        one.name: {
            "cost": one.cost,
            "threshold": one.chosen,
            "rows": int((targets == place).sum()),
            **missed(now, targets, place),
            "without": missed(plain, targets, place),
        }
        for place, one in places.items()
    }


def in_words(name: str, one: Mapping[str, Any]) -> str:
    """What `traded` says of a class, for people."""
    beside = {key: f"without thresholds {one['without'][key]}" for key in one["without"]}
    if own := one.get("as_is"):
        beside = {key: f"as the model is {own[key]}, {beside[key]}" for key in own}
    begin = f"A miss of {name} costs {one['cost']:.4g} false alarms, so "
    if one.get("stored", one["threshold"]) != one["threshold"]:
        begin += f"it should be said from a probability of {one['threshold']:.3g} on (`train --cost` stores that)"
    else:
        begin += f"it is said from a probability of {one['threshold']:.3g} on"
    return (
        f"{begin}: {one['misses']} of {one['rows']} missed ({beside['misses']}), "
        f"{one['false_alarms']} false alarms ({beside['false_alarms']})."
    )


def trades(
    costs: Mapping[str, float], classes: Sequence[str], probabilities: Matrix, targets: NDArray[np.int32]
) -> tuple[Trade, ...]:
    """One for each class with a cost, on these rows."""
    return tuple(
        trade(probabilities, targets, classes.index(name), name=name, cost=cost) for name, cost in costs.items()
    )


def trade(probabilities: Matrix, targets: NDArray[np.int32], place: int, *, name: str, cost: float) -> Trade:
    """Misses and false alarms of the class at `place`, said from each probability on that a row has, and from 1."""
    of_class = targets == place
    order = np.argsort(probabilities[:, place], kind="stable")
    thresholds, first = np.unique(probabilities[order, place], return_index=True)
    below = np.concatenate([[0], np.cumsum(of_class[order])])[first]
    alarms = len(order) - first
    hits = int(of_class.sum()) - below
    return Trade(name, cost, threshold(cost), len(targets), thresholds, below, alarms - hits)
