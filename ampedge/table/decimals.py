"""Whether a point or a comma is the decimal sign of a table."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ampedge.errors import DataError
from ampedge.table.cells import BLANKS, NUMBERS, THOUSANDS


@dataclass(slots=True)
class DecimalSigns:
    """What the cells seen so far say about the decimal sign: the first of each kind, as `line, column: cell`."""

    path: Path
    point: str = ""
    comma: str = ""
    doubtful: str = ""
    doubtful_point: str = ""

    def look(self, column: str, cells: Iterable[tuple[int, str]]) -> None:
        """Look at (line, cell) pairs of one column; only the first of each kind counts."""
        for line, cell in cells:
            if "," in cell:
                if not self.comma and NUMBERS[","].fullmatch(text := cell.strip(BLANKS)):
                    where = f"line {line}, column {column!r}: {text!r}"
                    if THOUSANDS.fullmatch(text):
                        self.doubtful = self.doubtful or where
                    else:
                        self.comma = where
            elif not self.point and "." in cell and NUMBERS["."].fullmatch(text := cell.strip(BLANKS)):
                where = f"line {line}, column {column!r}: {text!r}"
                if THOUSANDS.fullmatch(text):
                    self.doubtful_point = self.doubtful_point or where
                else:
                    self.point = where

    def settled(self, *, comma: bool) -> bool:
        """Whether cells with this sign have no more to say."""
        return bool(self.comma if comma else self.point)

    def verdict(self, sep: str) -> str:
        """The sign, or DataError where the cells leave a doubt; where commas separate, a point is the decimal one."""
        comma, point = self.comma or self.doubtful, self.point or self.doubtful_point
        remedy = "Say which sign is the decimal one: --decimal ',' or --decimal '.'; the other then makes a text."
        if comma and point:
            raise DataError(f"{self.path} has decimal commas ({comma}) and decimal points ({point}).", remedy)
        if self.doubtful and not self.comma:
            raise DataError(
                f"{self.path}, {self.doubtful}: the comma may be a decimal comma or a thousands separator.",
                "Say --decimal ',' if it is the decimal comma. Thousands separators must be taken out of the file.",
            )
        if self.doubtful_point and not self.point and sep != ",":
            raise DataError(
                f"{self.path}, {self.doubtful_point}: the point may be a decimal point or a thousands separator.",
                "Say --decimal '.' if it is the decimal point. Thousands separators must be taken out of the file.",
            )
        return "," if self.comma else "."


def settles(cell: str, sign: str) -> bool | None:
    """Whether a number shows that this is its decimal sign and separates no thousands; None for all other cells."""
    text = cell.strip(BLANKS)
    return not THOUSANDS.fullmatch(text) if sign in text and NUMBERS[sign].fullmatch(text) else None
