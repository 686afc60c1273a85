"""Ranges of ids behave like a set of numbers, whatever is put in and taken out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.store.ranges import Ranges

SPAN = 40
numbers = st.integers(0, SPAN)
changes = st.lists(st.tuples(st.booleans(), numbers, st.integers(-1, 8)), max_size=40)


def made(steps: list[tuple[bool, int, int]]) -> tuple[Ranges, set[int]]:
    """The same changes done to both."""
    ranges, model = Ranges(), set()
    for put, first, more in steps:
        last = first + more
        if put:
            ranges.add_range(first, last)
            model |= set(range(first, last + 1))
        else:
            ranges.remove_range(first, last)
            model -= set(range(first, last + 1))
    return ranges, model


@given(changes)
def test_they_hold_what_a_set_holds(steps: list[tuple[bool, int, int]]) -> None:
    ranges, model = made(steps)
    assert list(ranges) == sorted(model)
    assert len(ranges) == len(model)
    assert (ranges.first, ranges.last) == (min(model, default=None), max(model, default=None))
    pairs = list(ranges.pairs())
    assert all(first <= last for first, last in pairs)
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(pairs))  # nothing touches


@given(changes, numbers)
def test_they_answer_as_a_set_would(steps: list[tuple[bool, int, int]], number: int) -> None:
    ranges, model = made(steps)
    assert (number in ranges) == (number in model)
    assert ranges.first_from(number) == min((n for n in model if n >= number), default=None)
    assert list(ranges.up_to(number)) == sorted(n for n in model if n <= number)
    assert list(ranges.shifted(-number)) == sorted(n - number for n in model)
    end = number
    while end + 1 in model:
        end += 1
    assert ranges.end_of(number) == (end if number in model else None)


@given(changes, changes)
def test_what_is_left_without_others(steps: list[tuple[bool, int, int]], others: list[tuple[bool, int, int]]) -> None:
    (ranges, model), (other, without) = made(steps), made(others)
    assert list(ranges.without(other)) == sorted(model - without)
    assert list(ranges) == sorted(model)


@given(changes, numbers)
def test_one_number_comes_and_goes(steps: list[tuple[bool, int, int]], number: int) -> None:
    ranges, model = made(steps)
    assert ranges.discard(number) == (number in model)
    assert number not in ranges
    ranges.add(number)
    ranges.add(number)
    assert list(ranges) == sorted(model | {number})
    assert len(ranges) == len(model | {number})


@given(changes)
def test_they_survive_as_text(steps: list[tuple[bool, int, int]]) -> None:
    ranges, _ = made(steps)
    assert Ranges.from_text(ranges.text()) == ranges


def test_a_million_numbers_are_a_short_text() -> None:
    ranges = Ranges([(1, 1_000_000)])
    ranges.discard(7)
    assert ranges.text() == "1-6,8-1000000"
    assert len(ranges) == 999_999


@pytest.mark.parametrize("text", ["x", "1-", "1,,2", "1-2-3", " "])
def test_text_that_is_none_of_theirs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Ranges.from_text(text)
