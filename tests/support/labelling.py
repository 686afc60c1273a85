"""A service as a monitor sees it: labels, events and states of devices that do not exist, on a real broker."""

import threading
from collections.abc import Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from ampedge.mqtt.topics import device_topic, dropped_topic, event_topic, label_topic, service_topic
from ampedge.records import Frame, Record, TagValue
from ampedge.settings import MqttSection
from ampedge.wire import Origin, event_payload
from tests.support.mosquitto import Mosquitto

BOOT = "0123456789abcdef"
DEVICE = "amp1"
_CLASSES = ("failsoon", "healthy")


def reading(label: str, sequence: int, *, device: str = DEVICE, replayed: bool = False) -> bytes:
    """An event of a device with one tag, `volts`."""
    origin = Origin(device, BOOT, "tiny", "1", _CLASSES, "healthy", 0.05)
    value = TagValue("volts", 1.5 * sequence, "V")
    record = Record(
        Frame(device, 1_764_000_000.0 + sequence),
        (value,),
        probabilities=(0.25, 0.75),
        class_name=label,
        confidence=0.75,
        label=label,
    )
    return event_payload(record, origin, sequence, replayed=replayed)


class Labelling:
    """Publishes the labels of each device round and round, twenty a second, with or without events.

    A context manager; at its end it leaves `offline` behind.
    """

    def __init__(
        self,
        broker: Mosquitto,
        labels: Mapping[str, Sequence[str]] | Sequence[str] = ("healthy",),
        *,
        topic: str = "t",
        events: bool = True,
    ) -> None:
        self._broker = broker
        self._labels = labels if isinstance(labels, Mapping) else {DEVICE: labels}
        self._mqtt = MqttSection(topic=topic)
        self._status = service_topic(self._mqtt)
        self._events = events
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._client = paho.Client(CallbackAPIVersion.VERSION2)

    def drop(self, device: str, announcement: str) -> None:
        """Publish the announcement that events were dropped."""
        self._client.publish(dropped_topic(label_topic(self._mqtt, device)), announcement, qos=1)

    def event(self, device: str, payload: bytes) -> None:
        """Publish one more event."""
        self._client.publish(event_topic(label_topic(self._mqtt, device)), payload, qos=1)

    def say(self, device: str, state: str) -> None:
        """Say, retained, whether a device is online."""
        self._client.publish(device_topic(self._status, device), state, qos=1, retain=True)

    def _publish(self) -> None:
        for sequence in count():
            for device, labels in self._labels.items():
                label = labels[sequence % len(labels)]
                self._client.publish(label_topic(self._mqtt, device), label)
                if self._events:
                    self.event(device, reading(label, sequence, device=device))
            if self._ending.wait(0.05):
                return

    def __enter__(self) -> Self:
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        if self._events:
            self._client.publish(self._status, "online", qos=1, retain=True)
            for device in self._labels:
                self.say(device, "online")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if self._events:
            for device in self._labels:
                self.say(device, "offline")
            self._client.publish(self._status, "offline", qos=1, retain=True).wait_for_publish(5)
        self._client.disconnect()
        self._client.loop_stop()
