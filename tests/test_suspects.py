"""Rows that the broker may not be able to take: what it needs before one is put aside or given up."""

import random

import pytest

from ampedge.clock import FakeClock
from ampedge.mqtt.suspects import MOST_ASIDE, RETRY_S, Sent, Suspects
from ampedge.records import EVENT, Stored


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def suspects(clock: FakeClock) -> Suspects:
    return Suspects(clock.monotonic)


TOPIC = "amp1/event"


def row(row_id: int) -> Stored:
    return Stored(row_id, EVENT, "amp1", b"{}")


def lost(suspects: Suspects, *row_ids: int, topic: str = TOPIC, size: int = 100) -> None:
    suspects.lost(Sent(row_id, topic, size, 0.0) for row_id in row_ids)


def is_one(suspects: Suspects, row_id: int, *, topic: str = TOPIC, size: int = 10) -> bool:
    return suspects.is_one(row_id, topic, size)


def test_two_losses_are_no_suspicion_three_are(suspects: Suspects) -> None:
    for _ in range(2):
        lost(suspects, 1, 2)
        assert not is_one(suspects, 1)
    assert not suspects.taken(2, TOPIC, 100)
    lost(suspects, 1, 2)
    assert is_one(suspects, 1)
    assert not is_one(suspects, 2), "the broker has taken it in between"


def test_it_is_tried_alone_and_given_up_after_three_more(suspects: Suspects) -> None:
    for _ in range(3):
        lost(suspects, 1)
    assert suspects.keep(row(1), TOPIC)
    assert suspects.due(alone=False) is None
    assert suspects.due(alone=True) == row(1)
    assert [suspects.lost_alone(1, proof=True) for _ in range(3)] == [False, False, True]
    suspects.given_up(1)
    assert suspects.aside == {}
    assert suspects.due(alone=True) is None


def test_what_is_as_large_is_in_doubt_with_it_until_the_broker_takes_such_a_row(suspects: Suspects) -> None:
    for _ in range(3):
        lost(suspects, 1)
    assert suspects.doubt(TOPIC) == 100
    assert suspects.keep(row(1), TOPIC)
    assert is_one(suspects, 2, size=90)
    assert is_one(suspects, 2, size=5000)
    assert not is_one(suspects, 2, size=89)
    assert not is_one(suspects, 2, topic="other", size=5000)
    suspects.given_up(1)
    assert is_one(suspects, 2, size=100), "another row of this size is tried alone, too"
    assert not suspects.taken(3, TOPIC, 89)
    assert suspects.taken(2, TOPIC, 95)
    assert not is_one(suspects, 4, size=95)
    assert is_one(suspects, 4, size=96), "what was lost is larger than what was taken"
    assert suspects.taken(4, TOPIC, 100)
    assert suspects.doubt(TOPIC) is None


def test_of_several_the_first_is_suspected(suspects: Suspects) -> None:
    """A broker takes one after the other, so those behind it had not been looked at."""
    for _ in range(3):
        suspects.lost([Sent(1, "a", 100, 0.0), Sent(2, "b", 100, 0.0), Sent(3, "c", 100, 0.0)])
    assert [is_one(suspects, row_id, topic="") for row_id in (1, 2, 3)] == [True, False, False]
    suspects.lost([Sent(2, "b", 100, 0.0), Sent(3, "c", 100, 0.0)])
    assert [is_one(suspects, row_id, topic="") for row_id in (1, 2, 3)] == [True, True, False]


def test_one_of_a_topic_is_aside_and_each_topic_has_its_turn(suspects: Suspects) -> None:
    assert suspects.keep(row(1), "a")
    assert not suspects.keep(row(2), "a")
    assert suspects.keep(row(3), "b")
    turns = []
    for _ in range(2):
        due = suspects.due(alone=True)
        assert due is not None
        suspects.tried(due.id)
        turns.append(due.id)
    assert turns == [1, 3]


def test_tries_alone_become_rare_while_all_of_them_are_in_vain(suspects: Suspects, clock: FakeClock) -> None:
    suspects.keep(row(1), TOPIC)
    for _ in range(3):
        assert suspects.due(alone=True) is not None
        assert not suspects.lost_alone(1, proof=False), "nothing else got through"
    assert suspects.due(alone=True) is None
    clock.advance(RETRY_S)
    assert suspects.due(alone=True) is not None
    suspects.lost_alone(1, proof=False)
    assert suspects.due(alone=True) is None
    suspects.connected(at_once=False)
    assert suspects.due(alone=True) is not None, "a broker that was away may have been mended"


def test_a_link_that_is_never_steady_ends_the_doubt(suspects: Suspects) -> None:
    """What is in doubt was held back all that time, so it is not why the connections are lost."""
    for _ in range(4):
        lost(suspects, 1, 2)
    suspects.keep(row(1), TOPIC)
    assert [suspects.connected(at_once=True) for _ in range(10)] == [None] * 10
    suspects.steady()
    assert [suspects.connected(at_once=True) for _ in range(11)] == [None] * 10 + [[1]]
    assert not is_one(suspects, 1)
    assert not is_one(suspects, 2)
    assert suspects.due(alone=True) is None
    for _ in range(3):
        lost(suspects, 1)
        assert suspects.connected(at_once=True) is None
    assert is_one(suspects, 1), "it can be suspected again"


def test_a_suspicion_can_grow_though_no_connection_is_ever_steady(suspects: Suspects) -> None:
    for _ in range(100):
        assert suspects.connected(at_once=True) is None
    for _ in range(3):
        lost(suspects, 1)
        assert suspects.connected(at_once=True) is None
    assert is_one(suspects, 1)


def test_no_number_of_losses_in_company_gives_a_row_up(suspects: Suspects) -> None:
    for _ in range(1000):
        lost(suspects, *range(20))
    suspects.keep(row(1), TOPIC)
    assert not suspects.lost_alone(1, proof=True)


def test_a_refused_row_is_due_a_minute_later(suspects: Suspects, clock: FakeClock) -> None:
    assert not suspects.refused(1, None)
    assert is_one(suspects, 1)
    suspects.keep(row(1), TOPIC)
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
        assert suspects.keep(row(row_id), f"topic{row_id}")
    assert not suspects.keep(row(99), "another")


def test_what_is_remembered_is_bounded_and_never_forgets_what_is_aside(suspects: Suspects) -> None:
    for _ in range(3):
        lost(suspects, 0)
    suspects.keep(row(0), TOPIC)
    for row_id in range(1, 5000):
        lost(suspects, row_id)
    assert len(suspects._known) <= 1000
    assert is_one(suspects, 0)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_a_link_that_breaks_at_random_gives_no_row_up(share: float) -> None:
    """Twenty rows on their way at a time; each try ends in a loss with this probability, whoever is on it."""
    luck, clock, given_up = random.Random(1), FakeClock(), 0
    suspects = Suspects(clock.monotonic)
    for first in range(0, 20_000, 20):
        waiting = [row(row_id) for row_id in range(first, first + 20)]
        while waiting:
            together = [stored for stored in waiting if not is_one(suspects, stored.id)]
            alone = next((stored for stored in waiting if is_one(suspects, stored.id)), None)
            if together and luck.random() < share:
                lost(suspects, *(stored.id for stored in together))
                continue
            passed = together
            if alone is not None:
                # A try alone waits for a connection that has stood for ten seconds, and lasts one round trip.
                if luck.random() < share / 50:
                    given_up += suspects.lost_alone(alone.id, proof=True)
                else:
                    passed = [*together, alone]
            for stored in passed:
                suspects.taken(stored.id, TOPIC, 10)
                waiting.remove(stored)
    assert given_up == 0
