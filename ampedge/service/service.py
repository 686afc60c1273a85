"""The service: one device's poller, the pipeline, the publisher, and the slave where we host it.

Threads: one polls, infers and sends; one keeps the connection to the broker up and reads from it;
the caller's waits and shows.
Nothing here exits because a device or a broker is away.
The slave and the broker are imported only where they are hosted, which is not in the field.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from ampedge.clock import SystemClock
from ampedge.config import EMBEDDED_BROKER, Config
from ampedge.decision import in_percent
from ampedge.errors import ConfigError, did_you_mean
from ampedge.log import logger
from ampedge.modbus.client import Master
from ampedge.modbus.source import ModbusSource
from ampedge.model.bundle import Bundle
from ampedge.mqtt.publisher import Publisher
from ampedge.pipeline import Pipeline
from ampedge.records import UNKNOWN, Record
from ampedge.service.hosting import hosts_slave, reachable
from ampedge.service.poller import Poller
from ampedge.wire import Origin, event_payload

_STOP_S = 1.0
_BROKER_S = 1.0
_RATE_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the service stands, for whoever shows it; `record` is the latest one, None before the first."""

    record: Record | None
    age_s: float
    events: int
    rate: float
    skipped: int
    connected: bool
    delivered: int
    dropped: int
    problem: str | None


class _Receipts:
    """Counts what became of each event, until the event log does."""

    def __init__(self) -> None:
        self.delivered = 0
        self.dropped = 0

    def sent(self, row_id: int) -> None:
        pass

    def acknowledged(self, row_id: int) -> None:  # noqa: ARG002
        self.delivered += 1

    def returned(self, row_ids: Iterable[int]) -> None:
        self.dropped += len(list(row_ids))

    def rejected(self, row_id: int, reason: str) -> None:  # noqa: ARG002
        self.dropped += 1


class Service:
    """Everything that `serve` runs; a context manager that starts and stops it.

    Constructing it checks that config and bundle agree and connects nothing.
    Raises ModelRefusedError, UsageError, InUseError.
    """

    def __init__(self, config: Config, bundle: Bundle) -> None:
        settings = config.settings
        self._config = config
        self._clock = SystemClock()
        self._pipeline = Pipeline(bundle, config.datamap, min_confidence=settings.decision.min_confidence)
        manifest = bundle.manifest
        self.origin = Origin(
            device=settings.device,
            boot=secrets.token_hex(8),
            model_name=manifest.name,
            model_version=manifest.version,
            classes=bundle.classes,
            normal_label=normal_label(config, bundle),
            interval_s=settings.modbus.interval_s,
        )
        self.broker = f"{config.mqtt.host}:{config.mqtt.port}"
        self.topic = settings.mqtt.topic
        self._receipts = _Receipts()
        self.publisher = Publisher(
            config.mqtt,
            password=config.password(),
            client_id=config.mqtt.client_id or f"ampedge{secrets.token_hex(6)}",
            devices=[settings.device],
            receipts=self._receipts,
        )
        self._poller: Poller | None = None
        self._thread = threading.Thread(target=self._poll, name="poller", daemon=True)
        self._latest: Record | None = None
        self._sequence = 0
        self._online: bool | None = None
        self._emitted_s: deque[float] = deque(maxlen=_RATE_EVENTS)

    def __enter__(self) -> "Service":
        with ExitStack() as started:
            if self._config.settings.mqtt.host == EMBEDDED_BROKER:
                self._run_broker(started)
            host, port = self._find_slave(started)
            self._poller = self._make_poller(host, port)
            self.publisher.start()
            started.callback(self.publisher.stop, _STOP_S)
            self._thread.start()
            started.callback(self._stop_polling)
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    def _run_broker(self, started: ExitStack) -> None:
        from ampedge.mqtt.broker import EmbeddedBroker

        broker = EmbeddedBroker(port=self._config.mqtt.port)
        broker.start()
        started.callback(broker.stop)
        logger.info("Running a broker at %s, for trying things.", self.broker)

    def _find_slave(self, started: ExitStack) -> tuple[str, int]:
        """The address to poll; hosts the slave there where that is ours to do."""
        host, port = self._config.device.host, self._config.device.port
        hosted, sentence = hosts_slave(self._config)
        if hosted:
            from ampedge.modbus.slave import EmbeddedSlave

            slave = EmbeddedSlave(host, port, self._pipeline.datamap, on_write=self._written)
            slave.start()
            started.callback(slave.stop)
        logger.info(sentence)
        return reachable(host), port

    def _make_poller(self, host: str, port: int) -> Poller:
        settings = self._config.settings
        modbus = settings.modbus
        master = Master(host, port, unit=modbus.unit, timeout_s=modbus.timeout_s)
        source = ModbusSource(master, self._pipeline.datamap, device=settings.device, clock=self._clock)
        logger.info("Reading %s of unit %d every %g s.", source.plan.describe(), modbus.unit, modbus.interval_s)
        return Poller(
            source,
            self._pipeline.run,
            self._emit,
            interval_s=modbus.interval_s,
            heartbeat_s=settings.mqtt.heartbeat_s,
            settle_s=modbus.settle_ms / 1000,
            clock=self._clock,
        )

    def _stop_polling(self) -> None:
        assert self._poller is not None
        self._poller.stop()
        self._thread.join(_STOP_S / 2)  # a poll that hangs does not hold up the stop

    @property
    def alive(self) -> bool:
        """Whether the poller runs; if it does not, nobody may go on believing the last label."""
        return self._thread.is_alive()

    def snapshot(self) -> Snapshot:
        """How the service stands now."""
        emitted_s = tuple(self._emitted_s)
        return Snapshot(
            record=self._latest,
            age_s=self._clock.monotonic() - emitted_s[-1] if emitted_s else 0.0,
            events=self._sequence,
            rate=_rate(emitted_s),
            skipped=0 if self._poller is None else self._poller.skipped,
            connected=self.publisher.connected,
            delivered=self._receipts.delivered,
            dropped=self._receipts.dropped,
            problem=self.publisher.problem,
        )

    def _poll(self) -> None:
        assert self._poller is not None
        try:
            self._await_broker()
            self._poller.run_forever()
        except Exception:
            logger.exception("The poller stopped because of a bug.")

    def _await_broker(self) -> None:
        """Give a broker that is there the moment it needs, so that the first label is not lost."""
        until_s = self._clock.monotonic() + _BROKER_S
        publisher = self.publisher
        while not publisher.connected and publisher.problem is None and self._clock.monotonic() < until_s:
            time.sleep(0.001)

    def _written(self) -> None:
        if self._poller is not None:
            self._poller.written()

    def _emit(self, record: Record) -> None:
        online = record.frame.failure is None
        if online is not self._online:
            self._online = online
            self.publisher.announce(self.origin.device, online)
        event = event_payload(record, self.origin, self._sequence)
        if not self.publisher.publish(self.origin.device, record.label, event, self._sequence):
            self._receipts.dropped += 1
        self._sequence += 1
        self._emitted_s.append(self._clock.monotonic())
        previous, self._latest = self._latest, record
        if previous is None or _said(previous) != _said(record):
            logger.info("%s", sentence(record))


def normal_label(config: Config, bundle: Bundle) -> str:
    """The healthy state: the config's, else the bundle's; raises ConfigError where it is no class."""
    given = config.settings.decision.normal_label
    if given is not None and given not in bundle.classes:
        raise ConfigError(
            f"decision.normal_label: {given!r} is not a class of {bundle.path}; "
            f"{did_you_mean(given, bundle.classes) or 'its classes: ' + ', '.join(bundle.classes)}",
        )
    return given or bundle.manifest.normal_label


def sentence(record: Record) -> str:
    """The record in a line, for people."""
    confidence = "" if record.confidence is None else f" {in_percent(record.confidence)}"
    said = f"{record.label}{confidence if record.label != UNKNOWN else ''}, quality {record.quality}"
    if record.reasons:
        said += f" ({', '.join(record.reasons)})"
    return f"{said}. {record.frame.detail}" if record.frame.detail else f"{said}."


def _rate(times_s: tuple[float, ...]) -> float:
    """Events a second among the latest ones."""
    return (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0


def _said(record: Record) -> tuple[object, ...]:
    return record.label, record.quality, record.reasons, record.frame.detail
