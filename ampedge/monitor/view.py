"""What there is to show of one device at one moment.

Everything that came over MQTT is untrusted text; what stands in a view has no control character in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from ampedge.records import Quality

_LONGEST_TEXT = 200


class Tone(Enum):
    """What a label means to the onlooker."""

    NORMAL = auto()
    UNKNOWN = auto()
    FAULT = auto()
    UNTOLD = auto()  # nobody has said which label is the normal one


@dataclass(frozen=True, slots=True)
class TagRow:
    """One tag; `history` holds its last values, the newest last, None where there was no number."""

    name: str
    value: float | None
    unit: str
    quality: Quality
    history: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class View:
    """All that there is to show of a device.

    `stale` says why the label does not stand for now, None where it does.
    `changes` are (seconds since the epoch, label), the newest last.
    `because` is what speaks for the label, in words.
    `late` counts events that were sent again later, `dropped` those that the service says it has dropped.
    Of a service that publishes bare labels only, what just events tell is None or empty.
    """

    label: str | None
    tone: Tone
    stale: str | None
    age_s: float | None
    rate: float
    readings: int
    service: str | None
    devices: tuple[tuple[str, str], ...]
    changes: tuple[tuple[float, str], ...]
    confidence: float | None = None
    quality: Quality | None = None
    reasons: tuple[str, ...] = ()
    because: str = ""
    values: tuple[TagRow, ...] = ()
    device: str | None = None
    model: str | None = None
    late: int = 0
    dropped: int = 0
    dropped_why: str = ""


def printable(text: str | bytes) -> str:
    """A text or payload without anything that could steer a terminal."""
    if isinstance(text, bytes):
        text = text[: 4 * _LONGEST_TEXT].decode("utf-8", "replace")
    kept = text[:_LONGEST_TEXT]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in kept)


def in_words(reasons: Iterable[str]) -> str:
    """The reasons of an event as a person would write them."""
    return ", ".join(reason.replace("_", " ") if ": " not in reason else _tag_reason(reason) for reason in reasons)


def dropped_in_words(count: int, why: str) -> str:
    """What the service says of events that nobody will get."""
    return f"{count} event{'s were' if count > 1 else ' was'} dropped: {why}"


def _tag_reason(reason: str) -> str:
    tag, _, why = reason.rpartition(": ")
    return f"{tag} {why.replace('_', ' ')}"
