"""What a service says of a row that has its own list of labels, as the published one, or forgets the scaler."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ampedge.model.network import DenseNetwork, Matrix

PUBLISHED_LABELS = ("healthy", "unstable", "overdriven", "failsoon")
"""The list in the published service; the published training puts labels in the order of the alphabet."""


@dataclass(frozen=True, slots=True)
class Said:
    """One row: its values, the class that the model means, and what it becomes in other ways, by their names."""

    values: tuple[float, ...]
    right: str
    otherwise: dict[str, str]


def mistaken_orders(classes: Sequence[str], appearance: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Orders of the labels that services are found with, less the right one.

    `appearance` are the labels in the order in which the table has them, empty without a table.
    """
    orders = {
        "published list": PUBLISHED_LABELS if set(PUBLISHED_LABELS) == set(classes) else (),
        "order of the table": tuple(appearance),
    }
    return {name: order for name, order in orders.items() if order and order != tuple(classes)}


def said(
    network: DenseNetwork, values: Matrix, classes: Sequence[str], orders: dict[str, tuple[str, ...]]
) -> Iterator[Said]:
    """Each row in every way."""
    best = network.probabilities(values).argmax(axis=1)
    plain = unscaled(network).probabilities(values)
    for row, place, bare in zip(values.tolist(), best, plain, strict=True):
        otherwise = {name: order[place] for name, order in orders.items()}
        otherwise["no scaler"] = classes[bare.argmax()]
        yield Said(tuple(row), classes[place], otherwise)


def unscaled(network: DenseNetwork) -> DenseNetwork:
    """The network where its scaler was left out."""
    inputs = network.layers[0][0].shape[0]
    return DenseNetwork(np.zeros(inputs).tolist(), np.ones(inputs).tolist(), network.layers)
