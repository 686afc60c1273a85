"""What waited drains fast and in order, and live events are not held up by it."""

from pathlib import Path

from tests.faults.backlog import drain


def test_a_backlog_drains_at_a_thousand_a_second_while_live_events_pass(tmp_path: Path) -> None:
    outcome = drain(tmp_path, 10_000, within_s=60)
    assert outcome.rate >= 1000
    assert max(outcome.live_s) < 2
    assert (outcome.disorder, outcome.twice) == (0, 0)
