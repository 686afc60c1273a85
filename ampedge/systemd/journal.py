"""The log of an installed service, as lines for people."""

import json
import logging
import subprocess
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ampedge.errors import UsageError
from ampedge.log.entry import FIELDS, Entry, for_people

_LEVELS = {0: logging.CRITICAL, 1: logging.CRITICAL, 2: logging.CRITICAL, 3: logging.ERROR, 4: logging.WARNING}


def lines(name: str, *, count: int, follow: bool) -> Iterator[str]:
    """The last lines of the service's journal, and with `follow` each further one as it comes."""
    words = ["journalctl", f"--unit={name}.service", f"--lines={count}", "--output=json", "--no-pager"]
    if follow:
        words.append("--follow")
    try:
        reading = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, errors="replace")  # noqa: S603
    except FileNotFoundError:
        raise UsageError("There is no journalctl on this machine.", "It comes with systemd.") from None
    with reading:
        assert reading.stdout is not None
        try:
            for line in reading.stdout:
                yield for_people(_entry(json.loads(line)))
        finally:
            reading.terminate()
    if reading.returncode > 0:
        raise UsageError("The journal cannot be read; see above.", "Try it with sudo.")


def _entry(kept: dict[str, Any]) -> Entry:
    """What the service or systemd said; a line of ours is JSON in turn."""
    text = kept.get("MESSAGE") or ""
    if isinstance(text, list):  # as the journal gives what is no text
        text = bytes(text).decode("utf-8", "replace")
    try:
        said = json.loads(text)
        at = datetime.fromisoformat(said["time"]).timestamp()
        level = logging.getLevelNamesMapping()[said["level"].upper()]
        message = str(said["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        time_s = int(kept.get("__REALTIME_TIMESTAMP", 0)) / 1e6
        return Entry(time_s, _LEVELS.get(int(kept.get("PRIORITY", 6)), logging.INFO), str(text), {})
    about = {name: said[name] for name in FIELDS if name in said}
    return Entry(at, level, message, about, exception=str(said.get("exception", "")))
