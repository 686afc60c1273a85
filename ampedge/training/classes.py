"""The class of each row: spellings of one label are made one, and what cannot be a class is refused."""

from collections import Counter
from collections.abc import Sequence

from ampedge.errors import DataError
from ampedge.records import UNKNOWN
from ampedge.table import Table
from ampedge.training.labels import folded

_FEWEST_ROWS = 10
_FEW_ROWS = 20
_LONGEST = 64
_SHOWN = 5


def labels(table: Table, column: str) -> tuple[list[str], list[str]]:
    """(a label for each row, empty where there is none; notes on what was respelled).

    Spellings that differ in case or spaces become the commonest of them.
    Raises DataError for a missing column, the label `unknown`, and text that is no name for a class.
    """
    place = _column(table, column)
    raw = [row.cells[place] for row in table.rows]
    spellings: dict[str, Counter[str]] = {}
    for text in raw:
        spellings.setdefault(folded(text), Counter())[" ".join(text.split())] += 1
    names = {key: counts.most_common(1)[0][0] for key, counts in spellings.items()}
    found = [names[folded(text)] for text in raw]
    for row, name in zip(table.rows, found, strict=True):
        where = f"{table.path}, line {row.line}, column {column!r}"
        if folded(name) == UNKNOWN:
            raise DataError(
                f"{where}: the label {name!r} is kept for readings that no class may be given to.",
                "Give these rows another label, or take them out.",
            )
        if not name.isprintable() or len(name) > _LONGEST:
            raise DataError(
                f"{where}: {name[:_LONGEST]!r} is no name for a class.",
                f"A label has at most {_LONGEST} characters, all of them printable.",
            )
    return found, _notes(raw, found)


def check_sizes(table: Table, column: str, found: Sequence[str]) -> list[str]:
    """Notes on small classes; raises DataError for one class only and for classes too small to split."""
    counts = Counter(found)
    where = f"{table.path}, column {column!r}"
    if len(counts) == 1:
        raise DataError(
            f"{where}: every row is labelled {found[0]!r}; a classifier tells two classes or more apart.",
            "Add rows of another class, or name the right column with --label.",
        )
    small = [(name, count) for name, count in sorted(counts.items()) if count < _FEWEST_ROWS]
    if small:
        more = f" and {len(small) - _SHOWN} more classes" if len(small) > _SHOWN else ""
        raise DataError(
            f"{where}: too few rows to split of {_listed(small[:_SHOWN])}{more}; "
            f"a class needs {_FEWEST_ROWS}, better 100.",
            "Collect more rows, give these another label, or take them out. "
            "A column of measurements is no label: --label names the right one.",
        )
    few = [(name, count) for name, count in sorted(counts.items()) if count < _FEW_ROWS]
    return [f"Warning: few rows of {_listed(few)}; their figures hang on two or three rows."] if few else []


def _column(table: Table, column: str) -> int:
    try:
        return table.column(column)
    except DataError as error:
        raise DataError(error.problem, f"Say which column holds the label with --label NAME. {error.remedy}") from error


def _notes(raw: Sequence[str], found: Sequence[str]) -> list[str]:
    spaced = [text for text in raw if text != " ".join(text.split()) and text.strip()]
    respelled = Counter(
        (text, name) for text, name in zip((" ".join(text.split()) for text in raw), found, strict=True) if text != name
    )
    notes = [f"Spaces around {len(spaced)} labels were taken off, such as {spaced[0]!r}."] if spaced else []
    if respelled:
        pairs = ", ".join(f"{text!r} as {name!r} ({count})" for (text, name), count in sorted(respelled.items()))
        notes.append(f"Labels read as the commonest spelling: {pairs}.")
    return notes


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name!r} ({count})" for name, count in counts)
