"""A column of a table in little memory: chunks of numbers or of codes for texts, each in its smallest lossless form."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from ampedge.formulas import unescaped
from ampedge.table.cells import NUMBERS, number
from ampedge.table.decimals import DecimalSigns

if TYPE_CHECKING:  # loading it costs more than half of NumPy itself
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Places: TypeAlias = "NDArray[np.intp]"

_PROBE_ROWS = 1000
_FEW_TEXTS = 250
"""A chunk whose cells are so few different ones is kept as codes."""
_MOST_TEXTS = 60_000
"""So many different texts of a column are kept; the file has the others."""
_COUNTED = 1 << 20
_MOST_DIGITS = 6
_PLAIN = b"0123456789+-eE., \t\n"
"""What numbers and the line feeds between them are made of."""


class Texts(Sequence[str]):
    """Cells as text: `codes` has the place of each in `unique`."""

    def __init__(self, codes: "NDArray[Any]", unique: Sequence[str]) -> None:
        self.codes = codes
        self.unique = tuple(unique)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: "slice | NDArray[Any]") -> "Texts": ...
    def __getitem__(self, at: "int | slice | NDArray[Any]") -> "str | Texts":
        if isinstance(at, slice | np.ndarray):
            return Texts(self.codes[at], self.unique)
        return self.unique[int(self.codes[at])]

    def __iter__(self) -> Iterator[str]:
        return map(self.unique.__getitem__, self.codes.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "NDArray[Any]":
        texts: NDArray[Any] = np.array(self.unique, dtype)
        cells: NDArray[Any] = texts[self.codes]
        return cells

    def counts(self) -> dict[str, int]:
        """How often each of `unique` occurs, in its order, which is that of the first occurrence in the file."""
        found = np.zeros(len(self.unique), np.int64)
        for at in range(0, len(self.codes), _COUNTED):  # bincount makes wide integers of what it counts
            found += np.bincount(self.codes[at : at + _COUNTED], minlength=len(found))
        counts: dict[str, int] = {}
        for text, count in zip(self.unique, found.tolist(), strict=True):
            counts[text] = counts.get(text, 0) + count
        return {text: count for text, count in counts.items() if count}


@dataclass(frozen=True, slots=True)
class _Coded:
    """A chunk of few different cells, as places in the column's texts."""

    codes: "NDArray[Any]"

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A chunk of numbers: (data + low) / 10 ** digits, or data as it stands where `digits` is None.

    `odd` are the rows that hold no number, `odd_codes` the places of their cells in the column's texts, None where
    they are too many to be kept.
    """

    data: "NDArray[Any]"
    low: int
    digits: int | None
    odd: "NDArray[np.unsignedinteger[Any]]"
    odd_codes: "NDArray[np.int32] | None"

    def __len__(self) -> int:
        return len(self.data)

    def numbers(self) -> Floats:
        values = self.data.astype(np.float64)
        if self.digits is not None:
            values += self.low
            values /= 10.0**self.digits
        values[self.odd] = np.nan
        return values


class Column:
    """One column, built chunk by chunk; `decimal` None takes either sign as the decimal one and tells `signs`."""

    def __init__(self, name: str, decimal: str | None, signs: DecimalSigns) -> None:
        self.name = name
        self._decimal = decimal
        self._signs = signs
        self._chunks: list[_Coded | _Packed] = []
        self._places: dict[str, int] = {}
        self._digits = 0

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Take the next cells, which stand in these lines of the file."""
        if len({*cells[:_PROBE_ROWS]}) <= _FEW_TEXTS and (coded := self._coded(cells, lines)) is not None:
            self._chunks.append(coded)
            return
        values = self._plain(cells, lines)
        if values is None:
            if self._decimal is None:
                self._signs.look(self.name, zip(lines, cells, strict=True))
            found: dict[str, float] = {}
            for cell in {*cells}:
                found[cell] = self._number(cell)
            values = np.array([found[cell] for cell in cells])
        self._chunks.append(self._packed(values, cells))

    def numbers(self, out: "Floats | None" = None) -> Floats:
        """The numbers of all rows, NaN where a cell holds none; in `out` where it is given."""
        values: Floats = np.empty(sum(map(len, self._chunks))) if out is None else out
        known = np.array([self._number(text) for text in self._places] or [math.nan])
        at = 0
        for chunk in self._chunks:
            values[at : at + len(chunk)] = known[chunk.codes] if isinstance(chunk, _Coded) else chunk.numbers()
            at += len(chunk)
        return values

    def texts(self) -> Texts | None:
        """All cells, None where only the file has them."""
        coded = [chunk.codes for chunk in self._chunks if isinstance(chunk, _Coded)]
        if len(coded) < len(self._chunks):
            return None
        return Texts(np.concatenate(coded), [unescaped(text) for text in self._places])

    def odd(self) -> tuple[Places, Texts | None]:
        """(the rows that hold no number, their cells), None for cells that only the file has."""
        texts = [unescaped(text) for text in self._places]
        no_number = np.array([math.isnan(self._number(text)) for text in self._places] or [False])
        rows: list[Places] = []
        codes: list[NDArray[Any]] = []
        complete, at = True, 0
        for chunk in self._chunks:
            if isinstance(chunk, _Coded):
                odd = np.flatnonzero(no_number[chunk.codes])
                rows.append(odd + at)
                codes.append(chunk.codes[odd])
            else:
                rows.append(chunk.odd.astype(np.intp) + at)
                complete = complete and chunk.odd_codes is not None
                codes.append(chunk.odd_codes if chunk.odd_codes is not None else np.empty(0, np.int32))
            at += len(chunk)
        return np.concatenate(rows), Texts(np.concatenate(codes), texts) if complete else None

    def settle(self, decimal: str) -> None:
        """The decimal sign is known; where both were possible, no cell has the other one."""
        self._decimal = decimal

    def _number(self, cell: str) -> float:
        """The number in a cell, NaN for anything else."""
        for sign in NUMBERS if self._decimal is None else self._decimal:
            if (value := number(cell, sign)) is not None:
                return value
        return math.nan

    def _coded(self, cells: Sequence[str], lines: Sequence[int]) -> _Coded | None:
        different = {*cells}
        new = [text for text in different if text not in self._places]
        if len(different) > _FEW_TEXTS or len(self._places) + len(new) > _MOST_TEXTS:
            return None
        for text in dict.fromkeys(cells) if new else ():
            if text not in self._places:
                self._places[text] = len(self._places)
        if self._decimal is None and new:
            self._signs.look(self.name, sorted((lines[cells.index(text)], text) for text in new))
        kind = np.uint8 if len(self._places) <= 1 << 8 else np.uint16
        return _Coded(np.fromiter(map(self._places.__getitem__, cells), kind, len(cells)))

    def _plain(self, cells: Sequence[str], lines: Sequence[int]) -> "Floats | None":
        """All cells as numbers at once, None where one of them may be none."""
        joined = "\n".join(cells)
        has_point, has_comma = "." in joined, "," in joined
        if (has_point and has_comma) or (self._decimal == "," and has_point) or (self._decimal == "." and has_comma):
            return None
        if not joined.isascii() or joined.encode().translate(None, _PLAIN):
            return None
        if joined.count("\n") >= len(cells):  # a line end within a cell
            return None
        try:
            split = joined.replace(",", ".").split("\n") if has_comma else cells
            values = np.fromiter(map(float, split), np.float64, len(cells))
        except ValueError:
            return None
        if not np.isfinite(values).all():
            return None
        if self._decimal is None and (has_comma or has_point) and not self._signs.settled(comma=has_comma):
            self._signs.look(self.name, zip(lines, cells, strict=True))
        return values

    def _packed(self, values: Floats, cells: Sequence[str]) -> _Packed:
        odd = np.flatnonzero(np.isnan(values))
        codes: NDArray[np.int32] | None = np.empty(0, np.int32)
        if len(odd):
            rows = odd.tolist()
            if len({cells[row] for row in rows}) + len(self._places) <= _MOST_TEXTS:
                codes = np.array([self._places.setdefault(cells[row], len(self._places)) for row in rows], np.int32)
            else:
                codes = None
            values[odd] = values[np.flatnonzero(~np.isnan(values))[0]] if len(odd) < len(values) else 0.0
        with np.errstate(over="ignore"):  # what grows too large is not the same any more
            return _Packed(*self._smallest(values), odd=odd.astype(np.min_scalar_type(len(values))), odd_codes=codes)

    def _smallest(self, values: Floats) -> "tuple[NDArray[Any], int, int | None]":
        """(data, low, digits) from which exactly these numbers come back."""
        for digits in (self._digits, *(n for n in range(_MOST_DIGITS + 1) if n != self._digits)):
            scaled = values * 10.0**digits
            if np.abs(scaled).max() >= 2.0**31:
                continue
            whole = np.rint(scaled) + 0.0  # an integer has no negative zero
            if _same(whole / 10.0**digits, values):
                self._digits = digits
                low = int(whole.min())
                whole -= low
                return whole.astype(np.min_scalar_type(int(whole.max()))), low, digits
        short = values.astype(np.float32)
        return (short if _same(short.astype(np.float64), values) else values), 0, None


def _same(one: Floats, other: Floats) -> bool:
    """Whether the numbers are the same to the bit, the sign of zero included."""
    return bool((one.view(np.int64) == other.view(np.int64)).all())
