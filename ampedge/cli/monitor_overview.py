"""Several devices on a terminal: a line for each."""

import heapq
import time
from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ampedge.cli.monitor_view import QUALITIES, STALE, STATES, TONES, age, header, losses
from ampedge.decision import in_percent
from ampedge.monitor.view import Tone, View, in_words

_WIDE = 64
"""Columns from which on there is room for how sure a label is."""
_CHANGES = 5
_LOSSES = 3
_OTHER_LINES = 5
"""Lines of the overview that are neither devices nor losses nor changes."""


def overview(views: Sequence[View], where: str, *, problem: str | None, size: tuple[int, int]) -> Group:
    """All devices for a terminal of `size` (columns, lines); where it does not hold them, trouble comes first."""
    width, height = size
    changes = _changes(views)
    lost = [line for view in views for line in losses(view, f"{view.device}: ")][:_LOSSES]
    room = max(1, height - _OTHER_LINES - len(changes) - len(lost))
    shown = list(views)
    if len(shown) > room:
        shown = sorted(shown, key=lambda view: view.stale is None and view.tone is Tone.NORMAL)[: max(1, room - 1)]
    return Group(
        header(None, where, problem),
        _life(views),
        _table(shown, width >= _WIDE),
        Text(f"and {len(views) - len(shown)} more devices" if len(shown) < len(views) else "", "dim"),
        *lost,
        *changes,
    )


def _life(views: Sequence[View]) -> Text:
    service = views[0].service
    live = sum(view.label is not None and view.stale is None for view in views)
    late = sum(view.late for view in views)
    text = Text("service ", "dim", no_wrap=True, overflow="ellipsis")
    text.append(service or "silent", STATES.get(service or "", "dim"))
    text.append(f"   {live} of {len(views)} devices live   {sum(view.rate for view in views):.3g}/s", "not dim")
    return text.append(f"   {late} late", "not dim") if late else text


def _table(views: Sequence[View], wide: bool) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("device", no_wrap=True, min_width=8, max_width=20)
    table.add_column("", no_wrap=True, min_width=7)
    table.add_column("label", no_wrap=True, max_width=20)
    if wide:
        table.add_column("sure", no_wrap=True, justify="right", min_width=6)
        table.add_column("quality", no_wrap=True)
    table.add_column("age", no_wrap=True, justify="right", min_width=7)
    table.add_column("why", no_wrap=True, ratio=1)
    for view in views:
        table.add_row(*_row(view, wide))
    return table


def _row(view: View, wide: bool) -> Iterator[Text]:
    stale = view.stale is not None
    yield Text(view.device or "")
    if view.label is None:
        offline = (view.device, "offline") in view.devices
        yield from (Text("waiting", "dim"), *[Text()] * (4 if wide else 2))
        yield Text("device offline" if offline else "")
        return
    yield Text("STALE", "bold red") if stale else Text("live", "green")
    yield Text(f" {view.label} ", STALE if stale else TONES[view.tone])
    if wide:
        yield Text("" if view.confidence is None else in_percent(view.confidence), "dim" if stale else "")
        quality = view.quality
        yield Text("") if quality is None else Text(quality, "dim" if stale else QUALITIES[quality])
    yield Text(age(view))
    yield Text(view.stale or ", ".join(filter(None, (in_words(view.reasons), view.because))))


def _changes(views: Sequence[View]) -> list[Text]:
    every = ((time_s, view.device or "", label) for view in views for time_s, label in view.changes)
    lines = []
    for time_s, device, label in heapq.nlargest(_CHANGES, every):
        line = Text(time.strftime("%H:%M:%S  ", time.localtime(time_s)), "dim", no_wrap=True, overflow="ellipsis")
        lines.append(line.append(f"{device}  ", "not dim").append(label, "not dim"))
    return lines
