"""What systemd is told, over a stand-in for its socket."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampedge import notify
from tests.support.notify_socket import NotifySocket


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    with NotifySocket(tmp_path / "notify" if request.param == "path" else None) as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", listening.address)
        yield listening


def test_each_message_arrives_as_systemd_expects_it(systemd: NotifySocket) -> None:
    notify.ready()
    notify.status("3 devices,\n2 online: größer")
    notify.watchdog()
    notify.stopping()
    assert systemd.messages == [
        {"READY": "1"},
        {"STATUS": "3 devices, 2 online: größer"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1"},
    ]


def test_a_reload_tells_its_time_on_the_monotonic_clock(systemd: NotifySocket) -> None:
    before = time.monotonic_ns() // 1000
    notify.reloading()
    (said,) = systemd.messages
    assert said["RELOADING"] == "1"
    assert before <= int(said["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/nowhere/at/all", "@", "/" + "x" * 300])
def test_without_systemd_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    if not address:
        monkeypatch.delenv("NOTIFY_SOCKET")
    for say in (notify.ready, notify.watchdog, notify.reloading, notify.stopping):
        say()
    notify.status("all is well")


def test_a_listener_that_reads_nothing_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with NotifySocket(tmp_path / "notify") as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        for _ in range(2000):
            notify.watchdog()
        assert 0 < len(systemd.messages) < 2000, "the queue of the socket was never full, so nothing was tried"


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        (None, None, None),
        ("60000000", None, 60.0),
        ("500000", "mine", 0.5),
        ("60000000", "1", None),
        ("0", None, None),
        ("-1", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_s_interval_is_that_of_this_process(
    usec: str | None, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if usec is not None:
        monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "mine" else pid)
    assert notify.watchdog_interval_s() == expected
