"""When the broker is tried again, and when two clients are taken to share one id."""

from itertools import pairwise

import pytest

from ampedge.clock import FakeClock
from ampedge.mqtt.retries import BACKOFF_S, CONTESTED_S, QUIET_S, REFUSED_S, End, Retries


class Life:
    """A connection's life on a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.retries = Retries(self.clock.monotonic)

    def stands_for(self, seconds: float, end: End, *, unexplained: bool = True, idle: bool = True) -> float:
        self.retries.stands()
        self.clock.advance(seconds)
        return self.ended(end, unexplained=unexplained, idle=idle)

    def ended(self, end: End, *, unexplained: bool = True, idle: bool = True) -> float:
        pause_s = self.retries.ended(end, unexplained=unexplained, idle=idle)
        self.clock.advance(pause_s)
        return pause_s


@pytest.fixture
def life() -> Life:
    return Life()


@pytest.mark.parametrize(("end", "longest_s"), [(End.FAILED, BACKOFF_S[1]), (End.REFUSED, REFUSED_S)])
def test_pauses_grow_to_their_limit_and_begin_anew_after_a_steady_connection(
    life: Life, end: End, longest_s: float
) -> None:
    pauses = [life.ended(end) for _ in range(20)]
    assert 0.75 <= pauses[0] <= 1.0
    assert all(0.75 * longest_s <= pause_s <= longest_s for pause_s in pauses[9:])
    assert all(1.0 < after / before < 3.5 for before, after in pairwise(pauses[:5]))
    assert len(set(pauses[9:])) > 1, "jitter, so that many services do not come at the same moment"
    assert life.stands_for(11, End.SILENT) <= 1.0


def test_a_lost_connection_is_tried_at_once_but_not_again_and_again(life: Life) -> None:
    pauses = [life.stands_for(1, End.CLOSED, unexplained=False) for _ in range(12)]
    assert pauses[:10] == [0.0] * 10
    assert all(pause_s > 0 for pause_s in pauses[10:]), "ten a minute"
    life.clock.advance(60)
    assert life.stands_for(11, End.CLOSED) == 0.0
    assert not life.retries.contested


@pytest.mark.parametrize("end", [End.SILENT, End.DISMISSED, End.TAKEN_OVER])
def test_other_losses_wait_a_moment(life: Life, end: End) -> None:
    assert life.stands_for(100, end) >= 0.75
    assert not life.retries.at_once


def test_three_takeovers_in_a_minute_end_the_quarrel(life: Life) -> None:
    assert life.stands_for(1, End.TAKEN_OVER) < 2
    assert life.stands_for(1, End.TAKEN_OVER) < 3
    assert life.stands_for(1, End.TAKEN_OVER) == CONTESTED_S
    assert life.retries.contested
    assert life.stands_for(5, End.TAKEN_OVER) == CONTESTED_S, "one more is enough now"
    life.retries.stands()
    assert not life.retries.contested
    life.clock.advance(61)
    assert life.ended(End.TAKEN_OVER) < 2, "it has stood for a minute: all is forgotten"


def test_takeovers_an_hour_apart_are_no_quarrel(life: Life) -> None:
    for _ in range(20):
        assert life.stands_for(3600, End.TAKEN_OVER) < 2
    assert not life.retries.contested


def test_a_quarrel_that_the_broker_does_not_name(life: Life) -> None:
    """3.1.1: the connection is closed soon after it stands, and the broker is there all the time."""
    pauses = [life.stands_for(1, End.CLOSED) for _ in range(4)]
    assert pauses == [0.0, 0.0, 0.0, CONTESTED_S]
    assert life.retries.contested


def test_after_a_young_connection_the_next_one_is_quiet_at_first(life: Life) -> None:
    life.stands_for(3600, End.CLOSED)
    life.retries.stands()
    assert life.retries.quiet_s == 0, "an old connection was lost: nothing strange"
    life.clock.advance(1)
    life.ended(End.CLOSED, unexplained=False)
    life.retries.stands()
    assert life.retries.quiet_s == QUIET_S
    life.clock.advance(11)
    life.ended(End.CLOSED, unexplained=False)
    life.retries.stands()
    assert life.retries.quiet_s == 0


def test_a_slow_quarrel_is_told_from_a_proxy_that_closes_what_is_idle(life: Life) -> None:
    for _ in range(20):
        assert life.stands_for(12, End.CLOSED, idle=True) == 0.0
    assert not life.retries.contested
    life.clock.advance(60)
    pauses = [life.stands_for(15, End.CLOSED, idle=False) for _ in range(4)]
    assert pauses == [0.0, 0.0, 0.0, CONTESTED_S]


def test_what_was_explained_once_does_not_hide_a_quarrel(life: Life) -> None:
    life.stands_for(1, End.CLOSED, unexplained=False)
    pauses = [life.stands_for(1, End.CLOSED) for _ in range(4)]
    assert pauses == [0.0, 0.0, 0.0, CONTESTED_S]


def test_a_broker_that_is_killed_again_and_again_is_no_quarrel(life: Life) -> None:
    """The attempt at once finds nobody, since the broker itself has gone."""
    for _ in range(50):
        life.stands_for(2, End.CLOSED)
        assert not life.retries.contested
        life.ended(End.FAILED)
        life.ended(End.FAILED)


def test_a_broker_that_shuts_down_is_no_quarrel(life: Life) -> None:
    for _ in range(50):
        life.stands_for(2, End.DISMISSED)
        assert not life.retries.contested


def test_a_broker_that_closes_over_events_is_no_quarrel(life: Life) -> None:
    """Each time something was on its way, which explains it."""
    for _ in range(50):
        life.stands_for(0.1, End.CLOSED, unexplained=False)
        assert not life.retries.contested
