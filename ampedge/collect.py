"""Labelled rows from a live device: how one's own training table begins."""

import csv
import errno
import io
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ampedge.clock import Cadence, Clock
from ampedge.continuity import Continuity
from ampedge.datamap import DataMap
from ampedge.errors import DataError, UnreachableError, UsageError
from ampedge.formulas import escaped, unescaped
from ampedge.modbus.source import ModbusSource
from ampedge.pipeline import Reader
from ampedge.records import UNKNOWN, Quality, Record

LABEL = "status"
_SYNC_S = 2.0
_LONGEST_LINE = 1 << 16
_LONGEST_LABEL = 64


@dataclass(slots=True)
class Tally:
    """What has been collected so far; `left_out` counts readings that are not good, `reasons` why."""

    rows: int = 0
    left_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def checked_label(label: str) -> str:
    """The label without outer spaces; raises UsageError for one that no row may be given."""
    name = label.strip()
    if not name or not name.isprintable() or len(name) > _LONGEST_LABEL:
        raise UsageError(
            f"--label {name[:_LONGEST_LABEL]!r}: a label has 1 to {_LONGEST_LABEL} characters, all of them printable.",
            "Name the state that the device is in now.",
        )
    if name.casefold() == UNKNOWN:
        raise UsageError(
            f"--label {label}: {UNKNOWN!r} is what a reading gets that no class may be given to.",
            "Name the state that the device is in now.",
        )
    return name


def collect(
    source: ModbusSource, table: "GrowingTable", *, label: str, count: int, interval_s: float, clock: Clock
) -> Iterator[tuple[Tally, Record]]:
    """Poll every `interval_s` until `count` good readings are in the table; yields after each poll.

    Raises UnreachableError where the first poll fails; later ones are left out and counted, and so is what is
    uncertain: a device that has just come back teaches nothing.
    """
    datamap = source.plan.datamap
    reader = Reader(datamap, continuity=Continuity(datamap))
    tally = Tally()
    cadence = Cadence(interval_s, clock.monotonic())
    waiting = threading.Condition()
    began = False
    while tally.rows < count:
        left_s = cadence.due_s - clock.monotonic()
        if left_s > 0:
            with waiting:
                clock.wait(waiting, left_s)
            continue
        cadence.take(clock.monotonic())
        record = reader.read(source.poll())
        if record.frame.failure is not None and not began:
            raise UnreachableError(
                record.frame.detail, "Check --host, --port, --unit and the data map; then start again."
            )
        began = True
        if record.quality is not Quality.GOOD:
            tally.left_out += 1
            tally.reasons.update(record.reasons)
        else:
            table.append([repr(value.value) for value in record.values] + [label], now_s=clock.monotonic())
            tally.rows += 1
        yield tally, record


def summary(tally: Tally, path: Path, label: str) -> str:
    """What was collected, in a sentence or two."""
    said = f"{tally.rows} rows of {label!r} added to {path}."
    if tally.left_out:
        reasons = ", ".join(f"{reason} {count} times" for reason, count in tally.reasons.most_common())
        said += f" {tally.left_out} readings left out: {reasons}."
    return said


class GrowingTable:
    """A CSV table that rows are added to: each is there whole or not at all, even where the disk fills up.

    A table that exists must have exactly the columns of `datamap` in its order, then `status`.
    A context manager: entering raises DataError for a table that does not fit, UsageError for a place that cannot
    be written; a table that got no row is not left behind.
    """

    def __init__(self, path: Path, datamap: DataMap) -> None:
        if LABEL in datamap.names:
            raise UsageError(
                f"A tag is named {LABEL!r}, which is the column of the label.", "Rename the tag in the data map."
            )
        self.path = path
        self._header = [*datamap.names, LABEL]
        self._newline = "\n"
        self._before = b""  # what the first row needs in front of it
        self._synced_s = 0.0

    def __enter__(self) -> Self:
        try:
            if self.path.exists() and not self.path.is_file():
                raise UsageError(f"{self.path} cannot be written: it is no file.", "Choose another place with --out.")
            self._end = self.path.stat().st_size if self.path.exists() else 0
            if self._end:
                with self.path.open("rb") as old:
                    try:
                        self._compare(old)
                    except csv.Error as error:
                        raise DataError(
                            f"{self.path} is no table that rows can be added to: its first or last line is not CSV.",
                            "Save it as CSV in UTF-8 with the usual line ends, or collect into another file.",
                        ) from error
            else:
                self._before = self._line(self._header)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        if not self._end:
            self.path.unlink()

    def append(self, cells: Sequence[str], *, now_s: float) -> None:
        """Write one row; it is forced onto the disk with the first row that comes two seconds after the last time."""
        data = self._before + self._line(cells)
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if now_s - self._synced_s >= _SYNC_S:
                os.fsync(self._file.fileno())
                self._synced_s = now_s
        except OSError as error:
            self._file.truncate(self._end)
            raise self._unwritable(error) from error
        self._end += len(data)
        self._before = b""

    def _line(self, cells: Sequence[str]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=self._newline).writerow(map(escaped, cells))
        return text.getvalue().encode()

    def _compare(self, old: BinaryIO) -> None:
        """Raise DataError where the table that is there does not take rows with these columns."""
        first = old.readline()
        if first.endswith(b"\r\n"):
            self._newline = "\r\n"
        header = _cells(first)
        if header != self._header:
            raise DataError(
                f"{self.path} has other columns: {_difference(header, self._header)}.",
                "Collect into another file with --out, or with the data map that this table was made with.",
            )
        old.seek(max(0, self._end - _LONGEST_LINE))
        last = old.read().rpartition(b"\n")[2]
        if last:
            self._before = self._newline.encode()
            if len(_cells(last)) != len(self._header):
                raise DataError(
                    f"The last line of {self.path} is not whole: it has {len(_cells(last))} of "
                    f"{len(self._header)} fields.",
                    "Delete that line, then start again.",
                )

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path} cannot be written: {error.strerror}.", "Choose another place with --out.")


def _cells(line: bytes) -> list[str]:
    return [unescaped(cell) for cell in next(csv.reader([line.decode("utf-8-sig", "replace")]), [])]


def _difference(found: Sequence[str], wanted: Sequence[str]) -> str:
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    said = [f"{', '.join(missing)} missing"] if missing else []
    said += [f"{', '.join(surplus)} not in the data map"] if surplus else []
    return "; ".join(said) or f"their order is {', '.join(found)}, not {', '.join(wanted)}"
