"""An inspection: every judge looks at the table, one column after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.datamap import DataMap
from ampedge.table import Table, is_missing
from ampedge.training.detectors import repeats
from ampedge.training.detectors.finding import Finding, Flags, Kind, Numbers, Severity, worst_first
from ampedge.training.detectors.times import seconds
from ampedge.training.inspection.cells import judge_disguised, judge_empty, judge_numbers, judge_odd
from ampedge.training.inspection.columns import judge_column, judge_text
from ampedge.training.inspection.examination import Drop, Examination, Step
from ampedge.training.inspection.labels import judge_labels
from ampedge.training.inspection.rows import different_rows, judge_rows, judge_unwritten, text_hashes
from ampedge.training.inspection.sheet import Sheet, sheet_of
from ampedge.training.inspection.structure import structure
from ampedge.training.inspection.timing import judge_times
from ampedge.training.rows.classes import FEWEST_ROWS
from ampedge.training.settings import TableSettings

Told = Callable[[str, int, int], None]
"""Is told what is looked at, how many columns are done, and how many there are."""

STEPS = {
    Step.LABEL: "after label repair",
    Step.CELLS: "after dropping bad cells",
    Step.WILD: "after dropping wild values",
    Step.CONTRADICTORY: "after dropping contradictions",
    Step.DUPLICATES: "after dropping duplicates",
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a table, the worst first, and which rows a cleaned copy would leave out.

    `steps` are (what is done, rows that are left), from the rows of the file on.
    """

    sheet: Sheet
    findings: list[Finding]
    drops: list[Drop]
    dropped_in: NDArray[np.int8]

    @property
    def steps(self) -> list[tuple[str, int]]:
        """(what is done, rows that are left), from the data lines of the file on."""
        ragged = self.sheet.table.left_out.ragged.total
        left = len(self.dropped_in)
        steps = [("data lines", left + ragged)]
        if ragged:
            steps.append(("after dropping ragged rows", left))
        counts = np.bincount(self.dropped_in, minlength=len(Step) + 1)
        for step, what in STEPS.items():
            left -= int(counts[step])
            if counts[step] or step not in (Step.WILD, Step.CONTRADICTORY):
                steps.append((what, left))
        return steps

    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        return {one.value: sum(finding.severity is one for finding in self.findings) for one in Severity}

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        sheet = self.sheet
        return {
            "data": str(sheet.table.path),
            "rows": len(sheet),
            "label": sheet.label,
            "classes": sheet.sizes,
            "features": list(sheet.features),
            "left_out": dict(sheet.left_out),
            "time": sheet.time,
            "notes": list(sheet.table.notes),
            "counts": self.counts(),
            "findings": [finding.document() for finding in self.findings],
            "steps": [{"step": what, "rows": rows} for what, rows in self.steps],
        }


def inspect(
    table: Table,
    settings: TableSettings,
    datamap: DataMap | None = None,
    *,
    time: str | None = None,
    told: Told = lambda *_: None,
) -> Inspection:
    """Look at a table that was read with `drop_bad_rows`.

    Memory holds one column at a time, beside the table and some numbers for each row.
    """
    sheet = sheet_of(table, settings, datamap, time)
    examination = Examination(sheet)
    examination.findings += structure(table)
    total = 2 * len(sheet.features) + 2
    judge_labels(examination)
    judge_disguised(examination)
    numbers = [name for name in table.columns if name != sheet.label and not sheet.is_text(name)]
    for done, name in enumerate(one for one in numbers if one != sheet.time or sheet.time_format is None):
        told(f"Reading {name}", done, total)
        if name == sheet.group and np.isnan(sheet.numbers(name)).mean() > 0.5:
            continue
        judge_numbers(examination, name)
    told("Comparing rows", len(sheet.features), total)
    times, others = _from_file(examination)
    repeated, contradictory = judge_rows(examination, others)
    once = ~repeated
    large = np.array([*(sheet.sizes[name] >= FEWEST_ROWS for name in sheet.classes), False])  # the last: no class
    alike = different_rows(sheet, once) < FEWEST_ROWS  # then copies are what the class looks like
    typical = (once | np.append(alike, False)[sheet.targets]) & ~contradictory & large[sheet.targets]
    for done, name in enumerate(sheet.features):
        told(f"Looking at {name}", len(sheet.features) + 1 + done, total)
        judge_column(examination, name, once, typical)
    judge_unwritten(examination)
    for name in sheet.left_out:
        held = table.held(name) if sheet.is_text(name) else None
        if held is not None:
            judge_text(examination, name, held.codes, typical)
    if times is not None:
        judge_times(examination, times, once)
    return Inspection(sheet, worst_first(examination.findings), examination.drops, examination.dropped_in())


def _from_file(examination: Examination) -> tuple[Numbers | None, NDArray[np.uint64] | None]:
    """(the times in seconds, a hash over the columns that only the file has), and judge the cells of these columns.

    One reading of the file serves all of them.
    """
    sheet = examination.sheet
    texts = [
        name for name in sheet.table.columns if name != sheet.label and (sheet.is_text(name) or name == sheet.group)
    ]
    if sheet.time is not None and sheet.time_format is not None and sheet.time not in texts:
        texts.append(sheet.time)
    held = {name: found for name in texts if (found := sheet.table.held(name)) is not None}
    absent: dict[str, Flags] = {}
    times = sheet.numbers(sheet.time) if sheet.time is not None and sheet.time_format is None else None
    for name, found in held.items():
        absent[name] = np.array([is_missing(text) for text in found.unique])[found.codes]
        if name == sheet.time and sheet.time_format is not None:
            times = seconds(found.unique, sheet.time_format)[found.codes]
    streamed = [name for name in texts if name not in held]
    others: NDArray[np.uint64] | None = None
    if streamed:
        others = np.empty(len(sheet), np.uint64)
        for name in streamed:
            absent[name] = np.zeros(len(sheet), bool)
        if sheet.time in streamed:
            times = np.empty(len(sheet))
        at = 0
        for batch in sheet.table.batches(streamed):
            until = at + len(batch[0])
            others[at:until] = repeats.row_hashes(text_hashes(list(cells)) for cells in batch)
            for name, cells in zip(streamed, batch, strict=True):
                absent[name][at:until] = [is_missing(cell) for cell in cells]
                if name == sheet.time and times is not None and sheet.time_format is not None:
                    times[at:until] = seconds(cells, sheet.time_format)
            at = until
    for name, flags in absent.items():
        judge_empty(examination, name, np.flatnonzero(flags))
    if times is not None and sheet.time_format is not None and sheet.time is not None:
        rows = np.flatnonzero(np.isnan(times) & ~absent[sheet.time])
        shown = (sheet.table.cell(row, sheet.time) for row in rows[:5].tolist())
        judge_odd(examination, sheet.time, Kind.UNREADABLE, rows, shown, noun="time")
    return times, others
