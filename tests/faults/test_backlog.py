"""What waited drains in order, and live events are not held up by it.

How fast it can be is measured by `python -m tests.faults.backlog`; here the machine is shared with other tests.
"""

from pathlib import Path

from tests.faults.backlog import drain


def test_a_backlog_drains_in_order_while_live_events_pass(tmp_path: Path) -> None:
    outcome = drain(tmp_path, 5_000, within_s=60)
    assert outcome.rate >= 200
    assert max(outcome.live_s) < 2
    assert (outcome.disorder, outcome.twice) == (0, 0)
