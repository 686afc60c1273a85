"""Numbers to registers and back, for every type and word order; the only place that knows bytes."""

import math
import struct
from collections.abc import Callable, Sequence

from ampedge.datamap import Tag
from ampedge.errors import DataError
from ampedge.records import Words

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
_SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}


def raw_decoder(tag: Tag) -> Callable[[Words], float]:
    """A function from the tag's words to its raw number, before scale and offset.

    Word order: ABCD is big-endian; CDAB swaps words, BADC swaps the bytes in each word, DCBA both.
    Numbers of four words are ordered in the same sense: low word first in CDAB and DCBA.
    """
    if tag.type == "bit":
        return lambda words: float(words[0] != 0)
    packer = struct.Struct(f"{_byte_order(tag)}{tag.width}H")
    number = struct.Struct(f">{_FORMATS[tag.type]}")
    if _low_word_first(tag):
        return lambda words: float(number.unpack(packer.pack(*words[::-1]))[0])
    return lambda words: float(number.unpack(packer.pack(*words))[0])


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
        data = struct.pack(f">{_FORMATS[tag.type]}", whole)
    except (struct.error, OverflowError, ValueError) as error:
        raise DataError(
            f"{value!r} does not fit tag {tag.name!r} ({tag.type}, scale {tag.scale:g}, offset {tag.offset:g}).",
            "Change the tag's type or scale in the data map, or the value.",
        ) from error
    words = struct.unpack(f"{_byte_order(tag)}{tag.width}H", data)
    return words[::-1] if _low_word_first(tag) else words


def raw_bits(tag: Tag, words: Words) -> int:
    """The tag's bit pattern as one integer, after word order; what `invalid` is compared with."""
    if tag.type == "bit":
        return int(words[0] != 0)
    ordered = words[::-1] if _low_word_first(tag) else words
    return int.from_bytes(struct.pack(f"{_byte_order(tag)}{tag.width}H", *ordered), "big")


def engineering(tag: Tag, raw: float) -> float:
    """Raw number to engineering units; a negative zero becomes zero."""
    return raw * tag.scale + tag.offset + 0.0


def smallest_normal(tag: Tag) -> float:
    """Below this size and not zero, a float is denormal; 0 for whole numbers."""
    return _SMALLEST_NORMAL.get(tag.type, 0.0)


def encode_row(tags: Sequence[Tag], values: Sequence[float]) -> tuple[Words, ...]:
    """The words of every tag, in the order of the map."""
    return tuple(encode(tag, value) for tag, value in zip(tags, values, strict=True))


def _byte_order(tag: Tag) -> str:
    return "<" if tag.word_order in ("BADC", "DCBA") else ">"


def _low_word_first(tag: Tag) -> bool:
    return tag.width > 1 and tag.word_order in ("CDAB", "DCBA")
