"""Loops that fail are started again, loops that hang are noticed, and what fails too often ends the service."""

import threading
import time

import pytest

from ampedge.clock import SystemClock
from ampedge.service import supervisor as supervising
from ampedge.service.supervisor import RESTARTS, Supervisor
from tests.support.waiting import wait_until


class Turning:
    """A loop that fails in its first `failures` runs and turns after that, unless it hangs."""

    name = "turning"

    def __init__(self, failures: int = 0, *, hangs: bool = False) -> None:
        self.runs = 0
        self.progress_s = 0.0
        self._failures = failures
        self._hangs = hangs
        self._end = threading.Event()

    def run(self) -> None:
        self.runs += 1
        if self.runs <= self._failures:
            raise ZeroDivisionError("a bug")
        while not self._end.wait(0.005):
            if not self._hangs:
                self.progress_s = time.monotonic()

    def stop(self) -> None:
        self._end.set()


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "_PAUSE_S", 0.001)


def test_a_loop_that_fails_is_started_again_and_the_bug_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    supervising.logger.propagate = True
    supervisor, loop = Supervisor(SystemClock()), Turning(failures=2)
    supervisor.start(loop)
    wait_until(lambda: loop.runs == 3, what="the third run")
    assert supervisor.failed is None
    assert supervisor.restarts == 2
    assert supervisor.stop(timeout_s=2) == []
    assert "a bug" in caplog.text


def test_a_loop_that_fails_again_and_again_is_told_of() -> None:
    supervisor, loop = Supervisor(SystemClock()), Turning(failures=99)
    supervisor.start(loop)
    wait_until(lambda: supervisor.failed == "turning", what="giving up")
    assert loop.runs == RESTARTS


def test_a_loop_that_hangs_is_named_and_one_that_turns_is_not() -> None:
    supervisor, good, hung = Supervisor(SystemClock()), Turning(), Turning(hangs=True)
    hung.name = "hung"
    supervisor.start(good)
    supervisor.start(hung)
    wait_until(lambda: supervisor.stalled(0.3) == ["hung"], what="the loop that hangs")
    assert set(supervisor.ages_s()) == {"turning", "hung"}
    assert supervisor.stop(good, timeout_s=2) == []
    assert list(supervisor.ages_s()) == ["hung"]
    assert supervisor.stop(timeout_s=2) == []


def test_a_loop_that_does_not_end_is_left_behind_and_named() -> None:
    supervisor, loop = Supervisor(SystemClock()), Turning()
    stop, loop.stop = loop.stop, lambda: None  # type: ignore[method-assign]
    supervisor.start(loop)
    wait_until(lambda: loop.runs == 1, what="its run")
    begun_s = time.monotonic()
    assert supervisor.stop(timeout_s=0.1) == ["turning"]
    assert time.monotonic() - begun_s < 1
    stop()
