"""The data map: which registers hold which tag, how they are encoded, in which unit."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ampedge.errors import ConfigError

WIDTHS = {
    "bit": 1,
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
}
"""Registers per type."""

TypeName = Literal["float32", "float64", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bit"]
WordOrder = Literal["ABCD", "CDAB", "BADC", "DCBA"]
TableName = Literal["holding", "input", "coil", "discrete"]

WORD_ORDERS: tuple[str, ...] = get_args(WordOrder)
"""A is the most significant byte; ABCD is big-endian with the high word first, as the standard has it."""

TABLES: tuple[str, ...] = get_args(TableName)
BIT_TABLES = ("coil", "discrete")
WRITABLE_TABLES = ("holding", "coil")

_PREFIXES = {"hr": "holding", "ir": "input", "co": "coil", "di": "discrete"}
_DIGITS = {"4": "holding", "3": "input", "0": "coil", "1": "discrete"}
_LAST_ADDRESS = 65535


@dataclass(frozen=True, slots=True)
class Tag:
    """A named point of the data map; value = raw x scale + offset, in `unit`.

    `address` is the wire address, counted from 0.
    `valid` is the closed physical range: a value outside is a sensor fault, never a class.
    `invalid` lists raw bit patterns that mean "no value", each one integer of the tag's full width as it
    stands after word order (0x7FFF for an int16, 0x7FC00000 for a float32).
    `max_step` is the largest change between two readings that can be real, in `unit`; `expect_change_s` the time
    after which a value that never changes counts as frozen.
    """

    name: str
    address: int
    table: str = "holding"
    type: str = "float32"
    word_order: str = "ABCD"
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    valid: tuple[float, float] | None = None
    invalid: tuple[int, ...] = ()
    max_step: float | None = None
    expect_change_s: float | None = None

    @property
    def width(self) -> int:
        """Registers that this tag takes."""
        return WIDTHS[self.type]

    @property
    def end(self) -> int:
        """The first address behind this tag."""
        return self.address + self.width

    def describe(self) -> str:
        """The registers in both notations, for people."""
        return _place(self.table, self.address)

    def problems(self) -> list[str]:
        """What cannot be, in sentences; empty for a tag that can be read and written."""
        bits = 1 if self.type == "bit" else 16 * self.width
        found = []
        if (self.type == "bit") != (self.table in BIT_TABLES):
            found.append(f"type {self.type!r} does not go with the {self.table} table; bits are in coil and discrete")
        if self.scale == 0:
            found.append("a scale of 0 would make every value the same")
        if self.valid is not None and not self.valid[0] < self.valid[1]:
            found.append(f"valid = [{self.valid[0]:g}, {self.valid[1]:g}] is no range: the low end comes first")
        if any(not 0 <= pattern < 1 << bits for pattern in self.invalid):
            found.append(f"a pattern in invalid does not fit {self.type}")
        return found


@dataclass(frozen=True, slots=True)
class DataMap:
    """The tags of one device, in the order of the model's features where there is a model."""

    tags: tuple[Tag, ...]

    def __post_init__(self) -> None:
        problems = list(_conflicts(self.tags))
        if problems:
            raise ConfigError("\n".join(problems), "Give each tag a name and registers of its own.")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self.tags)

    def tag(self, name: str) -> Tag:
        """The tag of that name; raises KeyError."""
        for tag in self.tags:
            if tag.name == name:
                return tag
        raise KeyError(name)

    def ordered(self, names: Sequence[str]) -> "DataMap":
        """The same tags in the order of `names`, which must be the same set."""
        return DataMap(tuple(self.tag(name) for name in names))

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON: one plain dictionary a tag; what came later than the first bundles is there where it is set."""
        later = ("max_step", "expect_change_s")
        return [{k: v for k, v in asdict(tag).items() if v is not None or k not in later} for tag in self.tags]


def laid_out(names: Sequence[str], units: dict[str, str] | None = None) -> DataMap:
    """The map where none is given: float32, high word first, in column order from register 0."""
    units = units or {}
    return DataMap(tuple(Tag(name, 2 * i, unit=units.get(name, "")) for i, name in enumerate(names)))


def notation(table: str, address: int) -> str:
    """The published notation of a wire address: holding 0 is `40001` (`400001` beyond 9,998)."""
    digit = next(d for d, t in _DIGITS.items() if t == table)
    return f"{digit}{address + 1:0{4 if address < 9999 else 5}d}"


def _place(table: str, address: int) -> str:
    return f"{table} {notation(table, address)} (wire address {address})"


def parse_address(text: int | str, table: str | None = None) -> tuple[str, int]:
    """(table, wire address) of what a person wrote; raises ValueError with a remedy.

    An integer is the wire address; "40001" and "hr:0" as text say the table, too.
    The integer 40001 is nearly always a slip for the text, so it is refused, as 400001 is.
    """
    if isinstance(text, int):
        found, address = table or "holding", text
        if 30001 <= text <= 39999 or 40001 <= text <= 49999:
            prefix = next(p for p, t in _PREFIXES.items() if t == found)
            raise ValueError(
                f"{text} as a number is the wire address {text}; did you mean the text "
                f'"{text}" (wire address {text % 10000 - 1}) or "{prefix}:{text}"?'
            )
        if text // 100_000 in (1, 3, 4) and 0 < text % 100_000 <= _LAST_ADDRESS + 1:
            raise ValueError(
                f"{text} as a number is outside 0 to {_LAST_ADDRESS}; did you mean the text "
                f'"{text}" (wire address {text % 100_000 - 1})?'
            )
    else:
        found, address = _parse_text(text)
        if table is not None and table != found:
            raise ValueError(f"{text!r} is an address in {found!r}, but table says {table!r}")
    if not 0 <= address <= _LAST_ADDRESS:
        raise ValueError(f"{text!r} is outside 0 to {_LAST_ADDRESS}")
    return found, address


def _parse_text(text: str) -> tuple[str, int]:
    if match := re.fullmatch(r"(hr|ir|co|di):([0-9]+)", text):
        return _PREFIXES[match[1]], int(match[2])
    if match := re.fullmatch(r"([0134])([0-9]{4,5})", text):
        return _DIGITS[match[1]], int(match[2]) - 1
    raise ValueError(f'{text!r} is no address: write 0 (wire address), "40001" or "hr:0"')


def _conflicts(tags: Sequence[Tag]) -> list[str]:
    problems = []
    seen: dict[str, Tag] = {}
    held: dict[tuple[str, int], Tag] = {}
    for tag in tags:
        if tag.name in seen:
            problems.append(f"tag {tag.name!r} is named twice")
        seen[tag.name] = tag
        if tag.end - 1 > _LAST_ADDRESS:
            problems.append(f"tag {tag.name!r} reaches beyond address {_LAST_ADDRESS}")
        at = next((a for a in range(tag.address, tag.end) if (tag.table, a) in held), None)
        if at is not None:
            other = held[tag.table, at]
            problems.append(f"tags {other.name!r} and {tag.name!r} overlap at {_place(tag.table, at)}")
        held.update({(tag.table, a): tag for a in range(tag.address, tag.end)})
    return problems
