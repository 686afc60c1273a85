"""Broker stopped or killed with messages that it has acknowledged and not yet handed on.

What examples/mosquitto/README.md says of each way to persist; `python -m tests.faults.broker_durability` prints more.
"""

import signal
from pathlib import Path

import pytest

from tests.faults.broker_durability import SETTINGS, Survived, survived

SENT = 20
OFF, INSTALLED, EACH_CHANGE = SETTINGS.values()


@pytest.mark.parametrize(
    ("settings", "end", "least", "most"),
    [
        (OFF, signal.SIGTERM, 0, 0),
        (OFF, signal.SIGKILL, 0, 0),
        (INSTALLED, signal.SIGTERM, SENT, SENT),
        (INSTALLED, signal.SIGKILL, 0, 0),
        (EACH_CHANGE, signal.SIGTERM, SENT, SENT),
        (EACH_CHANGE, signal.SIGKILL, SENT - 1, SENT),
    ],
)
def test_acknowledged_messages_survive_as_documented(
    tmp_path: Path, settings: tuple[str, ...], end: int, least: int, most: int
) -> None:
    assert least <= survived(tmp_path, settings, end=end, after_save=SENT).after_save <= most


def test_a_kill_takes_what_came_after_the_last_save_and_nothing_before(tmp_path: Path) -> None:
    found = survived(tmp_path, INSTALLED, end=signal.SIGKILL, before_save=SENT, after_save=SENT)
    assert found == Survived(before_save=SENT, after_save=0)
