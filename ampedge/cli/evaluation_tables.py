"""An evaluation on the terminal."""

import json
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ampedge.cli.results import ANY_WIDTH, result_console
from ampedge.decision import in_percent
from ampedge.training.fitting.thresholds import in_words
from ampedge.training.judging.evaluation import Evaluation
from ampedge.training.judging.groups import Groups
from ampedge.training.judging.intervals import figure
from ampedge.training.judging.rivals import TITLES
from ampedge.training.judging.worst import described

_CORNER = "class"
_LEAST_ROOM = 12
_FEW = 5
_GAP = 2
_FIGURE_OVER_INTERVAL = len("(0.00-0.00)")


def show(evaluation: Evaluation, *, as_json: bool) -> None:
    """Print the figures on stdout, as tables or as the document of report.json."""
    if as_json:
        print(json.dumps(evaluation.document(), ensure_ascii=False))
        return
    console = result_console()
    say = partial(console.print, markup=False)
    for caution in evaluation.cautions:
        say(caution, style="bold red")
    say(f"Scored on {evaluation.scored} ({evaluation.rows} rows).")
    for note in evaluation.notes:
        say(note, style="bold red" if note.startswith("Warning") else "dim")
    say()
    say(_overall(evaluation))
    for sentence in evaluation.rivals.sentences if evaluation.rivals else ():
        say(sentence)
    say()
    say(_per_class(evaluation, console))
    say(evaluation.intervals.method, style="dim")
    say("\nConfusion matrix: what the model says of the rows of each class")
    say(_confusion(evaluation, console))
    if evaluation.worst:
        mistakes = "1 mistake" if evaluation.wrong == 1 else f"{evaluation.wrong} mistakes"
        say(f"\nThe surest of its {mistakes}, by the lines of {evaluation.path}")
        say(_worst(evaluation, console))
    say()
    if evaluation.groups:
        say(evaluation.groups.sentence())
        say(_groups(evaluation.groups))
        say()
    if evaluation.calibration:
        say(evaluation.calibration.sentence())
    for name, one in evaluation.costs.items():
        say(in_words(name, one))
    published = evaluation.published
    say(f"Published: {published['right']} right, {published['wrong']} wrong, {published['unknown']} unknown.")
    for title, reasons in (
        ("Why unknown", evaluation.unknown_reasons),
        ("Why not asked, counted as missed", evaluation.not_asked_reasons),
    ):
        if reasons:
            say(f"{title}: {_counted(reasons)}")


def _overall(evaluation: Evaluation) -> Table:
    """The model, and what was tried on the same rows."""
    scores, sure = evaluation.scores, evaluation.intervals
    table = Table("", box=None, pad_edge=False)
    for name in ("accuracy", "macro-F1"):
        table.add_column(name)
    table.add_row(
        "this model", figure(scores["accuracy"], sure.accuracy), figure(scores["macro_f1"], sure.macro_f1), style="bold"
    )
    if evaluation.rivals and evaluation.rivals.same_rows:
        for name, found in evaluation.rivals.figures.items():
            if name not in ("network", "majority_class"):
                table.add_row(TITLES[name], figure(found["accuracy"]), figure(found["macro_f1"]))
    baseline = evaluation.baseline
    table.add_row(Text(f"always {baseline['class']!r}"), figure(baseline["accuracy"]), figure(baseline["macro_f1"]))
    return table


def _per_class(evaluation: Evaluation, console: Console) -> Table:
    """The worst first; the areas are of the curves against all other classes."""
    table = Table("worst first", "precision", "recall", "F1", box=None, pad_edge=False)
    for name in ("ROC area", "PR area", "rows"):
        table.add_column(name, justify="right")
    area = {one.name: (one.roc_area, one.average_precision) for one in evaluation.curves}
    for name, one in evaluation.by_class():
        sure = evaluation.intervals.per_class[name]
        figures = (figure(one[key], sure[key], rows=one["support"]) for key in ("precision", "recall", "f1"))
        below = (f"{number:.3f}" for number in area[name]) if name in area else ("", "")
        table.add_row(Text(name), *figures, *below, str(one["support"]))
    if _width(console, table) > console.width:
        table.columns[0].overflow = "fold"
        for column in table.columns[1:4]:
            column.width = _FIGURE_OVER_INTERVAL
    return table


def _worst(evaluation: Evaluation, console: Console) -> Table:
    """The first few, with as much of their values as there is room for."""
    return _mistakes(evaluation, console.width - _width(console, _mistakes(evaluation, 0)) - _GAP)


def _mistakes(evaluation: Evaluation, room: int) -> Table:
    table = Table("line", "expected", "got", "confidence", box=None, pad_edge=False)
    if room >= _LEAST_ROOM:
        table.add_column("values", no_wrap=True)
    for one in evaluation.worst[:_FEW]:
        values = Text(", ".join(described(evaluation.bundle.manifest.features, one.values)))
        values.truncate(room, overflow="ellipsis")
        cells = (str(one.line), Text(one.expected), Text(one.got), in_percent(one.confidence), values)
        table.add_row(*cells[: len(table.columns)])
    return table


def _groups(groups: Groups) -> Table:
    """The worst few."""
    table = Table("worst first", box=None, pad_edge=False)
    for name in ("rows", "classes", "accuracy", "macro-F1"):
        table.add_column(name, justify="right")
    for group in groups.each[:_FEW]:
        numbers = (str(group.rows), str(group.classes), f"{group.accuracy:.3f}", f"{group.macro_f1:.3f}")
        table.add_row(Text(group.name), *numbers)
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
    return Measurement.get(console, console.options.update(max_width=ANY_WIDTH), table).maximum


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
