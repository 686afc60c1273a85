"""A block as it is read now: what the device said of it, when it is asked again, and the pieces it is split into."""

from dataclasses import dataclass

from ampedge.datamap import DataMap
from ampedge.errors import ExceptionReply
from ampedge.modbus.plan import Block, halves, without_gaps
from ampedge.records import Reason

ILLEGAL_ADDRESS, ILLEGAL_VALUE = 2, 3
CONFIGURATION = (1, ILLEGAL_ADDRESS, ILLEGAL_VALUE)
BUSY = (5, 6)
GATEWAY = (10, 11)
PARKED_S = 300.0
_LONGEST_S = 30.0
_NO_CODE = 256
"""Stands for the exception 0, which is none of the protocol's."""


@dataclass(slots=True, eq=False)
class Part:
    """One request of a poll; `places` deals its words out: (tag, first word, end).

    `code` is the exception that the device answers with, 0 while it answers with registers; `problem` says it.
    It is not asked again before `retry_s` (monotonic).
    `whole` is what it was split from, while nobody knows yet whether that helps.
    `is_news` says that what the device answered last is to be logged: each exception, and the end of them.
    `is_left` says that the latest poll had no time for it.
    """

    block: Block
    places: tuple[tuple[int, int, int], ...]
    whole: "Part | None" = None
    code: int = 0
    problem: str = ""
    is_news: bool = False
    retry_s: float = 0.0
    wait_s: float = 0.0
    is_left: bool = False

    @property
    def reason(self) -> Reason | None:
        """What is wrong with its tags."""
        if self.code:
            return reason_of(self.code)
        return Reason.NO_COMMUNICATION if self.is_left else None

    def failed(self, error: ExceptionReply, now_s: float) -> None:
        """The device answered with an exception: it is asked again, but not at once."""
        if error.code in CONFIGURATION:
            self.wait_s = PARKED_S
        elif error.code in BUSY or not self.code:
            self.wait_s = 0.0
        else:
            self.wait_s = min(_LONGEST_S, max(1.0, 2 * self.wait_s))
        self.retry_s = now_s + self.wait_s
        self.code, self.problem, self.is_news = error.code or _NO_CODE, error.problem, True

    def worked(self) -> None:
        """The device answered with registers."""
        self.is_news = self.is_news or bool(self.code)
        self.code, self.problem, self.retry_s, self.wait_s = 0, "", 0.0, 0.0

    @property
    def may_help_to_split(self) -> bool:
        """Whether it is only a part of it that the device does not have or not in one piece."""
        return self.code in (ILLEGAL_ADDRESS, ILLEGAL_VALUE) and len(self.block.tags) > 1

    def pieces(self, datamap: DataMap) -> list["Part"]:
        """Parts that cover its tags: without the registers between them first, then halves."""
        blocks = without_gaps(datamap, self.block) if self.code == ILLEGAL_ADDRESS else ()
        if len(blocks) < 2:
            blocks = halves(datamap, self.block)
        return [part_of(datamap, block, whole=self.whole or self) for block in blocks]


def part_of(datamap: DataMap, block: Block, *, whole: Part | None = None) -> Part:
    """The part that reads this block."""
    tags = [(index, datamap.tags[index]) for index in block.tags]
    places = tuple((index, tag.address - block.address, tag.end - block.address) for index, tag in tags)
    return Part(block, places, whole)


def kept(parts: list[Part]) -> list[Part]:
    """The parts to go on with: a split stays where one of its pieces can be read, or while that is not known."""
    helped = {id(part.whole) for part in parts if not part.code and not part.is_left}
    open_ = {id(part.whole) for part in parts if part.is_left}
    found: list[Part] = []
    for part in parts:
        one = part if part.whole is None or id(part.whole) in helped | open_ else part.whole
        if not found or found[-1] is not one:
            found.append(one)
    for part in found:
        if id(part.whole) in helped:
            part.whole = None
    return found


def reason_of(code: int) -> Reason:
    """What an exception says of the values behind it."""
    if code in CONFIGURATION:
        return Reason.CONFIGURATION_ERROR
    return Reason.NO_COMMUNICATION if code in GATEWAY else Reason.DEVICE_FAILURE
