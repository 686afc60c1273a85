"""What a single cell says: a number, a mark of a missing value, or something else."""

import math
import re

_SHOWN = 60
NUMBERS = {
    sign: re.compile(rf"[+-]?(?:[0-9]+(?:{escaped}[0-9]*)?|{escaped}[0-9]+)(?:[eE][+-]?[0-9]+)?")
    for sign, escaped in ((".", r"\."), (",", ","))
}
"""A number, by decimal sign."""
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[,.][0-9]{3}")
"""What may be a decimal number, and a whole one with a thousands separator as well."""
BLANKS = " \t\u00a0\u202f"
"""What may stand around a number: spreadsheets put spaces there that do not break, too."""

_GROUPED = re.compile(
    r"[+-]?[0-9]{1,3}(?:[ ,.'\u2019\u00a0\u2009\u202f][0-9]{3})+(?:[.,][0-9]+)?"
    r"|[+-]?[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?"  # as in India
)
_WITH_UNIT = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)? ?(?P<unit>[^\W\d_]{1,5}|%|°[CF])")
_ERROR = re.compile(r"#(?:n/a|na|nv|null!?|div/0!|value!|wert!|ref!|bezug!|name\?|num!|zahl!|#+)", re.IGNORECASE)
"""What spreadsheets show in place of a result."""
_MARKS = frozenset({"", "n/a", "n.a.", "n.a", "-", "--", "---", "?", "nan", "-nan", "nan(ind)", "-nan(ind)"})
_WORDS = frozenset({"na", "none", "null", "nil", "missing"})


def number(text: str, decimal: str = ".") -> float | None:
    """The number in a cell, None for anything else.

    Plain decimals and exponents only: nan, inf, 1e999, hexadecimal, underscores and thousands separators
    are not numbers.
    """
    text = text.strip(BLANKS)
    if not NUMBERS[decimal].fullmatch(text):
        return None
    value = float(text if decimal == "." else text.replace(",", "."))
    return value if math.isfinite(value) else None


def is_error(text: str) -> bool:
    """Whether a spreadsheet shows this in place of a result, as `#DIV/0!`."""
    return _ERROR.fullmatch(text.strip()) is not None


def is_missing(text: str) -> bool:
    """Whether the cell is empty or holds what can only mean that there is no value, as `n/a`, `--`, `#DIV/0!`."""
    return text.strip().casefold() in _MARKS or is_error(text)


def may_be_missing(text: str) -> bool:
    """Whether the cell, where it should hold a number, means that there is none: the words NA, None, null, too.

    As a label such a word is a name like any other.
    """
    return is_missing(text) or text.strip().casefold() in _WORDS


def fault(text: str) -> str:
    """Why a cell holds no number, as the end of a sentence."""
    if not text.strip():
        return "the cell is empty"
    if may_be_missing(text):
        return f"{shown(text)} is not a number but the mark of a missing value"
    return f"{shown(text)} is not a number{disguise(text)}"


def disguise(text: str) -> str:
    """What keeps a cell from being read that a person takes as a number, as the end of a sentence; else nothing."""
    cell = text.strip(BLANKS)
    if _GROUPED.fullmatch(cell):
        return " to be read without guessing: thousands separators must be taken out"
    if (match := _WITH_UNIT.fullmatch(cell)) and match["unit"] not in "eE":
        return " but one with a unit, which belongs into the header"
    return ""


def shown(cell: str) -> str:
    """A cell as messages quote it, cut where it is long."""
    return repr(cell) if len(cell) <= _SHOWN else f"{cell[:_SHOWN]!r}..."
