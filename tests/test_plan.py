"""Block reads and writes: few, whole, within the protocol's limits."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.datamap import BIT_TABLES, DataMap, Tag, laid_out
from ampedge.modbus.plan import Block, Plan, plan_reads, plan_writes

_TYPES = {"holding": ("int16", "float32", "float64"), "input": ("uint16", "int32", "int64")}


@st.composite
def datamaps(draw: st.DrawFn) -> DataMap:
    """Maps of up to 80 tags in shuffled order, with neighbours, small and large gaps, in all four tables."""
    tags = []
    for table in draw(st.lists(st.sampled_from(["holding", "input", "coil", "discrete"]), unique=True)):
        address = draw(st.sampled_from([0, 5, 60000]))
        for _ in range(draw(st.integers(1, 20))):
            address += draw(st.sampled_from([0, 0, 0, 1, 15, 16, 17, 100, 130]))
            kind = "bit" if table in BIT_TABLES else draw(st.sampled_from(_TYPES[table]))
            tag = Tag(f"t{len(tags)}", address, table, kind)
            tags.append(tag)
            address = tag.end
    return DataMap(tuple(draw(st.permutations(tags))))


PLANNERS: list[tuple[Callable[[DataMap], Plan], int, int]] = [(plan_reads, 125, 2000), (plan_writes, 123, 1968)]


@pytest.mark.parametrize(("planner", "registers", "bits"), PLANNERS)
@given(datamaps())
def test_every_tag_lies_whole_in_exactly_one_block(
    planner: Callable[[DataMap], Plan], registers: int, bits: int, datamap: DataMap
) -> None:
    plan = planner(datamap)
    placed = [index for block in plan.blocks for index in block.tags]
    assert sorted(placed) == list(range(len(datamap.tags)))
    for block in plan.blocks:
        assert 1 <= block.count <= (bits if block.table in BIT_TABLES else registers)
        for index in block.tags:
            tag = datamap.tags[index]
            assert tag.table == block.table
            assert block.address <= tag.address
            assert tag.end <= block.address + block.count


@given(datamaps(), st.integers(0, 20))
def test_gaps_are_bridged_up_to_the_limit_and_no_two_blocks_could_be_one(datamap: DataMap, gap: int) -> None:
    plan = plan_reads(datamap, gap=gap)
    for block in plan.blocks:
        tags = [datamap.tags[index] for index in block.tags]
        assert block.address == tags[0].address
        assert block.address + block.count == tags[-1].end
        assert all(0 <= b.address - a.end <= gap for a, b in pairwise(tags))
    for first, second in pairwise(plan.blocks):
        if first.table == second.table:
            head = datamap.tags[second.tags[0]]
            limit = 2000 if first.table in BIT_TABLES else 125
            assert head.address - first.address - first.count > gap or head.end - first.address > limit


@pytest.mark.parametrize("planner", [plan_reads, plan_writes])
@given(datamaps(), st.data())
def test_split_undoes_join_in_the_order_of_the_map(
    planner: Callable[[DataMap], Plan], datamap: DataMap, data: st.DataObject
) -> None:
    plan = planner(datamap)
    highest = {"coil": 1, "discrete": 1}
    words = tuple(
        tuple(data.draw(st.integers(0, highest.get(tag.table, 0xFFFF))) for _ in range(tag.width))
        for tag in datamap.tags
    )
    images = plan.join(words)
    assert [len(image) for image in images] == [block.count for block in plan.blocks]
    assert plan.split(images) == words


@given(datamaps())
def test_a_write_touches_no_register_of_no_tag(datamap: DataMap) -> None:
    held = {(tag.table, a) for tag in datamap.tags for a in range(tag.address, tag.end)}
    written = {(b.table, a) for b in plan_writes(datamap).blocks for a in range(b.address, b.address + b.count)}
    assert written == held


def test_the_published_map_is_one_block() -> None:
    datamap = laid_out(["a", "b", "c", "d", "e"])
    assert plan_reads(datamap).blocks == (Block("holding", 0, 10, (0, 1, 2, 3, 4)),)
    assert plan_writes(datamap).blocks == (Block("holding", 0, 10, (0, 1, 2, 3, 4)),)
    assert plan_reads(datamap).describe() == "holding 0-9"


def test_the_map_may_be_in_another_order_than_the_registers() -> None:
    datamap = DataMap((Tag("late", 4), Tag("early", 0, type="int16"), Tag("bit", 3, "coil", "bit")))
    plan = plan_reads(datamap)
    assert plan.blocks == (Block("coil", 3, 1, (2,)), Block("holding", 0, 6, (1, 0)))
    assert plan.split([[True], [7, 0, 0, 0, 0x3F80, 1]]) == ((0x3F80, 1), (7,), (True,))
    assert plan.join([(0x3F80, 1), (7,), (1,)]) == ([1], [7, 0, 0, 0, 0x3F80, 1])
    assert plan_writes(datamap).describe() == "coil 3-3, holding 0-0, holding 4-5"


@pytest.mark.parametrize(("gap", "blocks"), [(16, 1), (17, 2)])
def test_sixteen_registers_are_bridged_and_seventeen_are_not(gap: int, blocks: int) -> None:
    datamap = DataMap((Tag("a", 0), Tag("b", 2 + gap)))
    assert len(plan_reads(datamap).blocks) == blocks
    assert len(plan_reads(datamap, gap=0).blocks) == 2


def test_a_block_fills_the_limit_and_not_one_register_more() -> None:
    full = DataMap(tuple(Tag(f"t{i}", i, type="int16") for i in range(126)))
    assert [block.count for block in plan_reads(full).blocks] == [125, 1]
    assert [block.count for block in plan_writes(full).blocks] == [123, 3]
    floats = laid_out([f"t{i}" for i in range(63)])
    assert [block.count for block in plan_reads(floats).blocks] == [124, 2]
    bits = DataMap(tuple(Tag(f"t{i}", i, "coil", "bit") for i in range(2001)))
    assert [block.count for block in plan_reads(bits).blocks] == [2000, 1]
    assert [block.count for block in plan_writes(bits).blocks] == [1968, 33]


def test_no_tags_need_no_blocks() -> None:
    plan = plan_reads(DataMap(()))
    assert (plan.blocks, plan.split([]), plan.join([])) == ((), (), ())


def test_words_that_do_not_fit_the_plan_are_a_bug_that_shows() -> None:
    plan = plan_reads(laid_out(["a"]))
    with pytest.raises(ValueError, match="argument 2 is longer"):
        plan.split([[0, 0], [0]])
