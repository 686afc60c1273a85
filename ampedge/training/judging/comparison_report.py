"""The comparison of two bundles as one page of HTML, beside its picture and its JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ampedge.training.html import card, cards, caution, heading, notes, page, paragraph, picture, table
from ampedge.training.judging.evaluation import Evaluation
from ampedge.training.judging.f1_picture import f1_png
from ampedge.training.judging.intervals import figure
from ampedge.training.judging.model_comparison import Change, ModelComparison
from ampedge.training.judging.report import F1, write
from ampedge.training.judging.worst import described

_NOT_ASKED = "(not asked)"


def write_comparison(comparison: ModelComparison, out: Path) -> None:
    """Write the picture, the page and the JSON into the directory `out`."""
    drawn = f1_png((comparison.first, comparison.second), comparison.names)
    write(out, {F1: drawn}, comparison_page(comparison, drawn), comparison.document())


def comparison_page(comparison: ModelComparison, drawn: bytes) -> str:
    """The whole page; every name in it is escaped."""
    first, second = comparison.names
    parts = [
        paragraph(comparison.sentence(), "lead"),
        *map(caution, comparison.cautions),
        paragraph(f"Scored on {comparison.first.scored} ({comparison.first.rows} rows), the same for both."),
        *notes(comparison.notes),
        cards(_card(change) for change in (comparison.accuracy, comparison.macro_f1)),
        heading("Side by side"),
        table(("", first, second), side_by_side(comparison)),
        *notes([comparison.first.intervals.method]),
        heading("F1 of each class"),
        picture(drawn, "F1 of each class"),
        *_differing(comparison),
    ]
    return page(f"{first} against {second}", parts)


def side_by_side(comparison: ModelComparison) -> list[tuple[str, str, str]]:
    """(figure, of the first, of the second); the classes that occur, the worst of the first at the top."""
    occurring = [name for name, one in comparison.first.by_class() if one["support"]]
    mine, its = (_column(one, occurring) for one in (comparison.first, comparison.second))
    return [(name, mine[name], its[name]) for name in mine]


def _column(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, str]:
    scores, sure = evaluation.scores, evaluation.intervals
    return {
        "accuracy": figure(scores["accuracy"], sure.accuracy),
        "macro-F1": figure(scores["macro_f1"], sure.macro_f1),
        **{f"F1 of {name}": figure(scores["per_class"][name]["f1"], sure.per_class[name]["f1"]) for name in classes},
        "calibration error": f"{evaluation.calibration.error:.3f}" if evaluation.calibration else "-",
        "published as unknown": str(evaluation.published["unknown"]),
    }


def who_was_right(comparison: ModelComparison) -> str:
    """How many rows both, one, or none of them got right."""
    first, second = comparison.names
    right = comparison.right
    return (
        f"Right: both {right['both']}, only {first} {right['only_first']}, only {second} {right['only_second']}, "
        f"neither {right['neither']}. They say different things of {comparison.differ} rows."
    )


def differing_rows(comparison: ModelComparison) -> list[tuple[str, str, str, str, str]]:
    """(line, expected, by the first, by the second, values) of the examples."""
    features = comparison.first.bundle.manifest.features
    return [
        (
            str(one.line),
            one.expected,
            one.first or _NOT_ASKED,
            one.second or _NOT_ASKED,
            ", ".join(described(features, one.values)),
        )
        for one in comparison.examples
    ]


def _card(change: Change) -> str:
    between = f"{change.interval[0]:+.3f} to {change.interval[1]:+.3f}; " if change.interval else ""
    luck = "more than luck" if change.beyond_luck else "may be luck"
    return card(
        f"{change.name}, second against first", f"{change.more:+.3f}", f"{between}p = {change.p_value:.2g}; {luck}"
    )


def _differing(comparison: ModelComparison) -> Iterable[str]:
    yield heading("Rows where they differ")
    yield paragraph(who_was_right(comparison))
    if comparison.examples:
        first, second = comparison.names
        some = "Some of them, by" if len(comparison.examples) < comparison.differ else "By"
        yield paragraph(f"{some} their lines in {comparison.first.path}; at the top what only {first} got right.")
        yield table(("line", "expected", first, second, "values"), differing_rows(comparison), texts=True)
