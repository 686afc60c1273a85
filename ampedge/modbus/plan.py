"""Which block reads and writes cover a data map: few, within the protocol's limits, values whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from ampedge.datamap import BIT_TABLES, DataMap, Tag
from ampedge.records import Words

READ_LIMIT_REGISTERS = 125
READ_LIMIT_BITS = 2000
WRITE_LIMIT_REGISTERS = 123
WRITE_LIMIT_BITS = 1968
_READ_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
CHEAP_GAP = 16
"""Registers read for nothing that still cost less than one more request."""


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers from `address`, and the tags inside by their place in the map."""

    table: str
    address: int
    count: int
    tags: tuple[int, ...]

    @property
    def read_function(self) -> int:
        """The function code that reads it."""
        return _READ_FUNCTIONS[self.table]

    def describe(self) -> str:
        return f"{self.table} {self.address}-{self.address + self.count - 1}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The blocks of a data map, and how their words are dealt out to the tags."""

    datamap: DataMap
    blocks: tuple[Block, ...]

    def split(self, words: Sequence[Sequence[int]]) -> tuple[Words, ...]:
        """The words of each tag in map order, from the words of each block in plan order."""
        dealt: list[Words] = [()] * len(self.datamap.tags)
        for block, held in zip(self.blocks, words, strict=True):
            for index in block.tags:
                tag = self.datamap.tags[index]
                start = tag.address - block.address
                dealt[index] = tuple(held[start : start + tag.width])
        return tuple(dealt)

    def join(self, words: Sequence[Words]) -> tuple[list[int], ...]:
        """The words of each block, from the words of each tag; registers of no tag are zero."""
        images = tuple([0] * block.count for block in self.blocks)
        for block, image in zip(self.blocks, images, strict=True):
            for index in block.tags:
                tag = self.datamap.tags[index]
                start = tag.address - block.address
                image[start : start + tag.width] = words[index]
        return images

    def describe(self) -> str:
        """The plan in a line, for people."""
        return ", ".join(block.describe() for block in self.blocks)


def plan_reads(datamap: DataMap, *, gap: int = CHEAP_GAP) -> Plan:
    """Few block reads: neighbours are joined across up to `gap` registers that belong to no tag."""
    return _plan(datamap, gap, READ_LIMIT_REGISTERS, READ_LIMIT_BITS)


def plan_writes(datamap: DataMap) -> Plan:
    """One write per contiguous run of tags: a register of no tag is never written."""
    return _plan(datamap, 0, WRITE_LIMIT_REGISTERS, WRITE_LIMIT_BITS)


def without_gaps(datamap: DataMap, block: Block) -> tuple[Block, ...]:
    """The block in pieces that hold no register of no tag."""
    runs: list[list[int]] = []
    for index in block.tags:
        if runs and datamap.tags[runs[-1][-1]].end == datamap.tags[index].address:
            runs[-1].append(index)
        else:
            runs.append([index])
    return tuple(_around(datamap, run) for run in runs)


def halves(datamap: DataMap, block: Block) -> tuple[Block, Block]:
    """A block of several tags in two, each value whole."""
    middle = len(block.tags) // 2
    return _around(datamap, block.tags[:middle]), _around(datamap, block.tags[middle:])


def _around(datamap: DataMap, run: Sequence[int]) -> Block:
    """The block that covers these tags, which are in the order of their addresses."""
    first, last = datamap.tags[run[0]], datamap.tags[run[-1]]
    return Block(first.table, first.address, last.end - first.address, tuple(run))


def _plan(datamap: DataMap, gap: int, registers: int, bits: int) -> Plan:
    blocks: list[Block] = []
    run: list[int] = []

    def tag(index: int) -> Tag:
        return datamap.tags[index]

    def close() -> None:
        if run:
            blocks.append(_around(datamap, run))
            run.clear()

    for index in sorted(range(len(datamap.tags)), key=lambda i: (tag(i).table, tag(i).address)):
        if run:
            first, last, this = tag(run[0]), tag(run[-1]), tag(index)
            limit = bits if this.table in BIT_TABLES else registers
            fits = this.end - first.address <= limit
            if this.table != first.table or this.address - last.end > gap or not fits:
                close()
        run.append(index)
    close()
    return Plan(datamap, tuple(blocks))
