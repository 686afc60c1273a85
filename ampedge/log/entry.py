"""One entry of the log, and its two forms: a line for people and a line of JSON."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ampedge.log.redaction import redacted

LONGEST_BYTES = 4096
FIELDS = ("device", "unit", "function", "registers")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CUT = " ... "


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said: `about` names the device and registers concerned, `exception` holds a traceback.

    `repeated` counts the times that it was not written since it last was, during `span_s`.
    """

    time_s: float
    level: int
    message: str
    about: Mapping[str, object]
    exception: str = ""
    repeated: int = 0
    span_s: float = 0.0


def about(
    *, device: str | None = None, unit: int | None = None, function: int | None = None, registers: str | None = None
) -> dict[str, object]:
    """What a line concerns, as `extra` of a logger's call: `logger.warning("...", extra=about(device=...))`."""
    given = zip(FIELDS, (device, unit, function, registers), strict=True)
    return {name: value for name, value in given if value is not None}


def entry_of(record: logging.LogRecord) -> Entry:
    """The entry of a record, without its traceback; wrong arguments make it odd and never lose it."""
    try:
        message = record.getMessage()
    except Exception:
        message = f"{record.msg} {record.args!r}"
    fields = {name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None}
    return Entry(record.created, record.levelno, message, fields)


def for_people(entry: Entry) -> str:
    """`2026-11-23 01:35:03,571 WARNING what happened (device pump, unit 1)`, and a traceback on lines of its own."""
    at = datetime.fromtimestamp(entry.time_s).isoformat(" ", "milliseconds").replace(".", ",")
    level = logging.getLevelName(entry.level)
    parts = [redacted(entry.message), _concerning(entry), _repeated(entry)]
    text = f"{at} {level:<7} {' '.join(part for part in parts if part)}"
    if entry.exception:
        text += "\n" + redacted(entry.exception)
    return _shortened(_CONTROL.sub("?", text), LONGEST_BYTES)


def for_programs(entry: Entry, boot: str | None = None) -> str:
    """One line of JSON of at most `LONGEST_BYTES` bytes; what is too long is cut in its middle."""
    at = datetime.fromtimestamp(entry.time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields: dict[str, object] = {"time": at, "level": logging.getLevelName(entry.level).lower()}
    fields["message"] = redacted(" ".join(part for part in (entry.message, _repeated(entry)) if part))
    fields |= {name: redacted(v) if isinstance(v, str) else v for name, v in entry.about.items()}
    if entry.repeated:
        fields["repeated"] = entry.repeated
    if entry.exception:
        fields["exception"] = redacted(entry.exception)
    if boot is not None:
        fields["boot"] = boot
    while len((line := _json(fields)).encode("utf-8", "backslashreplace")) > LONGEST_BYTES:
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        longest = max(texts, key=lambda name: len(texts[name]))
        fields[longest] = _shortened(texts[longest], len(texts[longest]) * 3 // 4)
    return line


def _json(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False, default=str)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = (limit - len(_CUT)) // 2
    return text[:half] + _CUT + text[-half:]


def _concerning(entry: Entry) -> str:
    """What the message itself does not tell."""
    told = [f"{name} {value}" for name, value in entry.about.items() if not _tells(entry.message, name, str(value))]
    return f"({', '.join(told)})" if told else ""


def _tells(message: str, name: str, value: str) -> bool:
    if name == "registers":
        return value in message
    in_words = f"function code {value}" if name == "function" else f"{name} {value}"
    return message.startswith(f"{value}: ") or re.search(rf"\b{re.escape(in_words)}\b", message) is not None


def _repeated(entry: Entry) -> str:
    if not entry.repeated:
        return ""
    times = "once more" if entry.repeated == 1 else f"{entry.repeated} times"
    span = f"{entry.span_s:.0f} s" if entry.span_s < 120 else f"{entry.span_s / 60:.0f} min"
    return f"(repeated {times} in {span})"
