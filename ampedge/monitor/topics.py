"""Which topics a monitor reads, and what comes on each of them."""

import re
from collections.abc import Iterable
from enum import Enum, auto

from ampedge.errors import UsageError
from ampedge.mqtt.topics import device_topic, dropped_topic, event_topic
from ampedge.settings import DEVICE_PLACEHOLDER


class Subject(Enum):
    """What a topic is for."""

    LABEL = auto()
    EVENT = auto()
    DROPPED = auto()
    SERVICE = auto()  # online and offline of the service
    DEVICE = auto()  # the same of a device
    NOTHING = auto()


class Topics:
    """The topics of one service or of several, from the topic of the bare label and that of the status.

    Where `topic` holds `{device}` there is a topic for each of `devices`; without names, for whoever is there.
    `filters` is what to subscribe to.
    Raises UsageError for a `{device}` that is a part of a level and no names: MQTT has no wildcard for that.
    """

    def __init__(self, topic: str, status: str, devices: Iterable[str] = ()) -> None:
        self.devices = tuple(sorted(devices)) if DEVICE_PLACEHOLDER in topic else ()
        self.several = DEVICE_PLACEHOLDER in topic and len(self.devices) != 1
        self._status = status
        self._patterns = {
            Subject.LABEL: _pattern(topic),
            Subject.EVENT: _pattern(event_topic(topic)),
            Subject.DROPPED: _pattern(dropped_topic(topic)),
        }
        places = (topic, event_topic(topic), dropped_topic(topic))
        self.filters = (
            *(name for place in places for name in self._filters(place)),
            status,
            device_topic(status, "+"),
        )

    def find(self, topic: str) -> tuple[Subject, str]:
        """(what comes on this topic, the device's name); the name is empty where the topic does not tell it."""
        if topic == self._status:
            return Subject.SERVICE, ""
        if topic.startswith(f"{self._status}/"):
            device = topic.removeprefix(f"{self._status}/")
            return (Subject.DEVICE if self._wanted(device) else Subject.NOTHING), device
        for subject, pattern in self._patterns.items():
            if found := pattern.fullmatch(topic):
                device = found.groupdict().get("device", "")
                return (subject if self._wanted(device) else Subject.NOTHING), device
        return Subject.NOTHING, ""

    def _wanted(self, device: str) -> bool:
        return not self.devices or device in self.devices

    def _filters(self, place: str) -> tuple[str, ...]:
        levels = place.split("/")
        whole = all(level == DEVICE_PLACEHOLDER for level in levels if DEVICE_PLACEHOLDER in level)
        if self.several and whole:
            return (place.replace(DEVICE_PLACEHOLDER, "+"),)
        if self.several and not self.devices:
            raise UsageError(
                f"In the topic {place} the device's name is a part of a level, so the devices must be known.",
                "Name one with --device, or all of them under [[devices]] in the config.",
            )
        return tuple(place.replace(DEVICE_PLACEHOLDER, device) for device in self.devices) or (place,)


def _pattern(place: str) -> re.Pattern[str]:
    first, *rest = map(re.escape, place.split(DEVICE_PLACEHOLDER))
    names = ["(?P<device>[^/]+)", *["(?P=device)"] * (len(rest) - 1)]
    return re.compile(first + "".join(name + part for name, part in zip(names, rest, strict=False)))
