"""Markdown that stays what it is whatever the names in it are."""

import re
from collections.abc import Iterable, Sequence
from string import punctuation

_NO_CODE = re.compile(r"[`|\\<>]")
"""What ends a code span, splits a cell of a table, or is HTML to a careless reader."""

_WIDEST = 40
"""So far cells are padded: one long name is not to blow up every other row."""


def code(text: str) -> str:
    """A name as a code span, in which nothing is markup; each sign as an entity where that is not safe."""
    shown = "".join(" " if char.isspace() else char if char.isprintable() else "\ufffd" for char in text)
    if not shown:
        return ""
    if _NO_CODE.search(shown) is None:
        return f"`{shown}`"
    return "".join(f"&#{ord(char)};" if char in punctuation else char for char in shown)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """A table with aligned bars; with `numbers` all columns but the first are set to the right.

    Columns in which no row has anything are left out.
    """
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    widths = [max([3, *(len(cell) for cell in column if len(cell) <= _WIDEST)]) for column in columns]
    right = [numbers and place > 0 for place in range(len(columns))]
    first, *others = (_line(cells, widths, right) for cells in zip(*columns, strict=True))
    rule = [f"{'-' * (width - 1)}{':' if to_right else '-'}" for width, to_right in zip(widths, right, strict=True)]
    return "\n".join([first, _line(rule, widths, right), *others])


def bullets(sentences: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _line(cells: Iterable[str], widths: Iterable[int], right: Iterable[bool]) -> str:
    padded = (
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return f"| {' | '.join(padded)} |"
