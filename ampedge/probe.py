"""What a device's registers hold, read in every word order: how one finds out how it encodes its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ampedge.datamap import BIT_TABLES, WORD_ORDERS, DataMap, Tag, notation
from ampedge.errors import ExceptionReply, UnreachableError, UsageError
from ampedge.modbus.client import Master
from ampedge.modbus.codec import engineering, raw_bits, raw_decoder, smallest_normal, with_held_ends
from ampedge.modbus.plan import READ_LIMIT_BITS, READ_LIMIT_REGISTERS, Block, plan_reads
from ampedge.quality import judge_raw, judge_value
from ampedge.records import Reason, Words

_LAST_ADDRESS = 65535
_USUAL = (1e-6, 1e9)
"""Between these sizes a float is plausible of which nothing else is known; one that is read wrongly seldom is."""
_TINY = 1e-9
"""Below this share of its range a float other than 0 is not plausible."""

_SHIFTS = (0, -1, 1)
_FLOAT_WIDTH = 2
_ENOUGH_PAIRS = 2

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Guess:
    """What the registers mean in one word order; `value` is None for what is no number."""

    order: str
    value: float | None
    raw: float
    reason: Reason | None
    is_plausible: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One tag: its words, and a guess for each word order that makes a difference.

    `problem` says why it could not be read; then there are no words.
    """

    tag: Tag
    words: Words
    guesses: tuple[Guess, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Every tag, and what follows for the data map, in sentences."""

    points: tuple[Point, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registers:
    """What one reads without a data map: `count` registers from a wire address."""

    table: str
    address: int
    count: int

    def __post_init__(self) -> None:
        limit = READ_LIMIT_BITS if self.table in BIT_TABLES else READ_LIMIT_REGISTERS
        if not 1 <= self.count <= limit or self.address + self.count - 1 > _LAST_ADDRESS:
            raise UsageError(
                f"{self.count} from wire address {self.address} cannot be read: one request covers 1 to {limit} of the "
                f"{self.table} table, up to address {_LAST_ADDRESS}.",
                "Read them in several goes.",
            )

    def find(self, master: Master) -> Finding:
        """Each register as the first of a float32; raises UnreachableError."""
        words = master.read_block(Block(self.table, self.address, self.count, ()))
        points = []
        for i, word in enumerate(words):
            width = min(_FLOAT_WIDTH, len(words) - i)
            kind = "bit" if self.table in BIT_TABLES else "float32" if width == _FLOAT_WIDTH else "uint16"
            tag = Tag(notation(self.table, self.address + i), self.address + i, table=self.table, type=kind)
            held = (int(word),) if kind == "bit" else tuple(words[i : i + width])
            points.append(Point(tag, held, guesses(tag, held)))
        return Finding(tuple(points), tuple(_pairs(points)))


class Image:
    """The registers of a device as far as they could be read, with one beside each block where the device has it.

    The tags' own registers are read first: many a device says nothing, or hangs up, where it is asked for one more.
    From then on it is asked for no neighbour again.
    """

    def __init__(self) -> None:
        self._has_neighbours = True
        self._words: dict[tuple[str, int], int] = {}
        self._problems: dict[str, str] = {}

    def read(self, master: Master, datamap: DataMap) -> None:
        """Read anew; raises UnreachableError, but not for an exception that the device answers with."""
        self._words.clear()
        self._problems.clear()
        whole = []
        for block in plan_reads(datamap).blocks:
            if self._take(master, block) is None:
                whole.append(block)
            else:
                for index in block.tags:
                    tag = datamap.tags[index]
                    if problem := self._take(master, Block(tag.table, tag.address, tag.width, ())):
                        self._problems[tag.name] = problem
        try:
            for block in whole if self._has_neighbours else ():
                any(self._take(master, wider) is None for wider in _widened(block))
        except UnreachableError:
            self._has_neighbours = False

    def _take(self, master: Master, block: Block) -> str | None:
        """Why the device does not give these registers, None where it does."""
        try:
            words = master.read_block(block)
        except ExceptionReply as error:
            return error.problem
        self._words.update({(block.table, block.address + i): int(word) for i, word in enumerate(words)})
        return None

    def words(self, tag: Tag) -> Words | None:
        """The words of a tag, None where one of them is not known."""
        held = [self._words.get((tag.table, address)) for address in range(tag.address, tag.end)]
        return None if None in held else tuple(word for word in held if word is not None)

    def word(self, place: tuple[str, int]) -> int:
        """The word at (table, wire address), which was read."""
        return self._words[place]

    def problem(self, tag: Tag) -> str:
        """Why the tag could not be read."""
        return self._problems.get(tag.name, "")


def find(image: Image, datamap: DataMap, trained: Mapping[str, Range]) -> Finding:
    """What the image says of the tags; `trained` gives the range of training where there is a model."""
    points = tuple(
        Point(tag, words or (), guesses(tag, words, trained.get(tag.name)) if words else (), image.problem(tag))
        for tag in datamap.tags
        for words in [image.words(tag)]
    )
    return Finding(points, tuple(_hints(image, points, trained)))


def _pairs(points: Sequence[Point]) -> Iterator[str]:
    """Which word orders make all pairs of registers plausible floats, from the first or from the second register."""
    for start in (0, 1):
        floats = [point for point in points[start::_FLOAT_WIDTH] if point.tag.type == "float32"]
        if len(floats) >= _ENOUGH_PAIRS and any(any(point.words) for point in floats):
            fitting = [
                order
                for place, order in enumerate(WORD_ORDERS)
                if all(point.guesses[place].is_plausible for point in floats)
            ]
            if fitting:
                orders = " or ".join(fitting)
                yield f"Read in pairs from {floats[0].tag.name} on, all are plausible as float32 in {orders}."


def guesses(tag: Tag, words: Words, trained: Range | None = None) -> tuple[Guess, ...]:
    """The words in each word order that makes a difference, the tag's own one or its equal among them."""
    found: dict[Words, Guess] = {}
    for order in sorted(WORD_ORDERS, key=lambda order: order != tag.word_order):
        guess = _guess(replace(tag, word_order=order), words, trained)
        found.setdefault(_arrangement(order, tag), guess)
    return tuple(sorted(found.values(), key=lambda guess: WORD_ORDERS.index(guess.order)))


def _arrangement(order: str, tag: Tag) -> Words:
    """Equal for two word orders that read a tag alike."""
    if tag.type == "bit":
        return ()
    swapped = order in ("BADC", "DCBA")
    reversed_ = tag.width > 1 and order in ("CDAB", "DCBA")
    return (swapped, reversed_)


def _guess(tag: Tag, words: Words, trained: Range | None) -> Guess:
    raw = raw_decoder(tag)(words)
    is_sentinel = bool(tag.invalid) and raw_bits(tag, words) in tag.invalid
    reason = judge_raw(raw, smallest_normal=smallest_normal(tag), is_sentinel=is_sentinel)
    if reason is not None:
        return Guess(tag.word_order, None, raw, reason, is_plausible=False)
    judged = judge_value(with_held_ends(tag), engineering(tag, raw), trained)
    is_plausible = judged.reason is None and (
        raw == 0 or not tag.type.startswith("float") or _is_usual(tag, raw, trained)
    )
    return Guess(tag.word_order, judged.value, raw, judged.reason, is_plausible)


def _is_usual(tag: Tag, raw: float, trained: Range | None) -> bool:
    if (known := tag.valid or trained) is None:
        return _USUAL[0] <= abs(raw) <= _USUAL[1]
    return abs(engineering(tag, raw)) >= _TINY * max(abs(end) for end in known)


def _widened(block: Block) -> Iterator[Block]:
    """The block with a register more on both sides, on one side; what the protocol does not allow is left out."""
    limit = READ_LIMIT_BITS if block.table in BIT_TABLES else READ_LIMIT_REGISTERS
    for below, above in ((1, 1), (0, 1), (1, 0)):
        address, count = block.address - below, block.count + below + above
        if address >= 0 and address + count - 1 <= _LAST_ADDRESS and count <= limit:
            yield Block(block.table, address, count, ())


def _hints(image: Image, points: Sequence[Point], trained: Mapping[str, Range]) -> Iterator[str]:
    known = [point for point in points if point.words]
    if failed := [point.tag.name for point in points if not point.words]:
        yield f"{', '.join(failed)} could not be read: check address and table against the device's manual."
    if not known:
        return
    if not any(any(point.words) for point in known):
        yield "Every register is zero: nobody has written them yet, or the data map points to the wrong place."
        return
    if all(_own(point).is_plausible for point in known):
        yield "Every value is plausible as the data map has it."
        return
    ways = [way for way in _ways([point.tag for point in known]) if way.fits(image, trained)]
    yield from [_advice(_likely(image, ways))] if ways else _single(known)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to read all tags: in one word order (None: each in its own), so many registers further."""

    tags: tuple[Tag, ...]
    order: str | None
    shift: int

    def fits(self, image: Image, trained: Mapping[str, Range]) -> bool:
        """Whether every tag is plausible then."""
        return all(
            words is not None and _guess(tag, words, trained.get(tag.name)).is_plausible
            for tag in self.tags
            for words in [image.words(tag)]
        )

    @property
    def registers(self) -> frozenset[tuple[str, int]]:
        """Every register that is read."""
        return frozenset((tag.table, address) for tag in self.tags for address in range(tag.address, tag.end))

    def describe(self) -> str:
        """What it is, and what to change for it."""
        place = {0: "", -1: " one register lower", 1: " one register higher"}[self.shift]
        return (f"word order {self.order}{place}" if self.order else place).strip()


def _ways(tags: Sequence[Tag]) -> Iterator[_Way]:
    own = {tag.word_order for tag in tags}
    for shift in _SHIFTS:
        moved = [replace(tag, address=tag.address + shift) for tag in tags]
        if all(tag.address >= 0 and tag.end - 1 <= _LAST_ADDRESS for tag in moved):
            for order in (None, *(order for order in WORD_ORDERS if own != {order})):
                yield _Way(tuple(replace(tag, word_order=order or tag.word_order) for tag in moved), order, shift)


def _likely(image: Image, ways: Sequence[_Way]) -> Sequence[_Way]:
    """The ways that are left when the registers at the ends are looked at.

    Floats in a row that are read one register off, with their words swapped, differ in the last digits only.
    What tells: a register at the end that is zero, where those that all ways share are not, is no part of a number.
    """
    shared = frozenset.intersection(*(way.registers for way in ways))
    if any(image.word(place) == 0 for place in shared):
        return ways
    held = [sum(image.word(place) != 0 for place in way.registers) for way in ways]
    return [way for way, count in zip(ways, held, strict=True) if count == max(held)]


def _advice(ways: Sequence[_Way]) -> str:
    if len(ways) > 1:
        listed = "; ".join(way.describe() for way in ways)
        return (
            f"Every value fits in more than one way: {listed}. Compare the digits with what the device shows, or give "
            "the tags valid ranges."
        )
    (way,) = ways
    changes = [f'write word_order = "{way.order}" for each tag'] if way.order else []
    if way.shift:
        changes.append("subtract 1 from every address" if way.shift < 0 else "add 1 to every address")
    off = ", so the data map seems to be off by one" if way.shift else ""
    return f"Every value fits {way.describe()}{off}: {' and '.join(changes)}."


def _own(point: Point) -> Guess:
    return next(guess for guess in point.guesses if guess.order == point.tag.word_order)


def _single(points: Sequence[Point]) -> Iterator[str]:
    """What can be said tag by tag where no one word order fits all."""
    by_order: dict[str, list[str]] = {}
    hopeless = []
    for point in points:
        fitting = [guess.order for guess in point.guesses if guess.is_plausible]
        if not fitting:
            hopeless.append(point.tag.name)
        elif len(fitting) == 1 and fitting[0] != point.tag.word_order:
            by_order.setdefault(fitting[0], []).append(point.tag.name)
    for order, names in by_order.items():
        yield f'{", ".join(names)} fits word order {order} only: write word_order = "{order}" there.'
    if hopeless:
        yield (
            f"{', '.join(hopeless)} fits in no word order: check address and type against the device's manual, "
            "and the valid range against the process."
        )
