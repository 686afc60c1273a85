"""One device as the service runs it: its connection, its poller, its pipeline, and how it stands."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ampedge.causes import in_words
from ampedge.clock import Clock
from ampedge.config import Config, Device
from ampedge.continuity import Continuity
from ampedge.decision import in_percent
from ampedge.log import about, logger
from ampedge.modbus.client import Master
from ampedge.modbus.source import ModbusSource
from ampedge.model.bundle import Bundle
from ampedge.pipeline import Pipeline
from ampedge.records import UNKNOWN, Frame, Quality, Record
from ampedge.service.delivery import Delivery
from ampedge.service.hosting import reachable
from ampedge.service.poller import Poller
from ampedge.wire import Origin, event_payload

_BROKER_S = 1.0
_RATE_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Brain:
    """What turns frames of one device into events: replaced as a whole, between two cycles."""

    pipeline: Pipeline
    origin: Origin
    continuity: Continuity


class DeviceLoop:
    """Polls one device and hands label and event to the delivery; runs in a thread of its own."""

    def __init__(
        self,
        device: Device,
        brain: Brain,
        config: Config,
        *,
        delivery: Delivery,
        clock: Clock,
        time_synced: Callable[[], bool | None],
    ) -> None:
        self.name = device.name
        self.device = device
        self.latest: Record | None = None
        self.events = 0
        self.online: bool | None = None
        self.last_good_s: float | None = None
        self._brain = brain
        self._next = brain
        self._delivery = delivery
        self._clock = clock
        self._time_synced = time_synced
        self._emitted_s: deque[float] = deque(maxlen=_RATE_EVENTS)
        datamap = brain.pipeline.datamap
        self.master = Master(reachable(device.host), device.port, unit=device.unit, timeout_s=device.timeout_s)
        self._source = ModbusSource(
            self.master,
            datamap,
            device=device.name,
            clock=clock,
            reconnect_settle_s=device.reconnect_settle_s,
            close_after_poll=device.close_after_poll,
            check=device.check,
            interval_s=device.interval_s,
            on_request=self._turned,
        )
        self._about = about(device=device.name, unit=device.unit)
        self._say_what_is_read()
        self.poller = Poller(
            self,
            self._record,
            self._emit,
            interval_s=device.interval_s,
            heartbeat_s=config.settings.mqtt.heartbeat_s,
            settle_s=config.settings.modbus.settle_ms / 1000,
            clock=clock,
        )

    @property
    def progress_s(self) -> float:
        """The monotonic time of the latest turn."""
        return self.poller.progress_s

    @progress_s.setter
    def progress_s(self, now_s: float) -> None:
        self.poller.progress_s = now_s

    def _turned(self) -> None:
        self.progress_s = self._clock.monotonic()

    @property
    def brain(self) -> Brain:
        """What will run from the next cycle on."""
        return self._next

    def think_with(self, brain: Brain) -> None:
        """Use another model from the next cycle on."""
        self._next = brain

    def continue_from(self, other: "DeviceLoop") -> None:
        """Go on where a loop for the same device has been stopped: with its events, and what it knows of the slave."""
        self.events, self.online, self.latest = other.events, other.online, other.latest
        self.last_good_s = other.last_good_s
        self._source.continue_from(other._source)

    def run(self) -> None:
        """Poll when due, until `stop`; then the connection is closed."""
        self._await_broker()
        self.poller.run_forever()
        self.master.close()

    def stop(self) -> None:
        self.poller.stop()

    def age_s(self) -> float:
        """Seconds since the latest event."""
        return self._clock.monotonic() - self._emitted_s[-1] if self._emitted_s else 0.0

    def rate(self) -> float:
        """Events a second among the latest ones."""
        times_s = tuple(self._emitted_s)
        return (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0

    def _await_broker(self) -> None:
        """Give a broker that is there the moment it needs, so that the first label is not lost."""
        until_s = self._clock.monotonic() + _BROKER_S
        publisher = self._delivery.publisher
        while not publisher.connected and publisher.problem is None and self._clock.monotonic() < until_s:
            time.sleep(0.001)

    def poll(self) -> Frame:
        """One frame, read by the data map of the model that will judge it."""
        self._brain = self._next
        datamap = self._brain.pipeline.datamap
        if datamap != self._source.datamap:
            self._source.read_by(datamap)
            self._say_what_is_read()
        return self._source.poll()

    def _say_what_is_read(self) -> None:
        logger.info(
            "Reading %s: %s of unit %d at %s every %g s.",
            self.name,
            self._source.plan.describe(),
            self.device.unit,
            self.master.address,
            self.device.interval_s,
            extra=self._about,
        )

    def _record(self, frame: Frame) -> Record:
        if frame.failure is not None:  # no words that another map could read otherwise
            self._brain = self._next
        return self._brain.pipeline.run(frame)

    def _emit(self, record: Record) -> None:
        online = record.frame.failure is None
        if online is not self.online:
            self.online = online
            self._delivery.publisher.announce(self.name, online)
        payload = event_payload(record, self._brain.origin, self.events, time_synced=self._time_synced())
        self._delivery.take(self.name, self.events, record.frame.time_s, label=record.label, payload=payload)
        self.events += 1
        now_s = self._clock.monotonic()
        self._emitted_s.append(now_s)
        if record.quality is not Quality.BAD:
            self.last_good_s = now_s
        previous, self.latest = self.latest, record
        if previous is None or _said(previous) != _said(record):
            logger.info("%s: %s", self.name, sentence(record, self._brain.origin.normal_label), extra=self._about)


def brain_for(
    device: Device, config: Config, bundle: Bundle, *, boot: str, normal_label: str, before: Brain | None = None
) -> Brain:
    """What the device needs to run with this model; raises ModelRefusedError where its data map is another.

    With the same tags as `before` it remembers what that had seen.
    """
    datamap = device.datamap or bundle.datamap
    known = before is not None and set(before.pipeline.datamap.tags) == set(datamap.tags)
    continuity = before.continuity if before is not None and known else Continuity(datamap)
    manifest, decision = bundle.manifest, config.settings.decision
    reasons = decision.reasons and normal_label == manifest.normal_label  # what is normal is known of that class only
    pipeline = Pipeline(bundle, datamap, min_confidence=decision.min_confidence, continuity=continuity, reasons=reasons)
    origin = Origin(
        device=device.name,
        boot=boot,
        model_name=manifest.name,
        model_version=manifest.version,
        classes=bundle.classes,
        normal_label=normal_label,
        interval_s=device.interval_s,
    )
    return Brain(pipeline, origin, continuity)


def sentence(record: Record, normal_label: str) -> str:
    """The record in a line, for people; what the device had to say is a line of its own."""
    confidence = "" if record.confidence is None else f" {in_percent(record.confidence)}"
    said = f"{record.label}{confidence if record.label != UNKNOWN else ''}, quality {record.quality}"
    reasons = f" ({', '.join(record.reasons)})" if record.reasons else ""
    because = f": {in_words(record.because, normal_label)}" if record.because else ""
    return f"{said}{reasons}{because}."


def _said(record: Record) -> tuple[object, ...]:
    return record.label, record.quality, record.reasons
