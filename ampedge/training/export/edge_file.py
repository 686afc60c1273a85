"""`ampedge`: the one file for the edge."""

from pathlib import Path

from ampedge.model.bundle import Bundle, load_bundle, pack_bundle
from ampedge.training.export.comparison import Run


def write(bundle: Bundle, place: Path) -> None:
    """All that `serve` needs and nothing more."""
    pack_bundle(bundle, place)


def load(place: Path) -> Run:
    """The file as `serve` runs it."""
    return load_bundle(place).probabilities
