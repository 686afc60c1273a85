"""`ampedge evaluate --cv`: the recipe of a model, trained anew on each fold of a table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from ampedge.cli.reading import reading_bar
from ampedge.cli.results import result_console
from ampedge.cli.training_screen import messages
from ampedge.errors import GateError, UsageError
from ampedge.training.fitting.cross_validation import CrossValidation, cross_validate
from ampedge.training.judging.cross_validation_report import (
    CLASS_HEAD,
    FOLD_HEAD,
    SPREAD,
    beside,
    class_rows,
    fold_rows,
    how,
    in_figures,
    write_cross_validation,
)
from ampedge.training.judging.report import PAGE

if TYPE_CHECKING:
    from ampedge.model.bundle import Bundle
    from ampedge.training.rows.folds import Fold


def cross_validated(
    bundle: "Bundle",
    data: Path | None,
    *,
    count: int,
    read: Mapping[str, Any],
    out: Path,
    min_macro_f1: float | None,
    as_json: bool,
) -> None:
    """Run it, write the report and show it; raises GateError where the mean macro-F1 is below `min_macro_f1`."""
    if data is None:
        raise UsageError(
            "--cv trains on a table, and none is given.", "Give the one of the training: `ampedge evaluate DATA.csv`."
        )
    with messages() as console, ExitStack() as reading:

        def shown(parts: "Sequence[Fold]") -> "Iterable[Fold]":
            reading.close()  # one bar at a time
            return track(parts, "Training on folds", console=console, disable=not console.is_terminal)

        progress = reading.enter_context(reading_bar(console, data))
        found = cross_validate(
            bundle, data, count=count, read=read, min_macro_f1=min_macro_f1, progress=progress, track=shown
        )
    write_cross_validation(found, out)
    _show(found, as_json=as_json)
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"Report: {out / PAGE}", markup=False)
    if not found.passed:
        raise GateError(
            f"Mean macro-F1 is {found.macro_f1.mean:.4f}, below the limit of {min_macro_f1:g}.",
            f"Look at the worst classes in {out / PAGE}.",
        )


def _show(found: CrossValidation, *, as_json: bool) -> None:
    """Print it on stdout, as tables or as the document of report.json."""
    if as_json:
        print(json.dumps(found.document(), ensure_ascii=False))
        return
    console = result_console()
    say = partial(console.print, markup=False)
    say(how(found))
    for note in found.notes:
        say(note, style="bold red" if note.startswith("Warning") else "dim")
    say()
    say(
        _table(
            FOLD_HEAD, [*fold_rows(found), ("mean", "", "", "", in_figures(found.accuracy), in_figures(found.macro_f1))]
        )
    )
    say()
    say(_table(CLASS_HEAD, class_rows(found)))
    say(SPREAD, style="dim")
    for sentence in beside(found):
        say(f"\n{sentence}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
