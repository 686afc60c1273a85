"""The class of each row: spellings of one label are made one, and what cannot be a class is refused."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ampedge.errors import DataError
from ampedge.records import UNKNOWN
from ampedge.table import Table, Texts, is_missing, may_be_missing
from ampedge.training.rows.labels import folded

FEWEST_ROWS = 10
FEW_ROWS = 20
_LONGEST = 64
_SHOWN = 5


def label_column(table: Table, wanted: str) -> str:
    """The column of the labels; one that differs in case only is the one that is meant."""
    if table.has(wanted):
        return wanted
    near = [name for name in table.columns if name.casefold() == wanted.casefold()]
    return near[0] if len(near) == 1 else wanted


def labels(table: Table, column: str) -> tuple[Texts, list[str]]:
    """(a label for each row, empty where there is none; notes on what was respelled).

    Spellings that differ in case or spaces become the commonest of them; a mark of a missing value is no label.
    Raises DataError for a missing column, the label `unknown`, and text that is no name for a class.
    """
    texts = label_texts(table, column)
    names = class_names(texts.counts())
    found = [names.get(text, "") for text in texts.unique]
    for code, name in enumerate(found):
        if refusal := why_no_class(name):
            raise DataError(f"{_where(table, column, texts, code)}: {refusal[0]}.", refusal[1])
    classes = {name: place for place, name in enumerate(dict.fromkeys(found))}
    codes = np.array([classes[name] for name in found], np.int32)[texts.codes]
    return Texts(codes, tuple(classes)), _notes(texts.counts(), dict(zip(texts.unique, found, strict=True)))


def class_names(counts: Mapping[str, int]) -> dict[str, str]:
    """The class that each text stands for, given how often it occurs; empty for a mark of a missing value."""
    spellings: dict[str, Counter[str]] = {}
    for text, count in counts.items():
        if not is_missing(text):
            spellings.setdefault(folded(text), Counter())[_bare(text)] += count
    names = {key: spelled.most_common(1)[0][0] for key, spelled in spellings.items()}
    return {text: "" if is_missing(text) else names[folded(text)] for text in counts}


def why_no_class(name: str) -> tuple[str, str] | None:
    """(what is wrong with a label that cannot be a class, what to do about it), else None."""
    if folded(name) == UNKNOWN:
        return (
            f"the label {name!r} is kept for readings that no class may be given to",
            "Give these rows another label, or take them out.",
        )
    if not name.isprintable() or len(name) > _LONGEST:
        return (
            f"{name[:_LONGEST]!r} is no name for a class",
            f"A label has at most {_LONGEST} characters, all of them printable.",
        )
    return None


def check_sizes(table: Table, column: str, counts: Mapping[str, int]) -> list[str]:
    """Notes on small classes; raises DataError for one class only and for classes too small to split."""
    where = f"{table.path}, column {column!r}"
    if len(counts) == 1:
        raise DataError(
            f"{where}: every row is labelled {next(iter(counts))!r}; a classifier tells two classes or more apart.",
            "Add rows of another class, or name the right column with --label.",
        )
    small = [(name, count) for name, count in sorted(counts.items()) if count < FEWEST_ROWS]
    if small:
        more = f" and {len(small) - _SHOWN} more classes" if len(small) > _SHOWN else ""
        raise DataError(
            f"{where}: too few rows to split of {_listed(small[:_SHOWN])}{more}; "
            f"a class needs {FEWEST_ROWS}, better 100.",
            "Collect more rows, give these another label, or take them out. "
            "A column of measurements is no label: --label names the right one.",
        )
    few = [(name, count) for name, count in sorted(counts.items()) if count < FEW_ROWS]
    return [f"Warning: few rows of {_listed(few)}; their figures hang on two or three rows."] if few else []


def label_texts(table: Table, column: str) -> Texts:
    try:
        return table.texts(column)
    except DataError as error:
        if table.has(column):
            raise
        raise DataError(error.problem, f"Say which column holds the label with --label NAME. {error.remedy}") from error


def _where(table: Table, column: str, texts: Texts, code: int) -> str:
    """The first row with this text."""
    row = int((texts.codes == code).argmax())
    return f"{table.path}, line {table.line(row)}, column {column!r}"


def _bare(text: str) -> str:
    """The text without outer and doubled spaces."""
    return " ".join(text.split())


def _notes(counts: Mapping[str, int], found: Mapping[str, str]) -> list[str]:
    spaced = {text: count for text, count in counts.items() if found[text] and text != _bare(text)}
    respelled: Counter[tuple[str, str]] = Counter()
    for text, count in counts.items():
        if found[text] and _bare(text) != found[text]:
            respelled[_bare(text), found[text]] += count
    notes = []
    if spaced:
        notes.append(f"Spaces around {sum(spaced.values())} labels were taken off, such as {next(iter(spaced))!r}.")
    if respelled:
        pairs = ", ".join(f"{text!r} as {name!r} ({count})" for (text, name), count in sorted(respelled.items()))
        notes.append(f"Labels read as the commonest spelling: {pairs}.")
    words: Counter[str] = Counter()
    for text, name in found.items():
        if name and may_be_missing(name):
            words[name] += counts.get(text, 0)
    if words:
        notes.append(f"Taken as the name of a class, not as a missing label: {_listed([*words.items()])}.")
    return notes


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name!r} ({count})" for name, count in counts)
