"""How the service stands at one moment, and what is wrong: the document that the status socket hands out.

Health is what reaches the reader of a label: the age of the last good poll and of the last acknowledgement, the
store, the clock, the model.  That the process lives says none of it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA_VERSION = 1

CLOCK_BEHIND = "The clock of this machine is years behind, so the times of events are wrong."
"""A clock that nobody keeps right is no trouble of its own: many plants have no network time."""

_OLDEST = "2026"

SILENT_S = 30.0
"""Waiting events and no acknowledgement for so long is trouble."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device; `online` is None before the first poll has ended.

    `good_age_s` is the time since the last good poll: one that was answered with a reading that is not bad.
    `detail` is the present trouble in a sentence, `retry_s` how long until a failed device is tried again.
    """

    name: str
    address: str
    unit: int
    interval_s: float
    online: bool | None = None
    label: str | None = None
    quality: str | None = None
    reasons: tuple[str, ...] = ()
    good_age_s: float | None = None
    event_age_s: float | None = None
    polls: int = 0
    failures: int = 0
    skipped: int = 0
    detail: str = ""
    retry_s: float | None = None


@dataclass(frozen=True, slots=True)
class MqttState:
    """The connection to the broker; `acknowledged_age_s` is the time since the broker last took an event."""

    broker: str
    connected: bool
    healthy: bool
    problem: str | None = None
    acknowledged_age_s: float | None = None
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class LogState:
    """The event log: produced = delivered + dropped + waiting.

    `oldest_age_s` is the age of the oldest event that waits, those in flight among them.
    """

    path: str
    produced: int = 0
    delivered: int = 0
    dropped: int = 0
    waiting: int = 0
    oldest_age_s: float | None = None
    problem: str | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelState:
    """The model that runs; `problem` says why a newer one was refused, `loaded` is when this one was taken (UTC)."""

    name: str
    version: str
    path: str
    signed: bool
    runtime: str
    loaded: str
    problem: str | None = None
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class ReloadState:
    """How often config and model were read again; `problem` says why the last time was refused."""

    count: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LoopState:
    """One of the service's loops: the time since its last turn, and how long a turn may take at most."""

    name: str
    age_s: float
    limit_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that there is to know of a running service; ages are in seconds, times are UTC.

    `time_synced` is None where the system does not tell.
    """

    version: str
    pid: int
    boot: str
    started: str
    uptime_s: float
    time_synced: bool | None
    config: str | None
    state_dir: str | None
    devices: tuple[DeviceState, ...]
    mqtt: MqttState
    log: LogState
    model: ModelState
    reload: ReloadState = ReloadState()
    loops: tuple[LoopState, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The document: these fields, and what `problems` finds."""
        found = problems(self)
        document = {"schema": SCHEMA_VERSION, "healthy": not found, "problems": found, **asdict(self)}
        document["loops"] = {loop.name: loop.age_s for loop in self.loops}
        return document


def problems(snapshot: Snapshot) -> list[str]:
    """What is wrong, a sentence each; empty while every label can be trusted and reaches its readers."""
    return [
        *(sentence for device in snapshot.devices for sentence in _of_device(device, snapshot.uptime_s)),
        *_of_broker(snapshot.mqtt, snapshot.log),
        *([] if snapshot.log.problem is None else [snapshot.log.problem]),
        *_of_rest(snapshot),
    ]


def _of_device(device: DeviceState, uptime_s: float) -> Iterator[str]:
    why = device.detail or ", ".join(device.reasons).replace("_", " ")
    because = f": {why}" if why else "."
    age_s = uptime_s if device.good_age_s is None else device.good_age_s
    if device.online is False:
        yield f"{device.name} is offline{because}"
    elif age_s > 3 * device.interval_s + 1:
        since = "since the start" if device.good_age_s is None else f"for {in_words(age_s)}"
        yield f"{device.name} has given no good reading {since}{because}"


def _of_broker(mqtt: MqttState, log: LogState) -> Iterator[str]:
    if mqtt.problem is not None:
        yield mqtt.problem
    elif not (mqtt.connected and mqtt.healthy):
        yield f"The broker at {mqtt.broker} is not connected."
    elif log.oldest_age_s is not None and log.oldest_age_s > SILENT_S:
        age_s = mqtt.acknowledged_age_s
        if age_s is None or age_s > SILENT_S:
            since = "" if age_s is None else f" for {in_words(age_s)}"
            yield f"The broker at {mqtt.broker} has acknowledged nothing{since}, and {log.waiting} events wait."


def _of_rest(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.time_synced is False and snapshot.started < _OLDEST:
        yield CLOCK_BEHIND
    if snapshot.model.problem is not None:
        yield snapshot.model.problem
    if snapshot.reload.problem is not None:
        yield f"The config was read again and refused, the one before goes on: {snapshot.reload.problem}"
    for loop in snapshot.loops:
        if loop.age_s > loop.limit_s:
            yield f"The loop {loop.name} has stood still for {in_words(loop.age_s)}."


def in_words(age_s: float) -> str:
    """A time span for people: 12 s, 5 min, 3 h, 2 days."""
    for size_s, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if age_s >= 2 * size_s:
            return f"{age_s / size_s:.0f} {unit}"
    return f"{age_s:.0f} s"
