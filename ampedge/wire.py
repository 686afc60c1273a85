"""What goes over the wire: the event as JSON, written here and read back here.

The schema is published as `docs/event.schema.json`; every event of the tests is validated against it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ampedge.records import Cause, Quality, Record

SCHEMA_VERSION = 1

_MOST_DROPPED = 10**15

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Origin:
    """What all events of one start of one service have in common.

    `boot` is random per start; (device, boot, sequence) identifies an event.
    """

    device: str
    boot: str
    model_name: str
    model_version: str
    classes: tuple[str, ...]
    normal_label: str
    interval_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a reader sees it; `values` maps a tag to (value or None, unit, quality)."""

    device: str
    boot: str
    sequence: int
    time_s: float
    label: str
    class_name: str | None
    confidence: float | None
    quality: Quality
    reasons: tuple[str, ...]
    interval_s: float
    normal_label: str
    replayed: bool
    model: str
    time_synced: bool | None = None
    monotonic_s: float = 0.0
    values: Mapping[str, tuple[float | None, str, Quality]] = field(default_factory=dict)
    because: tuple[Cause, ...] = ()


def event_payload(
    record: Record, origin: Origin, sequence: int, *, time_synced: bool | None = None, replayed: bool = False
) -> bytes:
    """The event as UTF-8 JSON; numbers are not rounded, and NaN cannot occur.

    `time_synced` says whether the clock that stamped it was known to be right, None where nobody can tell.
    """
    probabilities = record.probabilities
    event: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "device": origin.device,
        "boot": origin.boot,
        "sequence": sequence,
        "time": rfc3339(record.frame.time_s),
        "time_synced": time_synced,
        "monotonic_s": round(record.frame.monotonic_s, 3),
        "label": record.label,
        "class": record.class_name,
        "confidence": record.confidence,
        "probabilities": None if probabilities is None else dict(zip(origin.classes, probabilities, strict=True)),
        "quality": record.quality,
        "reasons": record.reasons,
        "values": {
            v.name: {"value": v.value, "unit": v.unit, "quality": v.quality, "reason": v.reason} for v in record.values
        },
        "model": {"name": origin.model_name, "version": origin.model_version},
        "normal_label": origin.normal_label,
        "interval_s": origin.interval_s,
        "replayed": replayed,
    }
    if record.because:
        event["because"] = [asdict(cause) for cause in record.because]
    return _ENCODER.encode(event).encode()


def as_replayed(payload: bytes) -> bytes:
    """The payload of an event that is sent again later; in a text of the JSON the quotation marks are escaped."""
    return payload.replace(b'"replayed":false', b'"replayed":true')


def retimed(payload: bytes, offset_s: float) -> bytes:
    """An event with its time corrected: `offset_s` is what the right wall clock is ahead of the monotonic one.

    Raises ValueError for what is no event.
    """
    event = parse_event(payload)
    plain = json.loads(payload)
    plain["time"] = rfc3339(event.monotonic_s + offset_s)
    plain["time_synced"] = True
    return _ENCODER.encode(plain).encode()


def parse_event(payload: bytes) -> Event:
    """The event in a payload; raises ValueError for anything that is not one."""
    try:
        plain: dict[str, Any] = json.loads(payload)
        if plain["schema"] != SCHEMA_VERSION:
            raise ValueError(f"schema {plain['schema']!r} is not {SCHEMA_VERSION}")
        return Event(
            device=str(plain["device"]),
            boot=str(plain["boot"]),
            sequence=int(plain["sequence"]),
            time_s=_time_s(plain["time"]),
            label=str(plain["label"]),
            class_name=None if plain["class"] is None else str(plain["class"]),
            confidence=_number(plain["confidence"]),
            quality=Quality(plain["quality"]),
            reasons=tuple(str(reason) for reason in plain["reasons"]),
            interval_s=_finite(plain["interval_s"]),
            normal_label=str(plain["normal_label"]),
            replayed=bool(plain["replayed"]),
            model=f"{plain['model']['name']} {plain['model']['version']}",
            time_synced=plain.get("time_synced"),
            monotonic_s=_finite(plain.get("monotonic_s", 0.0)),
            values={
                str(name): (_number(value["value"]), str(value["unit"]), Quality(value["quality"]))
                for name, value in plain["values"].items()
            },
            because=tuple(map(_cause, plain.get("because", ()))),
        )
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not an event: {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True)
class Dropped:
    """The announcement that `count` events of a device were dropped, from sequence `first` to `last` where known.

    Device and boot are None where they are of several, or nobody knows whose they were.
    """

    device: str | None
    boot: str | None
    first: int | None
    last: int | None
    count: int
    reason: str
    time_s: float


def parse_dropped(payload: bytes) -> Dropped:
    """The announcement in a payload; raises ValueError for anything that is not one."""
    try:
        plain: dict[str, Any] = json.loads(payload)
        if plain["schema"] != SCHEMA_VERSION:
            raise ValueError(f"schema {plain['schema']!r} is not {SCHEMA_VERSION}")
        count = int(plain["count"])
        if not 0 < count < _MOST_DROPPED:
            raise ValueError(f"{count} is no number of events")
        first, last = (None if plain[name] is None else int(plain[name]) for name in ("first", "last"))
        reason, time_s = str(plain["reason"]), _time_s(plain["time"])
        device, boot = (None if plain[name] is None else str(plain[name]) for name in ("device", "boot"))
        return Dropped(device, boot, first, last, count, reason, time_s)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not an announcement: {type(error).__name__} {error}") from error


def rfc3339(time_s: float) -> str:
    """Seconds since the epoch as UTC with milliseconds, such as 2026-11-23T00:00:00.000Z."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time_s(text: str) -> float:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text} has no zone")
    return time.timestamp()


def _cause(plain: Mapping[str, Any]) -> Cause:
    return Cause(
        tag=str(plain["tag"]),
        value=_finite(plain["value"]),
        unit=str(plain["unit"]),
        low=_finite(plain["low"]),
        high=_finite(plain["high"]),
        share=_finite(plain["share"]),
        expected=_number(plain["expected"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None else _finite(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no value")
    return number
