"""What is known of one device from its labels and events, and how much of it still holds."""

from collections import deque
from dataclasses import replace
from itertools import pairwise

from ampedge.causes import in_words
from ampedge.monitor.presence import SERVICE_OFFLINE, Presence
from ampedge.monitor.view import TagRow, Tone, View, printable
from ampedge.mqtt.subscriber import Message
from ampedge.records import UNKNOWN
from ampedge.wire import Dropped, Event

HISTORY = 60
"""Values kept of each tag."""

_CHANGES = 5
_ARRIVALS = 20
_ANNOUNCEMENTS = 20
_LEAST_LIMIT_S = 5.0
_SAME_READING_S = 1.0


class Readings:
    """Takes the messages of one device in the order of their arrival.

    An event tells all that its bare label does, so while events come, bare labels are not taken.
    `device` is its name where the topic tells it.
    `normal_label` is for services that publish no events, which carry their own.
    """

    def __init__(self, device: str = "", *, normal_label: str | None = None) -> None:
        self._device = device
        self._normal_label = normal_label
        self._label: str | None = None
        self._event: Event | None = None
        self._received_s = 0.0
        self._latest_identity: tuple[str, str, int] | None = None
        self._arrivals: deque[float] = deque(maxlen=_ARRIVALS)
        self._changes: deque[tuple[float, str]] = deque(maxlen=_CHANGES)
        self._history: dict[str, deque[float | None]] = {}
        self._readings = 0
        self._late_events = 0
        self._dropped = 0
        self._dropped_why = ""
        self._announced: deque[Dropped] = deque(maxlen=_ANNOUNCEMENTS)

    def take_label(self, message: Message, time_s: float) -> bool:
        """A bare label; False where the broker kept it from earlier."""
        if message.retained:
            return False
        if self._event is None or self._late(message.received_s):
            self._event = None
            self._put(printable(message.payload), message.received_s, time_s)
        return True

    def take_event(self, event: Event, message: Message, time_s: float) -> bool:
        """An event; False where it is none of now: retained, replayed, or delivered before."""
        identity = (event.device, event.boot, event.sequence)
        known = self._latest_identity
        if event.replayed and not message.retained:
            self._late_events += 1
        if message.retained or event.replayed or (known and known[:2] == identity[:2] and known[2] >= identity[2]):
            return False
        label = printable(event.label)
        if self._event is not None or label != self._label or message.received_s - self._received_s > _SAME_READING_S:
            self._put(label, message.received_s, time_s)
        self._latest_identity = identity
        self._event = event
        self._history = {name: self._history.get(name, deque(maxlen=HISTORY)) for name in event.values}
        for name, (value, _, _) in event.values.items():
            self._history[name].append(value)
        return True

    def take_dropped(self, dropped: Dropped) -> bool:
        """The announcement that events were dropped; False where it was delivered before."""
        if dropped in self._announced:
            return False
        self._announced.append(dropped)
        self._dropped += dropped.count
        self._dropped_why = printable(dropped.reason)
        return True

    def view(self, now_s: float, presence: Presence, *, problem: str | None = None) -> View:
        """What there is to show at `now_s` (monotonic); `problem` is the trouble with the broker, if there is any."""
        stale = self._stale(now_s, presence, problem)
        view = View(
            label=self._label,
            tone=self._tone(),
            stale=stale,
            age_s=None if self._label is None else max(0.0, now_s - self._received_s),
            rate=self._rate() if stale is None else 0.0,
            readings=self._readings,
            service=UNKNOWN if problem is not None and presence.service == "online" else presence.service,
            devices=presence.states(untold=problem is not None or stale == SERVICE_OFFLINE),
            changes=tuple(self._changes),
            device=self._device or None,
            late=self._late_events,
            dropped=self._dropped,
            dropped_why=self._dropped_why,
        )
        event = self._event
        if event is None:
            return view
        return replace(
            view,
            confidence=event.confidence,
            quality=event.quality,
            reasons=tuple(printable(reason) for reason in event.reasons),
            because=printable(in_words(event.because, event.normal_label)),
            device=self._name(),
            model=printable(event.model),
            values=tuple(
                TagRow(printable(name), value, printable(unit), quality, tuple(self._history[name]))
                for name, (value, unit, quality) in event.values.items()
            ),
        )

    def _name(self) -> str:
        """The device's name; without an event and with a topic that does not tell it, nobody knows."""
        return self._device or (printable(self._event.device) if self._event else "")

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

    def _stale(self, now_s: float, presence: Presence, problem: str | None) -> str | None:
        if self._label is None:
            return None
        device = self._name() if self._event is not None else ""
        told = presence.why_stale(device, self._received_s, problem)
        return told or ("nothing new" if self._late(now_s) else None)

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
