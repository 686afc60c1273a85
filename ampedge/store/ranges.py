"""Sets of whole numbers as ranges: a cursor over a million rows in a line of text."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Sorted ranges that neither overlap nor touch; every change finds its place by bisection."""

    __slots__ = ("_count", "_firsts", "_lasts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0
        for first, last in pairs:
            self.add_range(first, last)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.pairs():
            yield from range(first, last + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and (self._firsts, self._lasts) == (other._firsts, other._lasts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ranges({list(self.pairs())})"

    def pairs(self) -> Iterator[tuple[int, int]]:
        """(first, last) of each range."""
        return zip(self._firsts, self._lasts, strict=True)

    @property
    def first(self) -> int | None:
        """The smallest number, None where there is none."""
        return self._firsts[0] if self._firsts else None

    @property
    def last(self) -> int | None:
        """The largest number, None where there is none."""
        return self._lasts[-1] if self._lasts else None

    def first_from(self, number: int) -> int | None:
        """The smallest one that is not below `number`."""
        at = bisect_left(self._lasts, number)
        return max(number, self._firsts[at]) if at < len(self._firsts) else None

    def add(self, number: int) -> None:
        """Put a number in; one that is there stays."""
        if self._lasts and self._lasts[-1] == number - 1:
            self._lasts[-1] = number
            self._count += 1
        else:
            self.add_range(number, number)

    def add_range(self, first: int, last: int) -> None:
        """Put in everything from `first` to `last`."""
        if last < first:
            return
        begin, end = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        if begin < end:
            first, last = min(first, self._firsts[begin]), max(last, self._lasts[end - 1])
        self._replace(begin, end, [(first, last)])

    def discard(self, number: int) -> bool:
        """Take a number out; whether it was there.  Mostly it is the first, as acknowledgements come in order."""
        if self._firsts and self._firsts[0] == number:
            if self._lasts[0] == number:
                del self._firsts[0], self._lasts[0]
            else:
                self._firsts[0] += 1
            self._count -= 1
            return True
        before = self._count
        self.remove_range(number, number)
        return self._count < before

    def remove_range(self, first: int, last: int) -> None:
        """Take out everything from `first` to `last`."""
        if last < first:
            return
        begin, end = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if begin < end:
            left, right = (self._firsts[begin], first - 1), (last + 1, self._lasts[end - 1])
            self._replace(begin, end, [pair for pair in (left, right) if pair[0] <= pair[1]])

    def _replace(self, begin: int, end: int, pairs: list[tuple[int, int]]) -> None:
        self._count -= sum(self._lasts[begin:end]) - sum(self._firsts[begin:end]) + max(0, end - begin)
        self._count += sum(last - first + 1 for first, last in pairs)
        self._firsts[begin:end] = [first for first, _ in pairs]
        self._lasts[begin:end] = [last for _, last in pairs]

    def without(self, other: "Ranges") -> "Ranges":
        """A copy without what is in the other."""
        left = Ranges(self.pairs())
        for first, last in other.pairs():
            left.remove_range(first, last)
        return left

    def up_to(self, number: int) -> "Ranges":
        """A copy without what is beyond `number`."""
        return Ranges((first, min(last, number)) for first, last in self.pairs() if first <= number)

    def shifted(self, by: int) -> "Ranges":
        """A copy with `by` added to every number."""
        return Ranges((first + by, last + by) for first, last in self.pairs())

    def end_of(self, number: int) -> int | None:
        """The last number of the range that holds `number`, None where none does."""
        at = bisect_right(self._firsts, number) - 1
        return self._lasts[at] if at >= 0 and number <= self._lasts[at] else None

    def text(self) -> str:
        """The ranges as text, such as `1-5,9`; for numbers that are not negative."""
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.pairs())

    @classmethod
    def from_text(cls, text: str) -> "Ranges":
        """The inverse of `text`; raises ValueError for anything else."""
        ranges = cls()
        for part in text.split(",") if text else ():
            first, dash, last = part.partition("-")
            ranges.add_range(int(first), int(last) if dash else int(first))
        return ranges
