"""What `history` prints."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ampedge.causes import in_words
from ampedge.decision import in_percent
from ampedge.history import Chosen, Past, Stretch, since, write_changes, write_events
from ampedge.history import in_words as length_in_words
from ampedge.records import UNKNOWN, Quality
from ampedge.store.state_dir import holder
from ampedge.wire import Event

_STYLES = {Quality.GOOD: "green", Quality.UNCERTAIN: "yellow", Quality.BAD: "red"}
_ANY_WIDTH = 200
_NARROW = 60


def show(
    directory: Path,
    text: str,
    *,
    device: str | None,
    limit: int | None,
    every: bool,
    as_json: bool,
    csv: Path | None,
) -> None:
    """Print or write what was chosen; raises UsageError, DataError."""
    chosen = Chosen(since(text, time.time()), device, limit)
    past = Past(directory)
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        if as_json:
            count = _lines(payload.decode() for payload in past.payloads(chosen))
        elif every and csv is None:
            count = _lines(_line(event) for event in past.events(chosen))
        elif every and csv is not None:
            count = write_events(csv, past, chosen)
            messages.print(f"{count} events written to {csv}.", markup=False)
        else:
            found = past.stretches(chosen)
            count = len(found)
            if csv is not None:
                write_changes(csv, found)
                messages.print(f"{count} changes written to {csv}.", markup=False)
            elif found:
                width = None if sys.stdout.isatty() else _ANY_WIDTH
                console = Console(highlight=False, width=width)
                console.print(table(found, console.width))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if past.unreadable:
        messages.print(f"{past.unreadable} events in the log cannot be read and were left out.", style="red")
    if not count and csv is None:
        messages.print(_nothing(directory, text, device), markup=False)


def _nothing(directory: Path, text: str, device: str | None) -> str:
    pid = holder(directory)
    runs = "no service runs there" if pid is None else f"the service (process {pid}) runs and writes once a minute"
    of = "" if device is None else f" of {device}"
    return f"No events{of} since {text} in the log of {directory}; {runs}. Look further back with --since 30d."


def _lines(lines: Iterable[str]) -> int:
    count = 0
    for line in lines:
        print(line)
        count += 1
    return count


def _line(event: Event) -> str:
    confidence = "" if event.confidence is None else in_percent(event.confidence)
    said = f"{_local(event.time_s, 'milliseconds')}  {event.device}  {event.label}  {confidence:>6}  {event.quality}"
    told = (said, ", ".join(event.reasons), in_words(event.because, event.normal_label))
    return _plain("  ".join(filter(None, told)))


def table(found: Sequence[Stretch], width: int) -> Table:
    """The changes for a terminal of that width; on a narrow one the label stands first and the rest beside it."""
    several = len({one.device for one in found}) > 1
    names = (*(["device"] if several else []), "label", "quality", "reasons")
    zone = f"{datetime.now().astimezone():%Z}"
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    if width < _NARROW:
        longest = max(len(one.label) for one in found)
        made.add_column("label", overflow="fold", width=min(longest, width // 2))
        made.add_column(f"since ({zone}) ...", overflow="fold")
    else:
        made.add_column(f"since ({zone})", no_wrap=True)
        made.add_column("for", justify="right", no_wrap=True)
        for name in names:
            made.add_column(name, overflow="fold")
    for one in found:
        told = (*one.reasons, one.because, "serve had started" if one.is_start else "")
        reasons = ", ".join(filter(None, told))
        cells = {
            "device": Text(_plain(one.device)),
            "label": Text(_plain(one.label), "yellow" if one.label == UNKNOWN else "bold"),
            "quality": Text(one.quality, _STYLES[one.quality]),
            "reasons": Text(_plain(reasons), "dim"),
        }
        since, lasted = Text(_local(one.since_s)), Text(length_in_words(one.lasted_s))
        if width < _NARROW:
            rest = [since, lasted, *(cells[name] for name in names if name != "label")]
            made.add_row(cells["label"], Text("\n").join(text for text in rest if text))
        else:
            made.add_row(since, lasted, *(cells[name] for name in names))
    return made


def _local(time_s: float, timespec: str = "seconds") -> str:
    return datetime.fromtimestamp(time_s).astimezone().replace(tzinfo=None).isoformat(" ", timespec)


def _plain(text: str) -> str:
    """The text without what would steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
