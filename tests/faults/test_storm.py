"""Faults of every kind, one to three at a time: all is well after each, and no event is lost."""

from pathlib import Path

from tests.faults.storm import run


def test_after_each_fault_everything_is_well_again_and_every_event_arrives(tmp_path: Path) -> None:
    outcome = run(tmp_path, injections=57, seed=7)
    assert outcome.not_recovered == []
    assert len(outcome.kinds) >= 40
    assert outcome.produced == outcome.delivered + outcome.waiting
    assert (outcome.dropped, outcome.lost) == (0, 0)
    assert outcome.produced > 500
