"""The data map: addresses as people write them, and maps that cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.datamap import TABLES, DataMap, Tag, laid_out, notation, parse_address
from ampedge.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "table", "address"),
    [
        ("40001", "holding", 0),
        ("40010", "holding", 9),
        ("49999", "holding", 9998),
        ("400001", "holding", 0),
        ("410000", "holding", 9999),
        ("465536", "holding", 65535),
        ("30001", "input", 0),
        ("300010", "input", 9),
        ("00001", "coil", 0),
        ("000001", "coil", 0),
        ("10017", "discrete", 16),
        ("165536", "discrete", 65535),
        ("hr:0", "holding", 0),
        ("ir:7", "input", 7),
        ("co:65535", "coil", 65535),
        ("di:16", "discrete", 16),
    ],
)
def test_text_addresses_say_table_and_wire_address(text: str, table: str, address: int) -> None:
    assert parse_address(text) == (table, address)
    assert parse_address(text, table) == (table, address)


@pytest.mark.parametrize("table", [None, *TABLES])
def test_a_number_is_the_wire_address(table: str | None) -> None:
    for address in (0, 1, 9999, 10001, 30000, 40000, 50000, 65535):
        assert parse_address(address, table) == (table or "holding", address)


@pytest.mark.parametrize(
    ("number", "table", "published", "literal"),
    [
        (40001, None, '"40001" (wire address 0)', '"hr:40001"'),
        (49999, None, '"49999" (wire address 9998)', '"hr:49999"'),
        (30010, None, '"30010" (wire address 9)', '"hr:30010"'),
        (30010, "input", '"30010" (wire address 9)', '"ir:30010"'),
        (400001, None, '"400001" (wire address 0)', None),
        (465536, "holding", '"465536" (wire address 65535)', None),
        (300123, "input", '"300123" (wire address 122)', None),
        (100001, "discrete", '"100001" (wire address 0)', None),
    ],
)
def test_a_published_address_without_quotation_marks_is_refused_with_both_meanings(
    number: int, table: str | None, published: str, literal: str | None
) -> None:
    with pytest.raises(ValueError, match="did you mean the text") as caught:
        parse_address(number, table)
    assert published in str(caught.value)
    assert literal is None or literal in str(caught.value)
    assert parse_address(str(number))[1] == int(published.rpartition(" ")[2].rstrip(")"))


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "4001", "4000001", "50001", "20001", "hr:", "hr:-1", "hr:1.5", "xx:1", "HR:0", " 40001", "40001 ",
        "4\u0660\u0660\u0660\u0661", "hr:\u0663", "40001-40002", "0x10",
    ],
)  # fmt: skip
def test_text_that_is_no_address_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match='"40001" or "hr:0"'):
        parse_address(text)


@pytest.mark.parametrize("address", [-1, 65536, 70000, 2**40, "40000", "hr:65536", "465537", "499999", "00000"])
def test_addresses_outside_the_table_are_refused(address: int | str) -> None:
    with pytest.raises(ValueError, match="outside"):
        parse_address(address)


def test_table_and_notation_must_agree() -> None:
    with pytest.raises(ValueError, match=r"'input'.*'holding'"):
        parse_address("30001", "holding")


@given(st.sampled_from(TABLES), st.integers(0, 65535))
def test_notation_is_read_back(table: str, address: int) -> None:
    assert parse_address(notation(table, address)) == (table, address)


def test_notation_is_the_published_one() -> None:
    assert [notation("holding", a) for a in (0, 8, 9998, 9999)] == ["40001", "40009", "49999", "410000"]
    assert (notation("coil", 0), notation("input", 3)) == ("00001", "30004")


def test_laid_out_is_the_published_map() -> None:
    names = ["plate_voltage", "bias_voltage", "heater_current", "output_thd", "impedance"]
    datamap = laid_out(names, {"impedance": "ohm"})
    assert [(tag.address, tag.end - 1) for tag in datamap.tags] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert {(tag.table, tag.type, tag.word_order, tag.scale, tag.offset) for tag in datamap.tags} == {
        ("holding", "float32", "ABCD", 1.0, 0.0)
    }
    assert [tag.unit for tag in datamap.tags] == ["", "", "", "", "ohm"]
    assert datamap.names == tuple(names)
    assert datamap.tag("impedance").describe() == "holding 40009 (wire address 8)"


def test_conflicts_are_all_named_at_once() -> None:
    tags = (
        Tag("a", 0),
        Tag("b", 1),
        Tag("a", 10, type="int16"),
        Tag("c", 65535),
        Tag("d", 8, type="float64"),
    )
    with pytest.raises(ConfigError) as caught:
        DataMap(tags)
    assert caught.value.problem.splitlines() == [
        "tags 'a' and 'b' overlap at holding 40002 (wire address 1)",
        "tag 'a' is named twice",
        "tag 'c' reaches beyond address 65535",
        "tags 'a' and 'd' overlap at holding 40011 (wire address 10)",
    ]
    assert caught.value.exit_code == 2


def test_neighbours_and_other_tables_do_not_overlap() -> None:
    DataMap((Tag("a", 0), Tag("b", 2, type="int16"), Tag("c", 3), Tag("d", 0, "input"), Tag("e", 65535, type="int16")))
    DataMap((Tag("a", 0, "coil", "bit"), Tag("b", 1, "coil", "bit"), Tag("c", 0, "discrete", "bit")))


def test_ordered_takes_the_same_tags_in_another_order() -> None:
    datamap = laid_out(["a", "b", "c"])
    assert datamap.ordered(["c", "a", "b"]).names == ("c", "a", "b")
    assert datamap.ordered(["c", "a", "b"]).tag("b") == datamap.tag("b")
    with pytest.raises(KeyError):
        datamap.ordered(["a", "x", "b"])
