"""An evaluation on the terminal."""

import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ampedge.training.evaluation import Evaluation

_ANY_WIDTH = 10_000
_CORNER = "class"
_LEAST_ROOM = 12


def show(evaluation: Evaluation, *, as_json: bool) -> None:
    """Print the figures on stdout, as tables or as the document of report.json."""
    if as_json:
        print(json.dumps(evaluation.document(), ensure_ascii=False))
        return
    scores, baseline = evaluation.scores, evaluation.baseline
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Scored on {evaluation.scored} ({evaluation.rows} rows).", markup=False)
    for note in evaluation.notes:
        console.print(note, style="bold red" if note.startswith("Warning") else "dim", markup=False)
    console.print(
        f"\nAccuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}  "
        f"(always {baseline['class']!r}: {baseline['accuracy']:.3f}, {baseline['macro_f1']:.3f})\n",
        markup=False,
    )
    console.print(_per_class(evaluation))
    console.print("\nConfusion matrix: what the model says of the rows of each class")
    console.print(_confusion(evaluation, console))
    console.print()
    published = evaluation.published
    console.print(
        f"Published: {published['right']} right, {published['wrong']} wrong, {published['unknown']} unknown.",
        markup=False,
    )
    for title, reasons in (
        ("Why unknown", evaluation.unknown_reasons),
        ("Why not asked, counted as missed", evaluation.not_asked_reasons),
    ):
        if reasons:
            console.print(f"{title}: {_counted(reasons)}", markup=False)


def _per_class(evaluation: Evaluation) -> Table:
    table = Table(_CORNER, box=None, pad_edge=False)
    for name in ("precision", "recall", "F1", "rows"):
        table.add_column(name, justify="right")
    for name, one in evaluation.scores["per_class"].items():
        figures = (f"{one[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(Text(name), *figures, str(one["support"]))
    return table


def _confusion(evaluation: Evaluation, console: Console) -> Table | str:
    """The matrix; classes are numbered where their names are too long for the columns."""
    classes = evaluation.bundle.classes
    table = _matrix(evaluation, classes, classes)
    if _width(console, table) <= console.width:
        return table
    numbers = [str(i) for i in range(1, len(classes) + 1)]
    room = console.width - _width(console, _matrix(evaluation, numbers, numbers)) + len(_CORNER)
    if room < _LEAST_ROOM:
        return "The confusion matrix is too wide for this terminal; see confusion_matrix.png."
    names = [Text(f"{number} {name}") for number, name in zip(numbers, classes, strict=True)]
    for name in names:
        name.truncate(room, overflow="ellipsis")
    return _matrix(evaluation, numbers, [name.plain for name in names])


def _width(console: Console, table: Table) -> int:
    return Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum


def _matrix(evaluation: Evaluation, heads: Sequence[str], names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(_CORNER, no_wrap=True)
    for head in heads:
        table.add_column(Text(head), justify="right", no_wrap=True)
    if evaluation.not_asked:
        table.add_column("not asked", justify="right")
    for i, (name, counts) in enumerate(zip(names, evaluation.confusion, strict=True)):
        shown = counts if evaluation.not_asked else counts[:-1]
        table.add_row(Text(name), *(Text(str(n), style=_style(n, right=i == j)) for j, n in enumerate(shown)))
    return table


def _style(count: int, *, right: bool) -> str:
    if count == 0:
        return "dim"
    return "bold green" if right else "red"


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
