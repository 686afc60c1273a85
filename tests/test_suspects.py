"""Rows that the broker may not be able to take: what it needs before one is put aside or given up."""

import random

import pytest

from ampedge.clock import FakeClock
from ampedge.mqtt.suspects import MOST_ASIDE, RETRY_S, Suspects
from ampedge.records import EVENT, Stored


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def suspects(clock: FakeClock) -> Suspects:
    return Suspects(clock.monotonic)


def row(row_id: int) -> Stored:
    return Stored(row_id, EVENT, "amp1", b"{}")


def test_two_losses_are_no_suspicion_three_are(suspects: Suspects) -> None:
    for _ in range(2):
        suspects.lost([1, 2])
        assert not suspects.is_one(1)
    suspects.settled(2)
    suspects.lost([1, 2])
    assert suspects.is_one(1)
    assert not suspects.is_one(2), "the broker has taken it in between"


def test_it_is_tried_alone_and_given_up_after_three_more(suspects: Suspects) -> None:
    for _ in range(3):
        suspects.lost([1])
    assert suspects.keep(row(1))
    assert suspects.due(alone=False) is None
    assert suspects.due(alone=True) == row(1)
    assert [suspects.lost_alone(1) for _ in range(3)] == [False, False, True]
    suspects.settled(1)
    assert suspects.aside == {}
    assert suspects.due(alone=True) is None


def test_no_number_of_losses_in_company_gives_a_row_up(suspects: Suspects) -> None:
    for _ in range(1000):
        suspects.lost(range(20))
    suspects.keep(row(1))
    assert not suspects.lost_alone(1)


def test_a_refused_row_is_due_a_minute_later(suspects: Suspects, clock: FakeClock) -> None:
    assert not suspects.refused(1, None)
    assert suspects.is_one(1)
    suspects.keep(row(1))
    assert suspects.due(alone=False) is None
    assert suspects.due(alone=True) is None, "the broker named it, so it need not be alone"
    clock.advance(RETRY_S)
    assert suspects.due(alone=False) == row(1)
    suspects.tried(1)
    assert suspects.due(alone=False) is None, "it is on its way"


def test_refusals_give_a_row_up_only_where_others_of_its_topic_are_taken(suspects: Suspects, clock: FakeClock) -> None:
    for _ in range(100):
        clock.advance(RETRY_S)
        assert not suspects.refused(1, None)
    taken_s = clock.monotonic()
    for _ in range(100):
        clock.advance(RETRY_S)
        assert not suspects.refused(1, taken_s), "what was taken before the last refusal proves nothing"
    outcomes = []
    for _ in range(2):
        clock.advance(RETRY_S)
        outcomes.append(suspects.refused(1, clock.monotonic() - 1))
    assert outcomes == [False, True]


def test_room_is_limited(suspects: Suspects) -> None:
    for row_id in range(MOST_ASIDE):
        assert suspects.keep(row(row_id))
    assert not suspects.keep(row(99))


def test_what_is_remembered_is_bounded_and_never_forgets_what_is_aside(suspects: Suspects) -> None:
    for _ in range(3):
        suspects.lost([0])
    suspects.keep(row(0))
    for row_id in range(1, 5000):
        suspects.lost([row_id])
    assert len(suspects._known) <= 1000
    assert suspects.is_one(0)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_a_link_that_breaks_at_random_gives_no_row_up(share: float) -> None:
    """Twenty rows on their way at a time; each try ends in a loss with this probability, whoever is on it."""
    luck, clock, given_up = random.Random(1), FakeClock(), 0
    suspects = Suspects(clock.monotonic)
    for first in range(0, 20_000, 20):
        waiting = [row(row_id) for row_id in range(first, first + 20)]
        while waiting:
            together = [stored for stored in waiting if not suspects.is_one(stored.id)]
            alone = next((stored for stored in waiting if suspects.is_one(stored.id)), None)
            if together and luck.random() < share:
                suspects.lost(stored.id for stored in together)
                continue
            passed = together
            if alone is not None:
                # A try alone waits for a connection that has stood for ten seconds, and lasts one round trip.
                if luck.random() < share / 50:
                    given_up += suspects.lost_alone(alone.id)
                else:
                    passed = [*together, alone]
            for stored in passed:
                suspects.settled(stored.id)
                waiting.remove(stored)
    assert given_up == 0
