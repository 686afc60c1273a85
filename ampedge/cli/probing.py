"""What `probe` does while it runs, and how a finding looks."""

import json
import math
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ampedge.clock import Cadence, SystemClock
from ampedge.config import Config
from ampedge.datamap import TABLES, WORD_ORDERS, notation, parse_address
from ampedge.errors import ModelRefusedError, UnreachableError, UsageError
from ampedge.modbus.client import Master
from ampedge.probe import Finding, Guess, Image, Point, Registers, find
from ampedge.service.hosting import reachable
from ampedge.site_map import site_bundle, site_map

Picture = Callable[[Finding], Group]
_ANY_WIDTH = 200
_REMEDY = "Check --host, --port and --unit, then the data map against the device's manual."


def registers(address: str, table: str | None, count: int) -> Registers:
    """The registers that the options name; raises UsageError."""
    if table is not None and table not in TABLES:
        raise UsageError(f"--table {table!r} is none of {', '.join(TABLES)}.", "Give one of them.")
    try:
        plain = int(address) if address.isascii() and address.isdigit() and len(address) < len("40001") else address
        found, first = parse_address(plain, table)
    except ValueError as error:
        raise UsageError(f"--address: {error}.", "Give the address as the device's manual has it.") from error
    return Registers(found, first, count)


def run(config: Config, wanted: Registers | None, *, watch: bool, as_json: bool) -> None:
    """Read once, or until interrupted, and show it; raises UnreachableError."""
    device = config.device
    master = Master(reachable(device.host), device.port, unit=device.unit, timeout_s=device.timeout_s)
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    about = f"Reading {master.address}, unit {device.unit}."
    if wanted is None:
        datamap, source = site_map(config)
        about = f"{source} {about}"
        image, trained = Image(), _trained(config, set(datamap.names))

        def look() -> Finding:
            image.read(master, datamap)
            return find(image, datamap, trained)
    else:

        def look() -> Finding:
            return wanted.find(master)

    messages.print(about, markup=False)
    with closing(master):
        finding = look()
        picture = _tags if wanted is None else _registers
        if watch:
            _watch(look, finding, picture, interval_s=device.interval_s, as_json=as_json)
        _print(finding, picture, as_json=as_json)
    if not any(point.words for point in finding.points):
        raise UnreachableError(finding.points[0].problem, _REMEDY)


def _watch(
    look: Callable[[], Finding], finding: Finding, picture: Picture, *, interval_s: float, as_json: bool
) -> NoReturn:
    """Show finding after finding until interrupted; a device that is away is waited for."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    clock, waiting = SystemClock(), threading.Condition()
    cadence = Cadence(interval_s, clock.monotonic())
    with ExitStack() as shown:
        show: Callable[[Finding], object] = partial(_print, picture=picture, as_json=as_json)
        if sys.stdout.isatty() and not as_json:
            live = shown.enter_context(Live(console=Console(highlight=False), auto_refresh=False))
            show = lambda finding: live.update(picture(finding), refresh=True)  # noqa: E731
        while True:
            show(finding)
            cadence.take(clock.monotonic())
            with waiting:
                clock.wait(waiting, max(0.0, cadence.due_s - clock.monotonic()))
            try:
                finding = look()
            except UnreachableError as error:
                gone = (replace(point, words=(), guesses=(), problem=error.problem) for point in finding.points)
                finding = Finding(tuple(gone), (error.problem,))


def _trained(config: Config, names: set[str]) -> dict[str, tuple[float, float]]:
    """The ranges of training of the model that fits these tags, none where there is none."""
    try:
        bundle, _ = site_bundle(config, runs=False)
    except (ModelRefusedError, UsageError):
        return {}
    features = {feature.name: feature.envelope for feature in bundle.manifest.features}
    return features if set(features) == names else {}


def _print(finding: Finding, picture: Picture, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_document(finding), ensure_ascii=False), flush=True)
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else _ANY_WIDTH).print(picture(finding))


def _tags(finding: Finding) -> Group:
    """The tags of a data map."""
    orders, table = _orders(finding), _columns("tag", "address", "words")
    for order in orders:
        table.add_column(order, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for point in finding.points:
        tag = point.tag
        place = (Text(tag.name), f"{notation(tag.table, tag.address)} ({tag.address})")
        if point.words:
            cells = [_cell(_in(point, order), is_own=order == tag.word_order) for order in orders]
            table.add_row(*place, _words(point), *cells, Text(tag.unit))
        else:
            table.add_row(*place, Text("-", style="red"))
    return _with_hints(table, finding, "   underlined: the word order of the data map")


def _registers(finding: Finding) -> Group:
    """Registers without a data map: each as a whole number, and with the next one as a float32."""
    first = finding.points[0].tag
    if first.type == "bit":
        table = _columns("address", "bit")
        for point in finding.points:
            table.add_row(f"{point.tag.name} ({point.tag.address})", _words(point))
        return Group(table)
    orders, table = _orders(finding), _columns("address", "word")
    for name in ("uint16", "int16", *orders):
        table.add_column(name, justify="right", no_wrap=True)
    for point in finding.points:
        if not point.words:
            table.add_row(f"{point.tag.name} ({point.tag.address})", Text("-", style="red"))
            continue
        word = point.words[0]
        whole = (str(word), str(word - 0x10000 if word >= 0x8000 else word))
        cells = [_cell(_in(point, order)) for order in orders] if point.tag.type == "float32" else []
        table.add_row(f"{point.tag.name} ({point.tag.address})", f"{word:04X}", *whole, *cells)
    return _with_hints(table, finding, "   ABCD and so on: with the next register as a float32")


def _columns(*names: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name != "tag", overflow="fold")
    return table


def _orders(finding: Finding) -> list[str]:
    return [order for order in WORD_ORDERS if any(_in(point, order) for point in finding.points)]


def _with_hints(table: Table, finding: Finding, legend: str) -> Group:
    marks = Text("✓ plausible", style="green") + Text(legend, style="dim")
    return Group(table, Text(), marks, *(Text(hint, style="bold") for hint in finding.hints))


def _in(point: Point, order: str) -> Guess | None:
    return next((guess for guess in point.guesses if guess.order == order), None)


def _cell(guess: Guess | None, *, is_own: bool = False) -> Text:
    if guess is None:
        return Text()
    own = " underline" if is_own else ""
    if guess.is_plausible:
        return Text.assemble((_number(guess), f"green{own}"), (" ✓", "green"))
    return Text.assemble((_number(guess), f"dim{own}"))


def _number(guess: Guess) -> str:
    if math.isnan(guess.raw):
        return "NaN"
    value = guess.raw if guess.value is None else guess.value
    return f"{value:.5g}" if guess.is_plausible else f"{value:.2g}"


def _words(point: Point) -> str:
    if not point.words:
        return "-"
    if point.tag.type == "bit":
        return str(point.words[0])
    return " ".join(f"{word:04X}" for word in point.words)


def _document(finding: Finding) -> dict[str, Any]:
    tags = [
        {
            "name": point.tag.name,
            "table": point.tag.table,
            "address": point.tag.address,
            "manual": notation(point.tag.table, point.tag.address),
            "type": point.tag.type,
            "word_order": point.tag.word_order,
            "unit": point.tag.unit,
            "words": list(point.words),
            "problem": point.problem or None,
            "values": {
                guess.order: {"value": guess.value, "plausible": guess.is_plausible, "reason": guess.reason}
                for guess in point.guesses
            },
        }
        for point in finding.points
    ]
    return {"tags": tags, "hints": list(finding.hints)}
