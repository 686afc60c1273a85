"""Whether what was written comes out as the right label: events matched with rows, and the score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ampedge.clock import Clock
from ampedge.datamap import DataMap
from ampedge.errors import GateError
from ampedge.mqtt.subscriber import Message
from ampedge.pipeline import Reader
from ampedge.records import UNKNOWN, Frame, TagValue
from ampedge.simulator.play import Play
from ampedge.wire import Event, parse_event


class Verdict(StrEnum):
    """How one row came out."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # the service abstained
    MISSING = "missing"  # no event with the row's values came in time
    NOT_SCORED = "not scored"  # an event came, but nobody says what the row should be


@dataclass(frozen=True, slots=True)
class Answer:
    """The event that carries a row's values; `delay_s` counts from the write of the row to the message."""

    event: Event
    delay_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row and its answer, None where none came in time."""

    play: Play
    answer: Answer | None

    @property
    def verdict(self) -> Verdict:
        if self.answer is None:
            return Verdict.MISSING
        if self.play.expected is None:
            return Verdict.NOT_SCORED
        if self.answer.event.label == self.play.expected:
            return Verdict.RIGHT
        return Verdict.UNKNOWN if self.answer.event.label == UNKNOWN else Verdict.WRONG


class Listener(Protocol):
    """Where messages come from."""

    def get(self, timeout_s: float) -> Message | None:
        """The next message, None where none comes in time."""


class Matcher:
    """Finds the event of each row: by its values, once, and only among events that came after its write.

    `datamap` tells which values a reader finds in the registers of a row.
    """

    def __init__(self, listener: Listener, datamap: DataMap, *, clock: Clock) -> None:
        self._listener = listener
        self._reader = Reader(datamap)
        self._clock = clock

    def outcome(self, play: Play, *, written_s: float, timeout_s: float) -> Outcome:
        """Wait for the row's event, at most `timeout_s` from its write; other events are passed over."""
        expected = self._reader.read(Frame("", 0.0, play.words)).values
        while (left_s := written_s + timeout_s - self._clock.monotonic()) > 0:
            message = self._listener.get(left_s)
            if message is None or message.retained or message.received_s < written_s:
                continue
            try:
                event = parse_event(message.payload)
            except ValueError:
                continue
            if not event.replayed and _carries(event, expected):
                return Outcome(play, Answer(event, message.received_s - written_s))
        return Outcome(play, None)


@dataclass(frozen=True, slots=True)
class Score:
    """The rows counted by verdict; `score` is the share of right ones among rows with an expected label."""

    counts: Mapping[Verdict, int]
    expected: int

    @property
    def score(self) -> float | None:
        """None where no row has an expected label."""
        return self.counts[Verdict.RIGHT] / self.expected if self.expected else None


def scored(outcomes: Sequence[Outcome]) -> Score:
    """Count the outcomes."""
    verdicts = [outcome.verdict for outcome in outcomes]
    counts = {verdict: verdicts.count(verdict) for verdict in Verdict}
    return Score(counts, sum(outcome.play.expected is not None for outcome in outcomes))


def gate(score: Score, *, min_score: float) -> None:
    """Raise GateError where the score is below `min_score`, or, without expected labels, where an event is missing."""
    missing, rows = score.counts[Verdict.MISSING], sum(score.counts.values())
    remedy = (
        "Check that `ampedge serve` runs against this slave, broker and topic, and with the same data map."
        if missing
        else "Look at the rows that came out wrong: is it the right model for these samples? "
        "Where the table says that so many misses are honest, set the limit with --min-score."
    )
    if score.score is None:
        if missing:
            raise GateError(f"{missing} of {rows} rows brought no event.", remedy)
    elif score.score < min_score:
        raise GateError(
            f"The score {score.score:.3f} is below {min_score:g}: {score.counts[Verdict.RIGHT]} of {score.expected} "
            f"rows with an expected label came out right.",
            remedy,
        )


def _carries(event: Event, expected: Sequence[TagValue]) -> bool:
    for wanted in expected:
        found = event.values.get(wanted.name)
        if found is None:
            return False
        value = found[0]
        if value is None or wanted.value is None:
            if value is not wanted.value:
                return False
        elif not math.isclose(value, wanted.value, rel_tol=1e-6):
            return False
    return True
