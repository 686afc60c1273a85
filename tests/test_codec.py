"""Numbers to registers and back.

The vectors are worked by hand from IEEE 754 and two's complement and stand here as literal words, because
a mistake in a codec that both the simulator and the service use would cancel out.
"""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.datamap import WIDTHS, WORD_ORDERS, Tag
from ampedge.errors import DataError
from ampedge.modbus.codec import (
    encode,
    encode_row,
    engineering,
    raw_bits,
    raw_column,
    raw_decoder,
    smallest_normal,
    with_held_ends,
)

VECTORS = {
    # (type, value): words in ABCD, CDAB, BADC, DCBA
    ("int16", 1.0): [(0x0001,), (0x0001,), (0x0100,), (0x0100,)],
    ("int16", -2.0): [(0xFFFE,), (0xFFFE,), (0xFEFF,), (0xFEFF,)],
    ("int16", -32768.0): [(0x8000,), (0x8000,), (0x0080,), (0x0080,)],
    ("int16", 32767.0): [(0x7FFF,), (0x7FFF,), (0xFF7F,), (0xFF7F,)],
    ("uint16", 65535.0): [(0xFFFF,)] * 4,
    ("uint16", 4660.0): [(0x1234,), (0x1234,), (0x3412,), (0x3412,)],
    ("int32", 305419896.0): [(0x1234, 0x5678), (0x5678, 0x1234), (0x3412, 0x7856), (0x7856, 0x3412)],
    ("int32", -2.0): [(0xFFFF, 0xFFFE), (0xFFFE, 0xFFFF), (0xFFFF, 0xFEFF), (0xFEFF, 0xFFFF)],
    ("int32", -2147483648.0): [(0x8000, 0x0000), (0x0000, 0x8000), (0x0080, 0x0000), (0x0000, 0x0080)],
    ("uint32", 4294967295.0): [(0xFFFF, 0xFFFF)] * 4,
    ("uint32", 65536.0): [(0x0001, 0x0000), (0x0000, 0x0001), (0x0100, 0x0000), (0x0000, 0x0100)],
    ("int64", -2.0): [
        (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE),
        (0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF),
        (0xFFFF, 0xFFFF, 0xFFFF, 0xFEFF),
        (0xFEFF, 0xFFFF, 0xFFFF, 0xFFFF),
    ],
    ("int64", 1250999896491.0): [  # 0x0000 0123 4567 89AB
        (0x0000, 0x0123, 0x4567, 0x89AB),
        (0x89AB, 0x4567, 0x0123, 0x0000),
        (0x0000, 0x2301, 0x6745, 0xAB89),
        (0xAB89, 0x6745, 0x2301, 0x0000),
    ],
    ("uint64", 9223372036854775808.0): [
        (0x8000, 0x0000, 0x0000, 0x0000),
        (0x0000, 0x0000, 0x0000, 0x8000),
        (0x0080, 0x0000, 0x0000, 0x0000),
        (0x0000, 0x0000, 0x0000, 0x0080),
    ],
    ("float32", 1.0): [(0x3F80, 0x0000), (0x0000, 0x3F80), (0x803F, 0x0000), (0x0000, 0x803F)],
    ("float32", -2.5): [(0xC020, 0x0000), (0x0000, 0xC020), (0x20C0, 0x0000), (0x0000, 0x20C0)],
    ("float32", 123456.0): [(0x47F1, 0x2000), (0x2000, 0x47F1), (0xF147, 0x0020), (0x0020, 0xF147)],
    ("float32", 2.0**-126): [(0x0080, 0x0000), (0x0000, 0x0080), (0x8000, 0x0000), (0x0000, 0x8000)],
    ("float64", 1.0): [
        (0x3FF0, 0x0000, 0x0000, 0x0000),
        (0x0000, 0x0000, 0x0000, 0x3FF0),
        (0xF03F, 0x0000, 0x0000, 0x0000),
        (0x0000, 0x0000, 0x0000, 0xF03F),
    ],
    ("float64", 123456.789): [  # 0x40FE 240C 9FBE 76C9
        (0x40FE, 0x240C, 0x9FBE, 0x76C9),
        (0x76C9, 0x9FBE, 0x240C, 0x40FE),
        (0xFE40, 0x0C24, 0xBE9F, 0xC976),
        (0xC976, 0xBE9F, 0x0C24, 0xFE40),
    ],
    ("bit", 0.0): [(0,)] * 4,
    ("bit", 1.0): [(1,)] * 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "order", "value", "words"),
    [
        (kind, order, value, words)
        for (kind, value), orders in VECTORS.items()
        for order, words in zip(WORD_ORDERS, orders, strict=True)
    ],
)
def test_vectors(kind: str, order: str, value: float, words: tuple[int, ...]) -> None:
    tag = Tag("x", 0, type=kind, word_order=order)
    assert encode(tag, value) == words
    assert raw_decoder(tag)(words) == value


def test_every_type_has_a_vector() -> None:
    assert {kind for kind, _ in VECTORS} == set(WIDTHS)


def test_the_published_row() -> None:
    registers = ((17365, 43762), (49473, 10758), (16019, 17334), (16229, 912), (16624, 4603))
    values = (427.335513967164, -12.072760045821497, 0.2876259585530916, 0.8945856193036692, 7.502195010331243)
    tags = [Tag(f"x{i}", 2 * i) for i in range(5)]
    assert encode_row(tags, values) == registers
    for tag, words, value in zip(tags, registers, values, strict=True):
        assert raw_decoder(tag)(words) == pytest.approx(value, rel=2**-24)


def test_scale_and_offset_make_engineering_units() -> None:
    tag = Tag("temperature", 0, type="int16", scale=0.1, offset=-40.0)
    assert encode(tag, 21.5) == (615,)
    assert engineering(tag, 615) == pytest.approx(21.5, abs=1e-12)
    assert encode(Tag("x", 0, type="int16", scale=0.1), 0.3) == (3,)  # 0.3 / 0.1 is a little less than 3


@pytest.mark.parametrize("words", [(0x7FC0, 0), (0xFFC0, 0), (0x7F80, 1), (0x7FFF, 0xFFFF), (0xFF80, 1)])
def test_every_float32_nan_decodes_as_nan(words: tuple[int, int]) -> None:
    assert math.isnan(raw_decoder(Tag("x", 0))(words))


def test_infinities_denormals_and_negative_zero_decode_as_they_are() -> None:
    decode = raw_decoder(Tag("x", 0))
    assert decode((0x7F80, 0)) == math.inf
    assert decode((0xFF80, 0)) == -math.inf
    assert decode((0, 1)) == 2.0**-149
    assert smallest_normal(Tag("x", 0)) == decode((0x0080, 0))
    assert smallest_normal(Tag("x", 0, type="float64")) == raw_decoder(Tag("x", 0, type="float64"))((0x0010, 0, 0, 0))
    assert smallest_normal(Tag("x", 0, type="int32")) == 0
    minus = decode((0x8000, 0))
    assert minus == 0
    assert math.copysign(1, minus) == -1
    assert math.copysign(1, engineering(Tag("x", 0), minus)) == 1
    assert math.copysign(1, engineering(Tag("x", 0, offset=-0.0), minus)) == 1


def test_raw_bits_are_the_pattern_after_word_order() -> None:
    for order, words in zip(WORD_ORDERS, VECTORS["int32", 305419896.0], strict=True):
        assert raw_bits(Tag("x", 0, type="int32", word_order=order), words) == 0x12345678
    assert raw_bits(Tag("x", 0, type="int16"), (0x7FFF,)) == 0x7FFF
    assert raw_bits(Tag("x", 0, type="int16", word_order="DCBA"), (0xFF7F,)) == 0x7FFF
    assert raw_bits(Tag("x", 0), (0x7FC0, 0x0000)) == 0x7FC00000
    assert raw_bits(Tag("x", 0, "coil", "bit"), (True,)) == 1


def test_a_bit_is_any_word_that_is_not_zero() -> None:
    decode = raw_decoder(Tag("x", 0, "coil", "bit"))
    assert [decode((word,)) for word in (False, True, 0, 1)] == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int16", 32768.0), ("int16", -32769.0), ("uint16", -1.0), ("uint16", 65536.0),
        ("int32", 2.0**31), ("uint32", -1.0), ("uint32", 2.0**32), ("int64", 2.0**63), ("uint64", 2.0**64),
        ("uint64", -1.0), ("float32", 3.5e38), ("float32", -1e300), ("bit", 2.0), ("bit", 0.5), ("bit", -1.0),
        ("int16", math.nan), ("int32", math.inf), ("bit", math.nan),
    ],
)  # fmt: skip
def test_what_a_type_cannot_hold_is_refused_and_never_clamped(kind: str, value: float) -> None:
    with pytest.raises(DataError, match=r"does not fit tag 'x'") as caught:
        encode(Tag("x", 0, type=kind), value)
    assert caught.value.remedy


def test_a_value_that_the_scale_carries_over_the_edge_is_refused() -> None:
    for kind in ("float32", "float64", "int64"):
        with pytest.raises(DataError, match="does not fit"):
            encode(Tag("x", 0, type=kind, scale=1e-10), 1e300)
        with pytest.raises(DataError, match="does not fit"):
            encode(Tag("x", 0, type=kind, scale=1e-10, offset=-1e308), 1.7e308)


def test_nan_and_infinity_can_be_written_on_purpose() -> None:
    assert encode(Tag("x", 0), math.inf) == (0x7F80, 0)
    assert math.isnan(raw_decoder(Tag("x", 0))(encode(Tag("x", 0), math.nan)))


RANGES = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**53), 2**53),
    "uint64": (0, 2**53),
}
SCALES = st.sampled_from([1.0, -1.0, 0.1, 0.01, 0.5, 1000.0, 1e-3])
ORDERS = st.sampled_from(WORD_ORDERS)


@given(st.data(), st.sampled_from(sorted(RANGES)), ORDERS, SCALES, st.sampled_from([0.0, -40.0, 273.15]))
def test_whole_numbers_come_back_at_every_order_and_scale(
    data: st.DataObject, kind: str, order: str, scale: float, offset: float
) -> None:
    # With scale and offset a float holds about 15 digits, so larger counts are tried without them.
    low, high = RANGES[kind]
    if (scale, offset) != (1.0, 0.0):
        low, high = max(low, -(2**31)), min(high, 2**32)
    raw = data.draw(st.integers(low, high))
    tag = Tag("x", 0, type=kind, word_order=order, scale=scale, offset=offset)
    words = encode(tag, engineering(tag, raw))
    assert len(words) == tag.width
    assert all(0 <= word <= 0xFFFF for word in words)
    assert raw_decoder(tag)(words) == raw


@given(st.floats(width=32), ORDERS)
def test_every_float32_comes_back(value: float, order: str) -> None:
    tag = Tag("x", 0, word_order=order)
    assert struct.pack("f", raw_decoder(tag)(encode(tag, value))) == struct.pack("f", value)


@given(st.floats(), ORDERS)
def test_every_float64_comes_back(value: float, order: str) -> None:
    tag = Tag("x", 0, type="float64", word_order=order)
    assert struct.pack("d", raw_decoder(tag)(encode(tag, value))) == struct.pack("d", value)


@given(st.floats(-1e6, 1e6), SCALES, st.sampled_from(["float32", "float64"]), ORDERS)
def test_scaled_floats_come_back_within_their_precision(value: float, scale: float, kind: str, order: str) -> None:
    tag = Tag("x", 0, type=kind, word_order=order, scale=scale, offset=3.0)
    back = engineering(tag, raw_decoder(tag)(encode(tag, value)))
    assert back == pytest.approx(value, rel=1e-6, abs=1e-6)


@given(st.sampled_from(["int32", "float32", "float64", "uint64"]), st.data())
def test_raw_bits_do_not_depend_on_the_word_order(kind: str, data: st.DataObject) -> None:
    width = WIDTHS[kind]
    pattern = data.draw(st.integers(0, 2 ** (16 * width) - 1))
    high_first = tuple(pattern >> 16 * i & 0xFFFF for i in reversed(range(width)))
    swapped = tuple((word & 0xFF) << 8 | word >> 8 for word in high_first)
    orders = {"ABCD": high_first, "CDAB": high_first[::-1], "BADC": swapped, "DCBA": swapped[::-1]}
    for order, words in orders.items():
        assert raw_bits(Tag("x", 0, type=kind, word_order=order), words) == pattern


@pytest.mark.parametrize("order", WORD_ORDERS)
@pytest.mark.parametrize("kind", WIDTHS)
def test_many_readings_at_once_are_decoded_as_each_alone(kind: str, order: str) -> None:
    tag = Tag("x", 0, "coil" if kind == "bit" else "holding", kind, order)
    random = np.random.RandomState(3)
    words = random.randint(0, 65536, (500, tag.width)).astype(np.uint16)
    words[:20] = random.choice([0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7F80, 0x807F], (20, tag.width))
    if kind == "bit":
        words %= 2
    decode = raw_decoder(tag)
    alone = [decode(tuple(row)) for row in words.tolist()]
    np.testing.assert_array_equal(raw_column(tag, words), alone)
    np.testing.assert_array_equal(raw_column(tag, np.asfortranarray(words)), alone)
    assert raw_column(tag, words[:0]).shape == (0,)


def steps(tag: Tag, raw: float) -> tuple[float, float, float]:
    """In engineering units: the number before this raw number, itself, and the one after, as the type has them."""
    if tag.type == "float64":
        around = [math.nextafter(raw, -math.inf), raw, math.nextafter(raw, math.inf)]
    elif tag.type == "float32":
        around = [float(np.nextafter(np.float32(raw), np.float32(far))) for far in (-math.inf, math.inf)]
        around.insert(1, float(np.float32(raw)))
    else:
        around = [raw - 1, raw, raw + 1]
    below, at, above = sorted(engineering(tag, one) for one in around)
    return below, at, above


@pytest.mark.parametrize(
    ("kind", "scale", "offset", "low", "high", "raw_low", "raw_high"),
    [
        ("float32", 1.0, 0.0, 0.1, 0.6, 0.1, 0.6),
        ("float32", 1.0, 0.0, -0.6, -0.1, -0.6, -0.1),
        ("float32", 0.1, 0.0, 0.1, 0.3, 1.0, 3.0),
        ("float32", 1.0, -273.15, 0.0, 100.1, 273.15, 373.25),
        ("float64", 1.0, 0.0, 0.1, 0.6, 0.1, 0.6),
        ("int16", 0.1, 0.0, 0.3, 0.7, 3, 7),
        ("int16", 0.1, 0.0, -0.7, -0.3, -7, -3),
        ("int16", -0.1, 0.0, 0.3, 0.7, -3, -7),
        ("int16", 0.1, 0.2, 0.3, 0.9, 1, 7),
        ("uint16", 1.0, 0.0, 3.0, 7.0, 3, 7),
        ("int32", 0.001, 0.0, -1234.567, 1234.567, -1234567, 1234567),
        ("int64", 1e-6, 0.0, 0.3, 1234567.891234, 300000, 1234567891234),
    ],
)
def test_the_ends_of_a_valid_range_are_those_that_the_type_holds_and_the_next_numbers_are_outside(
    kind: str, scale: float, offset: float, low: float, high: float, raw_low: float, raw_high: float
) -> None:
    tag = Tag("x", 0, type=kind, scale=scale, offset=offset, valid=(low, high))
    valid = with_held_ends(tag).valid
    assert valid is not None
    assert valid == pytest.approx((low, high), rel=2.0**-23, abs=abs(scale) * 2.0**-14)
    below, at, _ = steps(tag, raw_low)
    assert below < valid[0] <= at
    _, at, above = steps(tag, raw_high)
    assert at <= valid[1] < above


@pytest.mark.parametrize(
    ("kind", "scale", "valid"),
    [
        ("int16", 0.1, (0.35, 0.65)),
        ("int16", 0.1, (0.30001, 0.69999)),
        ("uint16", 1.0, (-5.0, 1e6)),
        ("float32", 1.0, (1e-300, 1e300)),
        ("int32", 1.0, (-math.inf, math.inf)),
    ],
)
def test_an_end_that_the_type_has_no_number_for_stays_where_it_is(
    kind: str, scale: float, valid: tuple[float, float]
) -> None:
    assert with_held_ends(Tag("x", 0, type=kind, scale=scale, valid=valid)).valid == valid


def test_a_tag_without_a_valid_range_has_no_ends() -> None:
    assert with_held_ends(Tag("x", 0)) == Tag("x", 0)


@given(
    st.sampled_from(["float32", "float64", "int32"]),
    st.one_of(st.just(0.0), st.floats(1e-6, 1e6), st.floats(-1e6, -1e-6)),
    st.sampled_from([1.0, 0.1, -0.01]),
)
def test_what_is_written_within_the_valid_range_is_read_within_it(kind: str, end: float, scale: float) -> None:
    if kind == "int32":
        end = round(end) * scale
    tag = Tag("x", 0, type=kind, scale=scale, valid=(end, end + 1))
    valid = with_held_ends(tag).valid
    assert valid is not None
    back = engineering(tag, raw_decoder(tag)(encode(tag, end)))
    assert valid[0] <= back <= valid[1]
