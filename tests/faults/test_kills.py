"""Killed at random moments, with the broker away for some of them: what was accepted arrives, little comes twice."""

from pathlib import Path

from tests.faults.kills import run


def test_no_kill_loses_an_accepted_event_or_sends_more_than_twenty_again(tmp_path: Path) -> None:
    outcome = run(tmp_path, kills=8, seed=3)
    assert outcome.lost == set()
    assert max(outcome.duplicates) <= 20
    assert len(outcome.received) > 60
    assert len(outcome.accepted) > 30
