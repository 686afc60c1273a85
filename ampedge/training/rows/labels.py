"""When two spellings are the same label, and which class one names."""

import unicodedata
from collections.abc import Mapping, Sequence

from ampedge.errors import UsageError, did_you_mean


def folded(text: str) -> str:
    """The label without outer, doubled or unusual spaces and without case: equal for spellings of one label."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def known_class(option: str, name: str, classes: Sequence[str]) -> str:
    """The class that is meant by the `name` in an option; raises UsageError where it is none."""
    known = {folded(own): own for own in classes}.get(folded(name))
    if known is None:
        hint = did_you_mean(name, classes)
        raise UsageError(
            f"{option}: {name!r} is none of the classes {', '.join(classes)}" + (f"; {hint}" if hint else "."),
            "Name a class as the table does.",
        )
    return known


def by_known_class(option: str, given: Mapping[str, float], classes: Sequence[str]) -> dict[str, float]:
    """The numbers by the classes' own names; raises UsageError for a name that is no class, or given twice."""
    found: dict[str, float] = {}
    for name, value in given.items():
        known = known_class(option, name, classes)
        if known in found:
            raise UsageError(f"{option} names {known!r} twice.", "Give one number for each class.")
        found[known] = value
    return found
