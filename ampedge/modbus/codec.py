"""Numbers to registers and back, for every type and word order; the only place that knows bytes."""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ampedge.datamap import Tag
from ampedge.errors import DataError
from ampedge.records import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Raw = TypeVar("_Raw", float, "NDArray[np.float64]")
_FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_ORDERS = {"ABCD": (">", ">"), "CDAB": ("<", "<"), "BADC": ("<", ">"), "DCBA": (">", "<")}
"""How each word is laid into bytes, and how the number is read from all of them; > begins with the most significant."""
_FLOAT32_STEP = 2.0**-23
_SAME_STEP = 1e-6
"""So far from a whole number a limit is still meant to be it."""
_SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}


def raw_decoder(tag: Tag) -> Callable[[Words], float]:
    """A function from the tag's words to its raw number, before scale and offset.

    Word order: ABCD is big-endian; CDAB swaps words, BADC swaps the bytes in each word, DCBA both.
    Numbers of four words are ordered in the same sense: low word first in CDAB and DCBA.
    """
    if tag.type == "bit":
        return lambda words: float(words[0] != 0)
    pack, unpack = _packer(tag).pack, _number(tag).unpack
    if tag.type.startswith("float"):
        return lambda words: unpack(pack(*words))[0]
    return lambda words: float(unpack(pack(*words))[0])


def raw_column(tag: Tag, words: "NDArray[np.uint16]") -> "NDArray[np.float64]":
    """The raw numbers of many readings: for each row of `words` (readings x width) what `raw_decoder` gives."""
    import numpy as np

    if tag.type == "bit":
        return words[:, 0].astype(np.bool_).astype(np.float64)
    of_word, of_number = _ORDERS[tag.word_order]
    numbers = words.astype(f"{of_word}u2", order="C").view(f"{of_number}{_FORMATS[tag.type]}")[:, 0]
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return numbers.astype(np.float64)


def encode(tag: Tag, value: float) -> Words:
    """The words that hold `value` (engineering units) in the tag's encoding.

    Raises DataError where the type cannot hold the value: nothing is ever clamped.
    """
    raw = (value - tag.offset) / tag.scale
    try:
        if math.isfinite(value) and not math.isfinite(raw):
            raise OverflowError
        if tag.type == "bit":
            if raw not in (0, 1):
                raise OverflowError
            return (int(raw),)
        whole = raw if tag.type.startswith("float") else round(raw)
        data = _number(tag).pack(whole)
    except (struct.error, OverflowError, ValueError) as error:
        raise DataError(
            f"{value!r} does not fit tag {tag.name!r} ({tag.type}, scale {tag.scale:g}, offset {tag.offset:g}).",
            "Change the tag's type or scale in the data map, or the value.",
        ) from error
    return _packer(tag).unpack(data)


def raw_bits(tag: Tag, words: Words) -> int:
    """The tag's bit pattern as one integer, after word order; what `invalid` is compared with."""
    if tag.type == "bit":
        return int(words[0] != 0)
    _, of_number = _ORDERS[tag.word_order]
    return int.from_bytes(_packer(tag).pack(*words), "big" if of_number == ">" else "little")


def engineering(tag: Tag, raw: _Raw) -> _Raw:
    """Raw number to engineering units; a negative zero becomes zero."""
    return raw * tag.scale + tag.offset + 0.0


def with_held_ends(tag: Tag) -> Tag:
    """The tag with the ends of its valid range moved outward to the numbers that its type holds for them.

    0.6 as float32 comes back as 0.6000000238, three tenths as 0.30000000000000004: they are the ends, not beyond them.
    An end that the type has no number for, such as 0.35 in tenths, stays where it is.
    """
    if tag.valid is None:
        return tag
    low, high = tag.valid
    return replace(tag, valid=(min(low, _held(tag, low)), max(high, _held(tag, high))))


def smallest_normal(tag: Tag) -> float:
    """Below this size and not zero, a float is denormal; 0 for whole numbers."""
    return _SMALLEST_NORMAL.get(tag.type, 0.0)


def encode_row(tags: Sequence[Tag], values: Sequence[float]) -> tuple[Words, ...]:
    """The words of every tag, in the order of the map."""
    return tuple(encode(tag, value) for tag, value in zip(tags, values, strict=True))


def _held(tag: Tag, end: float) -> float:
    """What comes back where `end` is written into the tag, or `end` where that is another number."""
    try:
        raw = raw_decoder(tag)(encode(tag, end))
    except DataError:
        return end
    near, far = (_FLOAT32_STEP, 0.0) if tag.type.startswith("float") else (1e-15, _SAME_STEP)
    wanted = (end - tag.offset) / tag.scale
    return engineering(tag, raw) if math.isclose(raw, wanted, rel_tol=near, abs_tol=far) else end


def _packer(tag: Tag) -> struct.Struct:
    """Words to bytes."""
    return struct.Struct(f"{_ORDERS[tag.word_order][0]}{tag.width}H")


def _number(tag: Tag) -> struct.Struct:
    """Bytes to number."""
    return struct.Struct(f"{_ORDERS[tag.word_order][1]}{_FORMATS[tag.type]}")
