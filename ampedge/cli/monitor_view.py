"""One device on a terminal: its label, how sure that is, its tags."""

import time
from collections.abc import Sequence

from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ampedge.decision import in_percent
from ampedge.monitor.readings import HISTORY
from ampedge.monitor.view import TagRow, Tone, View, dropped_in_words, in_words
from ampedge.records import Quality

TONES = {
    Tone.NORMAL: "bold white on green4",
    Tone.UNKNOWN: "bold black on yellow3",
    Tone.FAULT: "bold white on red3",
    Tone.UNTOLD: "bold white on blue",
}
STALE = "bold white on grey37"
QUALITIES = {Quality.GOOD: "green", Quality.UNCERTAIN: "yellow", Quality.BAD: "red"}
STATES = {"online": "green", "offline": "bold red"}
_BARS = "▁▂▃▄▅▆▇█"
_CONFIDENCE_WIDTH = 30
_TWO_TABLES_WIDTH = 110
_OTHER_LINES = 10
"""Lines of the view that are neither tags nor changes nor losses."""


def drawn(view: View, where: str, *, problem: str | None, size: tuple[int, int]) -> Group:
    """The view for a terminal of `size` (columns, lines)."""
    width, height = size
    below = [*losses(view), *_changes(view)]
    because = Text(view.because, overflow="fold")
    room = height - _OTHER_LINES - len(below) - max(0, -(-because.cell_len // width) - 1)
    return Group(
        header(view, where, problem),
        _label(view),
        _certainty(view),
        _life(view),
        because,
        _tables(view.values, width, max(1, room)),
        Text(),
        *below,
    )


def header(view: View | None, where: str, problem: str | None) -> Text:
    """Where the messages come from, or why none come; of one device also its name and its model."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(where, "bold")
    if problem is not None:
        return text.append(f"  {problem} Trying again.", "bold red")
    for word, value in (("device", view.device), ("model", view.model)) if view is not None else ():
        if value:
            text.append(f"  {word} ", "dim").append(value)
    return text


def _label(view: View) -> RenderableType:
    if view.label is None:
        return Padding(Align.center(Text("waiting for the first label")), (1, 0), style="dim", expand=True)
    label = Text(view.label, no_wrap=True, overflow="ellipsis")
    if view.stale is not None:
        label.append(f"   STALE: {view.stale}, {age(view)} old")
    style = TONES[view.tone] if view.stale is None else STALE
    return Padding(Align.center(label), (1, 1), style=style, expand=True)


def _certainty(view: View) -> Text:
    """Confidence and quality in one line, the reasons in words."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if view.quality is None:
        return text.append("bare labels only, no events" if view.label is not None else "", "dim")
    if view.confidence is not None:
        filled = round(min(1.0, max(0.0, view.confidence)) * _CONFIDENCE_WIDTH)
        text.append("━" * filled, "cyan").append("━" * (_CONFIDENCE_WIDTH - filled), "grey37")
        text.append(f" {in_percent(view.confidence)}   ")
    text.append(view.quality, QUALITIES[view.quality])
    if view.reasons:
        text.append(f": {in_words(view.reasons)}")
    return text


def _life(view: View) -> Text:
    """Who lives, how old the label is, how often one comes."""
    text = Text("service ", "dim", no_wrap=True, overflow="ellipsis")
    text.append(view.service or "silent", STATES.get(view.service or "", "dim"))
    for device, state in view.devices:
        text.append(f"   {device} ", "dim").append(state, STATES.get(state, ""))
    if view.label is not None:
        text.append(f"   {age(view)} ago   {view.rate:.3g}/s   {view.readings} readings", "not dim")
    if view.late:
        text.append(f"   {view.late} late", "not dim")
    return text


def losses(view: View, name: str = "") -> list[Text]:
    """What the service says that it has dropped: nobody will get it."""
    if not view.dropped:
        return []
    said = name + dropped_in_words(view.dropped, view.dropped_why)
    return [Text(said, "bold red", no_wrap=True, overflow="ellipsis")]


def age(view: View) -> str:
    """The age of the label, for people."""
    age_s = view.age_s or 0.0
    if age_s < 120:
        return f"{age_s:.1f} s"
    return f"{age_s / 60:.0f} min" if age_s < 7200 else f"{age_s / 3600:.0f} h"


def _tables(rows: Sequence[TagRow], width: int, lines: int) -> RenderableType:
    """One table, or two side by side; where even that does not hold all tags, those with trouble come first."""
    if not rows:
        return Text()
    columns = 2 if len(rows) > lines and width >= _TWO_TABLES_WIDTH else 1
    room = lines * columns
    left_out = 0
    if len(rows) > room:
        room = max(1, room - 1)
        left_out = len(rows) - room
        rows = sorted(rows, key=lambda row: row.quality is Quality.GOOD)[:room]
    each = -(-len(rows) // columns)
    grid = Table.grid(padding=(0, 3), expand=True)
    for _ in range(columns):
        grid.add_column(ratio=1)
    grid.add_row(*(_table(rows[i * each : (i + 1) * each]) for i in range(columns)))
    return Group(grid, Text(f"and {left_out} more tags", "dim")) if left_out else grid


def _table(rows: Sequence[TagRow]) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("tag", no_wrap=True, max_width=24)
    table.add_column("value", justify="right", no_wrap=True, min_width=7)
    table.add_column("unit", no_wrap=True, max_width=8)
    table.add_column("quality", no_wrap=True)
    table.add_column("history", ratio=1)
    for row in rows:
        table.add_row(
            Text(row.name),
            Text("-" if row.value is None else f"{row.value:#.5g}".removesuffix(".")),
            Text(row.unit, "dim"),
            Text(row.quality, QUALITIES[row.quality]),
            Sparkline(row.history),
        )
    return table


def _changes(view: View) -> list[Text]:
    lines = []
    for time_s, label in reversed(view.changes):
        line = Text(no_wrap=True, overflow="ellipsis")
        lines.append(line.append(time.strftime("%H:%M:%S  ", time.localtime(time_s)), "dim").append(label))
    return lines


class Sparkline:
    """The last values as one line of small bars, as many as there is room for; a gap where there was no number."""

    def __init__(self, history: Sequence[float | None]) -> None:
        self._history = history

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sparkline(self._history[-options.max_width :]), "cyan", no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(8, options.max_width), min(HISTORY, options.max_width))


def sparkline(history: Sequence[float | None]) -> str:
    """One character a value, scaled between the least and the greatest of them."""
    numbers = [value for value in history if value is not None]
    if not numbers:
        return " " * len(history)
    low, high = min(numbers), max(numbers)
    span = high / 2 - low / 2  # halves, so that the greatest floats do not overflow
    if span <= 0:
        return "".join(" " if value is None else _BARS[3] for value in history)
    return "".join(" " if value is None else _BARS[int((value / 2 - low / 2) / span * 7)] for value in history)
