"""What the pictures of an evaluation share: the canvas, the colours, names that may be anything."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ampedge.errors import missing_extra
from ampedge.quiet import quiet

COLOURS = ("#c62828", "#ea580c", "#ca8a04", "#2e7d32", "#0891b2", "#1d4ed8", "#7c3aed", "#4b5563")
GRID = "#e5e7eb"
DPI = 130

_NAME_WIDTH = 24
_NAME_LINES = 3


@contextmanager
def figure_of(what: str, inches: tuple[float, float]) -> Iterator[Any]:
    """An empty figure; raises the error of the missing extra, saying that `what` needs it."""
    with quiet():  # fonts that lack a label's letters warn
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise missing_extra(what, "train") from error
        yield Figure(figsize=inches, dpi=DPI, layout="constrained")


def png(figure: Any) -> bytes:
    """The file."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def shortened(name: str) -> str:
    """The name of a class on a few lines at most."""
    return "\n".join(textwrap.wrap(name, _NAME_WIDTH, max_lines=_NAME_LINES, placeholder="…")) or name
