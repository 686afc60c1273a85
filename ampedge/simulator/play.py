"""The master that stands in for a plant: which rows are played into a slave, and when."""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ampedge.clock import Clock
from ampedge.datamap import WRITABLE_TABLES, DataMap
from ampedge.errors import DataError, UsageError, did_you_mean
from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode, encode_row
from ampedge.modbus.plan import plan_writes
from ampedge.records import Words
from ampedge.sample_rows import SampleRow
from ampedge.samples import SAMPLES, shipped
from ampedge.table import number as cell_number
from ampedge.table import read_table


@dataclass(frozen=True, slots=True)
class Play:
    """One row as it is written: `values` and `words` in the order of the map, after overrides.

    `label` is the file's; `expected` is None where the file has none or an override made it void.
    """

    row: int
    line: int
    values: tuple[float, ...]
    words: tuple[Words, ...]
    label: str | None
    overridden: bool

    @property
    def expected(self) -> str | None:
        return None if self.overridden else self.label


def default_samples(datamap: DataMap) -> Path:
    """The samples that ampedge ships; raises UsageError where they are for other tags."""
    path = shipped(SAMPLES)
    theirs = {name.partition(" (")[0] for name in read_table(path).columns}
    if not set(datamap.names) <= theirs:
        raise UsageError(
            f"The samples that ampedge ships are the amplifier's; the data map has {', '.join(datamap.names)}.",
            "Name your own rows: ampedge simulate SAMPLES.csv",
        )
    return path


def choose(
    rows: Sequence[SampleRow],
    *,
    number: int | None = None,
    count: int | None = None,
    loop: bool = False,
    shuffle: bool = False,
    seed: int | None = None,
) -> Iterator[SampleRow]:
    """The rows to play, in order: all once, or `count` of them, or without end.

    Behind the last row it goes on with the first; shuffled rows are shuffled anew for each round.
    Raises UsageError where row `number` does not exist.
    """
    if number is not None:
        if not 1 <= number <= len(rows):
            raise UsageError(f"--row {number}: the samples have rows 1 to {len(rows)}.", "Rows are counted from 1.")
        rows = rows[number - 1 : number]
    limit = count if count is not None or loop else len(rows)
    return islice(_rounds(rows, shuffle, random.Random(seed)), limit)  # noqa: S311  # an order of play is no secret


def parse_overrides(settings: Sequence[str], datamap: DataMap) -> dict[str, float]:
    """`tag=value` texts as a mapping; raises UsageError naming the nearest tag, or a value that does not fit."""
    overrides = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        value = cell_number(text)
        if not equals or value is None:
            raise UsageError(f"--set {setting}: that is no TAG=NUMBER.", "Write it as in --set plate_voltage=350.")
        if name not in datamap.names:
            raise UsageError(
                f"--set {setting}: there is no tag {name!r}; {did_you_mean(name, datamap.names)}",
                f"The tags are: {', '.join(datamap.names)}.",
            )
        try:
            encode(datamap.tag(name), value)
        except DataError as error:
            raise UsageError(f"--set {setting}: {error.problem}", error.remedy) from error
        overrides[name] = value
    return overrides


def as_plays(rows: Iterator[SampleRow], datamap: DataMap, overrides: Mapping[str, float]) -> Iterator[Play]:
    """The rows with `overrides` in place, encoded for the map."""
    for row in rows:
        values = tuple(overrides.get(name, value) for name, value in zip(datamap.names, row.values, strict=True))
        words = encode_row(datamap.tags, values)
        yield Play(row.number, row.line, values, words, row.label, bool(overrides))


def writable(datamap: DataMap) -> None:
    """Raise UsageError where a master cannot write a tag of the map."""
    held = [f"{tag.name} ({tag.table})" for tag in datamap.tags if tag.table not in WRITABLE_TABLES]
    if held:
        raise UsageError(
            f"A master cannot write {', '.join(held)}: only holding registers and coils can be written.",
            "Simulate a slave with these tags in the holding table, or let the device itself measure.",
        )


def play(
    plays: Iterator[Play], master: Master, datamap: DataMap, *, interval_s: float, clock: Clock
) -> Iterator[tuple[Play, float]]:
    """Write each row, one request per contiguous block, and yield it with the monotonic time of its write.

    A row is written `interval_s` after the one before, or later, where the caller takes longer over it.
    Raises UnreachableError and ExceptionReply.
    """
    plan = plan_writes(datamap)
    waiting = threading.Condition()
    due_s = clock.monotonic()
    for this in plays:
        left_s = due_s - clock.monotonic()
        if left_s > 0:
            with waiting:
                clock.wait(waiting, left_s)
        written_s = clock.monotonic()
        master.write(plan, this.words)
        yield this, written_s
        due_s = written_s + interval_s


def _rounds(rows: Sequence[SampleRow], shuffle: bool, order: random.Random) -> Iterator[SampleRow]:
    while True:
        yield from order.sample(rows, len(rows)) if shuffle else rows
