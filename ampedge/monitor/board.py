"""What is known of a service and its devices from its messages.

Pure: fed with messages and the time, asked for a view of a device.
"""

from collections.abc import Iterable
from enum import Enum, auto

from ampedge.monitor.presence import MOST_DEVICES, Presence
from ampedge.monitor.readings import Readings
from ampedge.monitor.topics import Subject, Topics
from ampedge.monitor.view import View, dropped_in_words, printable
from ampedge.mqtt.subscriber import Message
from ampedge.wire import parse_dropped, parse_event


class Kind(Enum):
    """What a message turned out to be."""

    LABEL = auto()
    EVENT = auto()
    STATUS = auto()
    DROPPED = auto()
    INVALID = auto()  # on the event topic, and no event
    PASSED = auto()  # retained, replayed or delivered before: nothing of now


class Board:
    """Takes messages in the order of their arrival and knows what they add up to.

    `topic` may hold `{device}`: then it is the board of `devices`, or without names of every device that there is.
    `normal_label` is for services that publish no events, which carry their own.
    `announcement` is the last one of dropped events, in words.
    """

    def __init__(
        self, topic: str, status: str, *, normal_label: str | None = None, devices: Iterable[str] = ()
    ) -> None:
        self._topics = Topics(topic, status, devices)
        self._normal_label = normal_label
        self._presence = Presence()
        self._readings: dict[str, Readings] = {}
        self.announcement = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return self._topics.filters

    @property
    def status(self) -> str | None:
        """`online` or `offline` of the service, None before it was told."""
        return self._presence.service

    @property
    def several(self) -> bool:
        """Whether this is the board of several devices, and so a label needs a name beside it."""
        return self._topics.several

    def device_of(self, topic: str) -> str:
        """The name of the device that a message belongs to, as it can be shown; empty where the topic has none."""
        return printable(self._topics.find(topic)[1])

    def take(self, message: Message, *, time_s: float) -> Kind:
        """Put a message on the board; `time_s` is the wall clock."""
        subject, device = self._topics.find(message.topic)
        match subject:
            case Subject.SERVICE:
                self._presence.take_service(message)
                return Kind.STATUS
            case Subject.DEVICE:
                self._presence.take_device(device, message)
                return Kind.STATUS
            case Subject.NOTHING:
                return Kind.PASSED
        readings = self._readings_of(printable(device))
        if readings is None:
            return Kind.PASSED
        try:
            return self._take(subject, message, readings, time_s)
        except ValueError:
            return Kind.INVALID

    def view(self, now_s: float, *, problem: str | None = None) -> View:
        """What there is to show of the only device, or of the first of several.

        `now_s` is monotonic; `problem` is the trouble with the broker, if there is any.
        """
        views = self.views(now_s, problem=problem)
        return views[0] if views else Readings().view(now_s, self._presence, problem=problem)

    def views(self, now_s: float, *, problem: str | None = None) -> tuple[View, ...]:
        """What there is to show of each device, by name."""
        names = {*self._topics.devices, *self._readings}
        if self.several:
            names.update(self._presence.devices)
        return tuple(
            self._readings.get(name, Readings(name)).view(now_s, self._presence, problem=problem)
            for name in sorted(names)
        )

    def _take(self, subject: Subject, message: Message, readings: Readings, time_s: float) -> Kind:
        """Put it on the board of its device; raises ValueError for a payload that is not what its topic is for."""
        if subject is Subject.LABEL:
            return Kind.LABEL if readings.take_label(message, time_s) else Kind.PASSED
        if subject is Subject.EVENT:
            return Kind.EVENT if readings.take_event(parse_event(message.payload), message, time_s) else Kind.PASSED
        dropped = parse_dropped(message.payload)
        if message.retained or not readings.take_dropped(dropped):
            return Kind.PASSED
        said = dropped_in_words(dropped.count, printable(dropped.reason))
        self.announcement = f"{self.device_of(message.topic)}: {said}" if self.several else said
        return Kind.DROPPED

    def _readings_of(self, device: str) -> Readings | None:
        """Those of a device, None for one too many."""
        if device not in self._readings:
            if len(self._readings) >= MOST_DEVICES and device not in self._topics.devices:
                return None
            self._readings[device] = Readings(device, normal_label=self._normal_label)
        return self._readings[device]
