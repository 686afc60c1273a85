"""What can be chosen about a training, checked before anything is read."""

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ampedge.errors import UsageError
from ampedge.table import number

_LARGEST_LAYER = 1024
_MOST_LAYERS = 8
_LARGEST_SEED = 2**32 - 1
_SMALLEST, _LARGEST = 0.001, 1_000_000
"""What a class may cost or weigh."""

Weighting = str | Mapping[str, float]
"""`none`, `balanced`, or a weight for some of the classes."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """The network and how it is fitted.

    `patience` is the number of epochs without a better validation loss after which the fit stops and goes
    back to the best weights; 0 runs all epochs.  `costs` says for a class what a miss costs in false alarms.
    `l2` times the sum of the squares of all kernels is added to the loss.
    """

    layers: Sequence[int] = (64, 32, 16)
    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 0.001
    patience: int = 0
    l2: float = 0.0
    class_weight: Weighting = "none"
    seed: int = 42
    costs: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= _MOST_LAYERS or not all(1 <= units <= _LARGEST_LAYER for units in self.layers):
            raise UsageError(
                f"--layers {','.join(map(str, self.layers))}: a network has 1 to {_MOST_LAYERS} hidden layers of "
                f"1 to {_LARGEST_LAYER} units.",
                "Give them as in --layers 64,32,16.",
            )
        _check("--epochs", self.epochs, 1, 100_000)
        _check("--batch-size", self.batch_size, 1, 1_000_000)
        _check("--patience", self.patience, 0, 100_000)
        _check("--seed", self.seed, 0, _LARGEST_SEED)
        if not (math.isfinite(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise UsageError(
                f"--learning-rate {self.learning_rate}: it is above 0 and at most 1.", "The default is 0.001."
            )
        if not (math.isfinite(self.l2) and 0 <= self.l2 <= 1):
            raise UsageError(f"--l2 {self.l2}: it is at least 0 and at most 1.", "Try 0.0001 to 0.01.")
        if isinstance(self.class_weight, str) and self.class_weight not in ("none", "balanced"):
            raise UsageError(
                f"--weights {self.class_weight}: there is no such weighting.",
                "Give --weights balanced, --weights none, or weights as in --weights failsoon=5,unstable=2.",
            )


@dataclass(frozen=True, slots=True)
class TableSettings:
    """Which rows and columns of the table are used, and how they are split.

    `features` is the exact list of columns, None for all that hold numbers and are not `drop`ped.
    """

    label: str = "status"
    features: Sequence[str] | None = None
    drop: Sequence[str] = ()
    group: str | None = None
    time_order: bool = False
    sep: str | None = None
    decimal: str | None = None
    drop_bad_rows: bool = False

    def __post_init__(self) -> None:
        if self.group is not None and self.time_order:
            raise UsageError("--group and --time-order split the rows in two different ways.", "Give one of them.")
        if self.features is not None and self.drop:
            raise UsageError(
                "--features names every column that is used, so --drop has nothing to leave out.", "Give one of them."
            )
        for name in self.features or ():
            if name in (self.label, self.group):
                raise UsageError(
                    f"--features: {name!r} is the column of the {'label' if name == self.label else 'group'}.",
                    "Take it out of the list.",
                )
        if self.group == self.label:
            raise UsageError(f"--group: {self.group!r} is the column of the label.", "Name another column.")
        if self.features is not None and len(set(self.features)) != len(self.features):
            raise UsageError("--features names a column twice.", "Name each column once.")


def parsed_layers(text: str) -> tuple[int, ...]:
    """The units of each hidden layer in a text like 64,32,16."""
    if not re.fullmatch(r"\s*[0-9]+\s*(,\s*[0-9]+\s*)*", text, re.ASCII):
        raise UsageError(f"--layers {text}: those are no whole numbers.", "Give them as in --layers 64,32,16.")
    return tuple(int(units) for units in text.split(","))


def parsed_names(option: str, text: str) -> tuple[str, ...]:
    """The column names in a text like a,b,c; a name that holds a comma stands in double quotes."""
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not names or not all(names):
        raise UsageError(f"{option} {text!r}: a name is empty.", f"Name columns as in {option} speed,torque.")
    return names


def parsed_costs(texts: Iterable[str]) -> dict[str, float]:
    """What a miss of each class costs, in texts like failsoon=50."""
    return _by_class("--cost", texts, "Say what a miss costs in false alarms, as in --cost failsoon=50.")


def parsed_weights(text: str) -> Weighting:
    """A kind of weighting, or the weights in a text like failsoon=5,unstable=2; a name with a comma is quoted."""
    if "=" not in text:
        return text.strip()
    pairs = next(csv.reader([text], skipinitialspace=True))
    return _by_class("--weights", pairs, "Say what a row of the class counts for, as in --weights failsoon=5.")


def _by_class(option: str, texts: Iterable[str], remedy: str) -> dict[str, float]:
    """The number of each class, in texts like failsoon=50."""
    found = {}
    for text in texts:
        name, _, given = text.rpartition("=")
        value = number(given)
        if not name.strip() or value is None or not _SMALLEST <= value <= _LARGEST:
            raise UsageError(
                f"{option} {text!r}: it is a class, '=' and a number from {_SMALLEST:g} to {_LARGEST:g}.", remedy
            )
        if name.strip() in found:
            raise UsageError(f"{option} names {name.strip()!r} twice.", "Give one number for each class.")
        found[name.strip()] = value
    return found


def _check(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{option} {value}: it is a whole number from {low} to {high}.", "Give one in that range.")
