"""Whether the libraries of the workstation are there, asked before work that would end for want of one."""

from collections.abc import Iterable
from importlib.util import find_spec

from ampedge.errors import missing_extra

TRAINING = ("sklearn", "tensorflow", "keras", "matplotlib")
INSPECTION = ("pandas", "scipy", "sklearn")


def need_libraries(what: str, libraries: Iterable[str]) -> None:
    """Raise the error of the missing extra, saying that `what` needs it; nothing is imported."""
    if not all(map(find_spec, libraries)):
        raise missing_extra(what, "train")
