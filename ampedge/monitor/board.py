"""What is known of a service from its messages, and how much of it still holds.

Pure: fed with messages and the time, asked for a view.  Everything that came over MQTT is untrusted text; what
leaves here has no control character in it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import pairwise

from ampedge.mqtt.subscriber import Message
from ampedge.mqtt.topics import device_topic, event_topic
from ampedge.records import UNKNOWN, Quality
from ampedge.wire import Event, parse_event

HISTORY = 60
"""Values kept of each tag."""

_CHANGES = 5
_ARRIVALS = 20
_LEAST_LIMIT_S = 5.0
_SAME_READING_S = 1.0
_MOST_DEVICES = 50
_LONGEST_TEXT = 200
_SERVICE_OFFLINE = "service offline"


class Kind(Enum):
    """What a message turned out to be."""

    LABEL = auto()
    EVENT = auto()
    STATUS = auto()
    INVALID = auto()  # on the event topic, and no event
    PASSED = auto()  # retained, replayed or delivered before: nothing of now


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
    """All that there is to show at one moment.

    `stale` says why the label does not stand for now, None where it does.
    `changes` are (seconds since the epoch, label), the newest last.
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
    values: tuple[TagRow, ...] = ()
    device: str | None = None
    model: str | None = None


class Board:
    """Takes messages in the order of their arrival and knows what they add up to.

    An event tells all that its bare label does, so while events come, bare labels are not put on the board.
    `normal_label` is for services that publish no events, which carry their own.
    """

    def __init__(self, topic: str, status: str, *, normal_label: str | None = None) -> None:
        self.topics = (topic, event_topic(topic), status, device_topic(status, "+"))
        self.status: str | None = None
        self._normal_label = normal_label
        self._devices: dict[str, str] = {}
        self._label: str | None = None
        self._event: Event | None = None
        self._received_s = 0.0
        self._status_s = 0.0
        self._latest_identity: tuple[str, str, int] | None = None
        self._arrivals: deque[float] = deque(maxlen=_ARRIVALS)
        self._changes: deque[tuple[float, str]] = deque(maxlen=_CHANGES)
        self._history: dict[str, deque[float | None]] = {}
        self._readings = 0

    def take(self, message: Message, *, time_s: float) -> Kind:
        """Put a message on the board; `time_s` is the wall clock."""
        topic, event, status, _ = self.topics
        if message.topic == event:
            return self._take_event(message, time_s)
        if message.topic == topic:
            return self._take_label(message, time_s)
        if message.topic == status:
            self.status = printable(message.payload)
            self._status_s = message.received_s
            return Kind.STATUS
        if message.topic.startswith(f"{status}/"):
            device = printable(message.topic.removeprefix(f"{status}/"))
            if device in self._devices or len(self._devices) < _MOST_DEVICES:
                self._devices[device] = printable(message.payload)
            return Kind.STATUS
        return Kind.PASSED

    def view(self, now_s: float, *, problem: str | None = None) -> View:
        """What there is to show at `now_s` (monotonic); `problem` is the trouble with the broker, if there is any."""
        stale = self._stale(now_s, problem)
        view = View(
            label=self._label,
            tone=self._tone(),
            stale=stale,
            age_s=None if self._label is None else max(0.0, now_s - self._received_s),
            rate=self._rate() if stale is None else 0.0,
            readings=self._readings,
            service=UNKNOWN if problem is not None and self.status == "online" else self.status,
            devices=tuple(sorted(self._device_states(problem is not None or stale == _SERVICE_OFFLINE))),
            changes=tuple(self._changes),
        )
        event = self._event
        if event is None:
            return view
        return replace(
            view,
            confidence=event.confidence,
            quality=event.quality,
            reasons=tuple(printable(reason) for reason in event.reasons),
            device=printable(event.device),
            model=printable(event.model),
            values=tuple(
                TagRow(printable(name), value, printable(unit), quality, tuple(self._history[name]))
                for name, (value, unit, quality) in event.values.items()
            ),
        )

    def _take_label(self, message: Message, time_s: float) -> Kind:
        if message.retained:
            return Kind.PASSED
        if self._event is None or self._late(message.received_s):
            self._event = None
            self._put(printable(message.payload), message.received_s, time_s)
        return Kind.LABEL

    def _take_event(self, message: Message, time_s: float) -> Kind:
        try:
            event = parse_event(message.payload)
        except ValueError:
            return Kind.INVALID
        identity = (event.device, event.boot, event.sequence)
        known = self._latest_identity
        if message.retained or event.replayed or (known and known[:2] == identity[:2] and known[2] >= identity[2]):
            return Kind.PASSED
        label = printable(event.label)
        if self._event is not None or label != self._label or message.received_s - self._received_s > _SAME_READING_S:
            self._put(label, message.received_s, time_s)
        self._latest_identity = identity
        self._event = event
        self._history = {name: self._history.get(name, deque(maxlen=HISTORY)) for name in event.values}
        for name, (value, _, _) in event.values.items():
            self._history[name].append(value)
        return Kind.EVENT

    def _put(self, label: str, received_s: float, time_s: float) -> None:
        if label != self._label:
            self._changes.append((time_s, label))
        self._label = label
        self._received_s = received_s
        self._arrivals.append(received_s)
        self._readings += 1

    def _tone(self) -> Tone:
        normal = self._normal_label if self._event is None else printable(self._event.normal_label)
        if self._label == UNKNOWN:
            return Tone.UNKNOWN
        if normal is None or self._label is None:
            return Tone.UNTOLD
        return Tone.NORMAL if self._label == normal else Tone.FAULT

    def _stale(self, now_s: float, problem: str | None) -> str | None:
        if self._label is None:
            return None
        if problem is not None:
            return "no connection to the broker"
        if self.status == "offline" and self._status_s >= self._received_s:
            return _SERVICE_OFFLINE
        if self._event is not None and self._devices.get(printable(self._event.device)) == "offline":
            return "device offline"
        return "nothing new" if self._late(now_s) else None

    def _device_states(self, untold: bool) -> Iterable[tuple[str, str]]:
        """What is retained of each device; while nobody tells, an `online` may no longer hold."""
        for device, state in self._devices.items():
            yield device, UNKNOWN if untold and state == "online" else state

    def _late(self, now_s: float) -> bool:
        if self._event is not None:
            limit_s = 3 * max(0.0, self._event.interval_s) + 1
        else:
            limit_s = max(_LEAST_LIMIT_S, 3 * self._gap_s())
        return now_s - self._received_s > limit_s

    def _gap_s(self) -> float:
        """The median time between readings: an outage does not change it."""
        gaps = sorted(later - earlier for earlier, later in pairwise(self._arrivals))
        return gaps[len(gaps) // 2] if gaps else 0.0

    def _rate(self) -> float:
        gap_s = self._gap_s()
        return 1 / gap_s if gap_s > 0 else 0.0


def printable(text: str | bytes) -> str:
    """A text or payload without anything that could steer a terminal."""
    if isinstance(text, bytes):
        text = text[: 4 * _LONGEST_TEXT].decode("utf-8", "replace")
    kept = text[:_LONGEST_TEXT]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in kept)


def in_words(reasons: Iterable[str]) -> str:
    """The reasons of an event as a person would write them."""
    return ", ".join(reason.replace("_", " ") if ": " not in reason else _tag_reason(reason) for reason in reasons)


def _tag_reason(reason: str) -> str:
    tag, _, why = reason.rpartition(": ")
    return f"{tag} {why.replace('_', ' ')}"
