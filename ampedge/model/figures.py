"""The `metrics` of a manifest, as far as they are there and can be read: the manifest lets everything pass."""

from collections.abc import Sequence
from typing import Any, Self, TypeVar

from pydantic import ConfigDict, Field, ValidationError, model_validator

from ampedge.model.manifest import Part

_BASELINES = ("random_forest", "logistic_regression", "majority_class")

_Kind = TypeVar("_Kind", bound=Part)


class _Found(Part):
    """A part that may hold more than is read here."""

    model_config = ConfigDict(extra="ignore")


class ClassFigures(_Found):
    """How one class was recognised; `support` are its rows."""

    precision: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    f1: float = Field(ge=0, le=1)
    support: int = Field(ge=0, le=2**53)


class Overall(_Found):
    """How all classes together were recognised."""

    accuracy: float = Field(ge=0, le=1)
    macro_f1: float = Field(ge=0, le=1)


class Scores(Overall):
    """The figures of the test part, of which there is at least one row."""

    per_class: dict[str, ClassFigures]

    @property
    def rows(self) -> int:
        return sum(figures.support for figures in self.per_class.values())

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if not self.rows:
            raise ValueError("no row was judged")
        return self


def held_out_scores(metrics: dict[str, Any], classes: Sequence[str]) -> Scores | None:
    """The figures of the test part in the order of `classes`, None where there are none of just these classes."""
    found = _read(Scores, metrics.get("test"))
    if found is None or found.per_class.keys() != set(classes):
        return None
    return found.model_copy(update={"per_class": {name: found.per_class[name] for name in classes}})


def baselines(metrics: dict[str, Any]) -> dict[str, Overall]:
    """The figures of those baselines that there are."""
    recorded = metrics.get("baselines")
    of_each = {name: _read(Overall, recorded.get(name)) for name in _BASELINES} if isinstance(recorded, dict) else {}
    return {name: found for name, found in of_each.items() if found is not None}


def _read(kind: type[_Kind], given: object) -> _Kind | None:
    try:
        return kind.model_validate(given)
    except ValidationError:
        return None
