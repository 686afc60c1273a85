"""The comparison of two models on the terminal."""

import json
from collections.abc import Iterable
from functools import partial

from rich.table import Table
from rich.text import Text

from ampedge.cli.results import result_console
from ampedge.training.judging.comparison_report import differing_rows, side_by_side, who_was_right
from ampedge.training.judging.model_comparison import ModelComparison

_FEW = 8


def show(comparison: ModelComparison, *, as_json: bool) -> None:
    """Print it on stdout, as tables or as the document of report.json."""
    if as_json:
        print(json.dumps(comparison.document(), ensure_ascii=False))
        return
    console = result_console()
    say = partial(console.print, markup=False)
    say(comparison.sentence(), style="bold")
    for caution in comparison.cautions:
        say(caution, style="bold red")
    say(f"Scored on {comparison.first.scored} ({comparison.first.rows} rows), the same for both.")
    for note in comparison.notes:
        say(note, style="bold red" if note.startswith("Warning") else "dim")
    say()
    say(_table(("", *comparison.names), side_by_side(comparison)))
    say(comparison.first.intervals.method, style="dim")
    say()
    say(who_was_right(comparison))
    if comparison.examples:
        say(f"Some of them, by the lines of {comparison.first.path}")
        rows = [row[:4] for row in differing_rows(comparison)[:_FEW]]
        say(_table(("line", "expected", *comparison.names), rows))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*map(Text, row))
    return table
