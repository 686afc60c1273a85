"""Power cuts: what a commit has written is there after any of them.

Covers: writes that were not synced and are lost, kept or torn, in any mixture; checkpoints; a log that is full;
the making of the file, its ends and new beginnings. `make soak` cuts two thousand times.
"""

import sys

import pytest

from tests.faults.power_cut import Step, cut, recorded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace records system calls of Linux")


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """What a process wrote."""
    return recorded(tmp_path_factory.mktemp("power_cut"), steps=60, seed=3)


def test_no_committed_event_is_lost_and_no_log_is_corrupt(steps: list[Step]) -> None:
    outcome = cut(steps, cuts=60, seed=3)
    assert (outcome.cuts, outcome.lost, outcome.corrupt, outcome.wrong) == (60, 0, 0, 0)


def test_the_recorded_work_has_everything_in_it(steps: list[Step]) -> None:
    kinds = {(step.what, step.name.removeprefix("events.db")) for step in steps}
    assert kinds >= {
        ("create", ""),
        ("write", ""),
        ("sync", ""),
        ("write", "-wal"),
        ("sync", "-wal"),
        ("unlink", "-wal"),
    }
    told = [step.mark["told"]["reason"] for step in steps if "told" in step.mark]
    assert {"log_full", "too_large"} <= set(told)


def test_without_syncs_events_would_be_lost(steps: list[Step]) -> None:
    """The proof that these cuts can find something."""
    unsynced = [step for step in steps if step.what != "sync" or step.name != "events.db-wal"]
    outcome = cut(unsynced, cuts=30, seed=3)
    assert outcome.lost > 0
