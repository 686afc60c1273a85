"""A cross-validation in words and rows, as one page of HTML, and as its JSON."""

from collections.abc import Sequence
from pathlib import Path

from ampedge.training.fitting.cross_validation import CrossValidation, Spread
from ampedge.training.html import card, cards, heading, notes, page, paragraph, table
from ampedge.training.judging.report import write

FOLD_HEAD = ("fold", "trained", "calibrated", "judged", "accuracy", "macro-F1")
CLASS_HEAD = ("worst first", "precision", "recall", "F1")
SPREAD = "Mean over the folds ± standard deviation from fold to fold."


def write_cross_validation(found: CrossValidation, out: Path) -> None:
    """Write the page and the JSON into the directory `out`."""
    write(out, {}, cross_validation_page(found), found.document())


def cross_validation_page(found: CrossValidation) -> str:
    """The whole page; every name in it is escaped."""
    gate = "" if found.min_macro_f1 is None else "passed" if found.passed else "failed"
    limit = "" if found.min_macro_f1 is None else f", limit {found.min_macro_f1:g}"
    parts = [
        paragraph(how(found)),
        *notes(found.notes),
        cards(
            (
                card("Accuracy", f"{found.accuracy.mean:.3f}", f"± {found.accuracy.deviation:.3f}"),
                card("Macro-F1", f"{found.macro_f1.mean:.3f}", f"± {found.macro_f1.deviation:.3f}{limit}", gate),
            )
        ),
        *map(paragraph, beside(found)),
        heading("Each class"),
        table(CLASS_HEAD, class_rows(found)),
        *notes([SPREAD]),
        heading("Each fold"),
        table(FOLD_HEAD, fold_rows(found)),
    ]
    return page(f"{found.bundle.manifest.name}: the recipe on {len(found.folds)} folds", parts)


def how(found: CrossValidation) -> str:
    """What was done."""
    return (
        f"The recipe of this model was trained anew on each of {len(found.folds)} folds of {found.path} "
        f"({found.rows} rows; {found.split}) and judged on the rows that the fold left out."
    )


def beside(found: CrossValidation) -> list[str]:
    """Where the figure of the bundle itself stands among those of the folds; nothing where it is not known."""
    if found.held_out is None:
        return []
    figures = [fold["macro_f1"] for fold in found.folds]
    return [
        f"The model itself has a macro-F1 of {found.held_out:.3f} on the rows that its training held out; the folds "
        f"go from {min(figures):.3f} to {max(figures):.3f}."
    ]


def class_rows(found: CrossValidation) -> list[Sequence[str]]:
    """(class, precision, recall, F1), the worst first."""
    return [(name, *map(in_figures, figures.values())) for name, figures in found.per_class().items()]


def fold_rows(found: CrossValidation) -> list[Sequence[str]]:
    """A row for each fold, as FOLD_HEAD says."""
    return [
        (str(number), *map(str, fold["rows"].values()), f"{fold['accuracy']:.3f}", f"{fold['macro_f1']:.3f}")
        for number, fold in enumerate(found.folds, 1)
    ]


def in_figures(one: Spread) -> str:
    """Mean and deviation."""
    return f"{one.mean:.3f} ± {one.deviation:.3f}"
