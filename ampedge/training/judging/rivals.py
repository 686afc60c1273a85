"""How the network of a bundle stands beside the simpler means that were tried on the rows of its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ampedge.model.bundle import Bundle
from ampedge.model.figures import baselines, held_out_scores
from ampedge.model.verdict import beside_others

TITLES = {
    "network": "this model",
    "random_forest": "random forest",
    "logistic_regression": "logistic regression",
    "majority_class": "always the commonest class",
}
_NEEDED = {"logistic_regression", "majority_class"}


@dataclass(frozen=True, slots=True)
class Rivals:
    """Accuracy and macro-F1 of the network and of each baseline, by the names of TITLES, the network first.

    All are of the rows that training held out; `same_rows` says that the evaluation is of just these, too.
    """

    figures: dict[str, dict[str, float]]
    same_rows: bool
    sentences: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the figures are of."""
        return "On the same rows" if self.same_rows else "On the rows that its training held out, not on these"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"same_rows": self.same_rows, **self.figures}


def rivals(bundle: Bundle, scores: Mapping[str, Any], *, held_out: bool) -> Rivals | None:
    """None where the bundle has no such figures; `scores` are of the network on the rows that are evaluated."""
    manifest = bundle.manifest
    simple = {name: found.model_dump() for name, found in baselines(manifest.metrics).items()}
    mine: Mapping[str, Any] | None = scores
    if not held_out:
        recorded = held_out_scores(manifest.metrics, manifest.classes)
        mine = None if recorded is None else recorded.model_dump()
    if mine is None or not simple.keys() >= _NEEDED:
        return None
    said = beside_others(mine, simple)
    return Rivals(
        figures={
            name: {"accuracy": found["accuracy"], "macro_f1": found["macro_f1"]}
            for name, found in {"network": mine, **simple}.items()
        },
        same_rows=held_out,
        sentences=tuple(said if held_out else (f"On the rows that its training held out: {one}" for one in said)),
    )
