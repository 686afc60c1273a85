"""The names of the columns, and the units that stand behind them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ampedge.errors import DataError
from ampedge.formulas import unescaped
from ampedge.table.cells import NUMBERS, shown

BOM = "\ufeff"
"""The mark at the beginning of a file in Unicode."""

_BEHIND = re.compile(r"(?P<name>.*\S)\s*(?:\((?P<round>[^()\[\]]+)\)|\[(?P<square>[^()\[\]]+)\])")
_TYPE = re.compile(r"(?:float|u?int)(?:8|16|32|64)?|double|real|integer|number|numeric|string|str|text|bool|boolean")
_PREFIX = "[TGMkhdcmuµμn]?"
_BASE = (
    "V|A|W|VA|var|Ohm|ohm|Ω|Ω|Hz|Pa|bar|bara|barg|g|m|s|N|Nm|J|Wh|Ah|VAh|l|L|F|H|T|S|C|K|lx|lm|cd|mol|rad|t|eV|B|bit"
)
_ALONE = (
    "%|‰|°|deg|°C|°F|ºC|degC|degF|rpm|psi|min|h|d|sec|in|ft|mph|dB|dBm|dBA|dBV|ppm|ppb|pH|pcs|kWp|gal|cfm|RH|"
    "% ?RH|rH|Vrms|Vpp|Vdc|Vac|VDC|VAC|Arms|Adc|Aac|mA|U/min"
)
_ATOM = rf"(?:(?:{_PREFIX}(?:{_BASE})|{_ALONE})(?:\^?-?[1-9]|[²³]|⁻¹)?)"
_UNIT = rf"(?:1/)?{_ATOM}(?:[/*·. ]{_ATOM})*"
"""Compiled where a header asks for it, which takes longer than to read a small table."""


@dataclass(frozen=True, slots=True)
class Header:
    """The names in order, the names as written, the units by name, and sentences on what was taken off."""

    names: tuple[str, ...]
    written: tuple[str, ...]
    units: dict[str, str]
    notes: tuple[str, ...]

    def is_in(self, cells: Sequence[str]) -> bool:
        """Whether a row is the header once more."""
        return _stripped(cells[: len(self.written)]) == self.written

    def is_followed_by(self, cells: Sequence[str]) -> bool:
        """Whether a row is the header of something else: at least half of its cells, and two, are names, none a number.

        So are the same names in another order or with other units.
        """
        others = _stripped(cells[: len(self.written)])
        known = {*self.names, *self.written}
        found = {name for name in (_split(cell)[0] for cell in others) if name in known}
        is_number = (pattern.fullmatch(cell) for cell in others for pattern in NUMBERS.values())
        return len(found) >= max(2, len(others) / 2) and not any(is_number)


def _stripped(cells: Sequence[str]) -> tuple[str, ...]:
    """The cells without outer spaces, and without the mark of a file that was put behind another."""
    return tuple(cell.removeprefix(BOM).strip() for cell in cells)


def parsed_header(path: Path, line: int, cells: Sequence[str]) -> Header:
    """The names in a header; raises DataError for one that is missing, given twice or not to be seen.

    A unit in brackets becomes the column's unit, a type as in `plate_voltage (float)` goes; where two columns
    would then have one name, both keep all that is written.
    """
    written = tuple(unescaped(cell.strip()) for cell in cells)
    for at, name in enumerate(written, 1):
        _check(path, line, at, written, name)
    bare = [_split(name) for name in written]
    counts = Counter(name for name, _, _ in bare)
    names, units, typed = [], {}, []
    for full, (name, unit, is_type) in zip(written, bare, strict=True):
        if counts[name] > 1:
            names.append(full)
            continue
        names.append(name)
        if unit:
            units[name] = unit
        elif is_type:
            typed.append(full)
    notes = []
    stripped = [name for name, cell in zip(written, cells, strict=True) if name != unescaped(cell)]
    if stripped:
        notes.append("Outer spaces were taken off the column names " + ", ".join(stripped) + ".")
    if numbers := [name for name in written if any(number.fullmatch(name) for number in NUMBERS.values())]:
        notes.append(f"Column names that are numbers: {', '.join(numbers)}. If they are readings, a header is missing.")
    if units:
        notes.append("Units in the header: " + ", ".join(f"{name} in {unit}" for name, unit in units.items()) + ".")
    if typed:
        notes.append("Types behind column names were taken off: " + ", ".join(typed) + ".")
    return Header(tuple(names), written, units, tuple(notes))


def no_name(path: Path, line: int, at: int, columns: int) -> DataError:
    """The error of a column (counted from 1) without a name."""
    return DataError(
        f"{path}, line {line}: column {at} of {columns} has no name.",
        "Name it in the header or delete it (a separator at the end of the line makes an empty one).",
    )


def _check(path: Path, line: int, at: int, written: Sequence[str], name: str) -> None:
    if not name:
        raise no_name(path, line, at, len(written))
    if unseen := [sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf") and not sign.isspace()]:
        raise DataError(
            f"{path}, line {line}: the name of column {at}, {shown(name)}, holds a character that cannot be "
            f"seen (U+{ord(unseen[0]):04X}).",
            "Type the name anew in the header.",
        )
    if name in written[: at - 1]:
        raise DataError(f"{path}, line {line}: two columns are named {name!r}.", "Rename or delete one of them.")


def _split(full: str) -> tuple[str, str, bool]:
    """(name, unit, whether a type stood behind it)"""
    match = _BEHIND.fullmatch(full)
    if match:
        behind = (match["round"] or match["square"]).strip()
        if _TYPE.fullmatch(behind.lower()):
            return match["name"], "", True
        if re.fullmatch(_UNIT, behind):
            return match["name"], behind, False
    return full, "", False
