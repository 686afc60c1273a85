"""What happened: the events of a state directory's log, and the stretches in which nothing changed."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ampedge.causes import in_words as causes_in_words
from ampedge.errors import UsageError
from ampedge.files import replaced_file
from ampedge.formulas import escaped
from ampedge.records import Quality
from ampedge.store.history import read_events
from ampedge.store.schema import FILE_NAME
from ampedge.wire import Event, parse_event, rfc3339

_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events: since a time, of one device, the newest so many of them; None leaves the choice open."""

    since_s: float | None = None
    device: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which a device had the same label for the same reasons, in one run of the service.

    `until_s` is when the next one begins, or the time of the last event where the service or the log ends.
    `because` is what spoke for the label of its first event, in words.
    """

    device: str
    boot: str
    label: str
    quality: Quality
    reasons: tuple[str, ...]
    since_s: float
    until_s: float
    events: int = 1
    is_start: bool = False
    because: str = ""

    @property
    def lasted_s(self) -> float:
        """Never below zero, though a clock may be set back."""
        return max(0.0, self.until_s - self.since_s)

    def continues(self, event: Event) -> bool:
        """Whether an event of its device belongs to it."""
        return (self.boot, self.label, self.quality, self.reasons) == (
            event.boot,
            event.label,
            event.quality,
            event.reasons,
        )


class Past:
    """The log of a state directory, read anew at each use; `unreadable` counts the events that were skipped."""

    def __init__(self, directory: Path) -> None:
        self.unreadable = 0
        self._path = directory / FILE_NAME

    def payloads(self, chosen: Chosen) -> Iterator[bytes]:
        """The events as they were published, oldest first; raises UsageError, DataError."""
        found = read_events(self._path, since_s=chosen.since_s, limit=chosen.limit, device=chosen.device)
        yield from found
        self.unreadable += found.unreadable

    def events(self, chosen: Chosen) -> Iterator[Event]:
        """The same, read."""
        for payload in self.payloads(chosen):
            try:
                yield parse_event(payload)
            except ValueError:
                self.unreadable += 1

    def stretches(self, chosen: Chosen) -> list[Stretch]:
        """What changed, in the order in which it began; `limit` counts the changes."""
        found = stretches(self.events(replace(chosen, limit=None)))
        return found if chosen.limit is None else found[-chosen.limit :]


def stretches(events: Iterable[Event]) -> list[Stretch]:
    """The stretches of all devices, in the order in which they began."""
    done: list[Stretch] = []
    last: dict[str, int] = {}
    for event in events:
        place = last.get(event.device)
        before = None if place is None else done[place]
        if place is not None and before is not None and before.boot == event.boot:
            done[place] = before = replace(before, until_s=event.time_s)
            if before.continues(event):
                done[place] = replace(before, events=before.events + 1)
                continue
        last[event.device] = len(done)
        done.append(
            Stretch(
                event.device,
                event.boot,
                event.label,
                event.quality,
                event.reasons,
                event.time_s,
                event.time_s,
                is_start=before is not None and before.boot != event.boot,
                because=causes_in_words(event.because, event.normal_label),
            )
        )
    return done


def since(text: str, now_s: float) -> float:
    """The time that `2h`, `3d` or an ISO time means; without a zone it is local. Raises UsageError."""
    if match := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|m|min|h|d|w)", text):
        return now_s - float(match[1]) * _UNITS_S[match[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"--since {text!r} is no time.", "Write it as 30min, 2h, 3d, 2026-11-23 or 2026-11-23T08:30."
        ) from error


def in_words(seconds: float) -> str:
    """A length of time for people: `45 s`, `12 min 5 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = round(seconds)
    for large, small, size in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if whole >= size:
            rest = whole % size // int(_UNITS_S[small])
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def write_changes(path: Path, found: Sequence[Stretch]) -> None:
    """The stretches as a table for spreadsheets; raises UsageError for a place that cannot be written."""
    head = ("since", "until", "lasted_s", "device", "label", "quality", "reasons", "because", "events")
    rows: Iterable[Sequence[Cell]] = (
        (
            rfc3339(one.since_s),
            rfc3339(one.until_s),
            one.lasted_s,
            one.device,
            one.label,
            one.quality,
            ", ".join(one.reasons),
            one.because,
            one.events,
        )
        for one in found
    )
    _write(path, head, rows)


def write_events(path: Path, past: Past, chosen: Chosen) -> int:
    """Every event as a table for spreadsheets, with a column a tag; how many there are.

    Raises UsageError, DataError.
    """
    names = list(dict.fromkeys(name for event in past.events(chosen) for name in event.values))
    past.unreadable = 0
    count = 0

    def rows() -> Iterator[Sequence[Cell]]:
        nonlocal count
        for event in past.events(chosen):
            count += 1
            values = (event.values[name][0] if name in event.values else None for name in names)
            yield (
                rfc3339(event.time_s),
                event.device,
                event.boot,
                event.sequence,
                event.label,
                event.class_name,
                event.confidence,
                event.quality,
                ", ".join(event.reasons),
                causes_in_words(event.because, event.normal_label),
                *values,
            )

    head = ("time", "device", "boot", "sequence", "label", "class", "confidence", "quality", "reasons", "because")
    _write(path, (*head, *names), rows())
    return count


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} cannot be written: it is no file.", "Choose another place with --csv.")
    try:
        with replaced_file(path) as made, made.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(map(escaped, head))
            writer.writerows([escaped(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another place with --csv.") from error
