"""Which class each output of an imported network means, and whether labelled rows agree."""

from collections.abc import Sequence

import numpy as np

from ampedge.errors import ModelRefusedError, UsageError
from ampedge.model.network import Matrix
from ampedge.records import UNKNOWN
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.labels import folded

_CLEARLY = 0.05
_LONGEST = 64


def encoded_order(names: Sequence[str]) -> tuple[str, ...]:
    """The order of scikit-learn's LabelEncoder: of the alphabet, of numbers where all labels are numbers."""
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def label_order(given: Sequence[str] | None, *, data: Dataset | None, outputs: int) -> tuple[str, ...]:
    """The classes in the order of the outputs; raises UsageError where neither says it, or both disagree."""
    if given is not None and len({*map(folded, given)}) != len(given):
        raise UsageError("--labels names a label twice.", "Name each once, in the order of the network's outputs.")
    for name in given or ():
        if folded(name) == UNKNOWN or not name.isprintable() or len(name) > _LONGEST:
            raise UsageError(
                f"--labels: {name[:_LONGEST]!r} is no name for a class.",
                f"A label has at most {_LONGEST} printable characters; {UNKNOWN!r} is kept for readings without one.",
            )
    if given is None and data is None:
        raise UsageError(
            "Nothing says which output of the network is which class.",
            "Give --labels A,B,C in the order of the training (LabelEncoder puts them in that of the alphabet), "
            "or the table that it was trained on with --data.",
        )
    found = tuple(given) if given is not None else encoded_order(data.classes) if data is not None else ()
    if len(found) != outputs:
        where = "--labels has" if given is not None else f"{data.path} has" if data is not None else ""
        raise ModelRefusedError(
            f"The network has {outputs} outputs, {where} {len(found)} labels: {', '.join(found)}.",
            "Name the label of each output, or give the table that it was trained on.",
        )
    if data is not None and set(found) != set(data.classes):
        raise UsageError(
            f"--labels {','.join(found)} are not the labels of {data.path}: {', '.join(data.classes)}.",
            "Give the same labels, or leave --labels out.",
        )
    return found


def check_order(data: Dataset, probabilities: Matrix) -> float:
    """The share of the rows that come out right; raises ModelRefusedError where another order is clearly right.

    The classes of `data` are in the order of the outputs.
    """
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((len(data.classes), len(data.classes)), dtype=np.int64)
    np.add.at(counts, (probabilities.argmax(axis=1), data.targets), 1)
    outputs, places = linear_sum_assignment(counts, maximize=True)
    right, possible = counts.diagonal().sum() / counts.sum(), counts[outputs, places].sum() / counts.sum()
    if possible > right + _CLEARLY:
        order, better = (",".join(data.classes[place] for place in way) for way in (outputs, places))
        raise ModelRefusedError(
            f"With the labels in the order {order} the network is right on {right:.1%} of the rows of {data.path}; "
            f"in the order {better} it would be on {possible:.1%}.",
            f"Give --labels {better}, if that is the order of the training.",
        )
    return float(right)
