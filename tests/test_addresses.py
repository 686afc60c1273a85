"""Looking up names: numbers at once, names with a limit, a dead resolver without piling up threads."""

import socket
import threading
import time
from typing import Any

import pytest

from ampedge.addresses import resolve
from tests.support.parts import has_ipv6
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 502)),
        ("::1", socket.AF_INET6, ("::1", 502, 0, 0)),
    ],
)
def test_an_address_in_numbers_is_taken_without_asking(
    host: str, family: socket.AddressFamily, address: tuple[Any, ...]
) -> None:
    if family is socket.AF_INET6 and not has_ipv6():
        pytest.skip("no IPv6 here")
    before = threading.active_count()
    assert resolve(host, 502) == [(family, address)]
    assert threading.active_count() == before


def test_a_name_gives_all_its_addresses() -> None:
    assert (socket.AF_INET, ("127.0.0.1", 1883)) in resolve("localhost", 1883)


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 300, "nul\0nul", ""])
def test_a_name_that_does_not_exist(name: str) -> None:
    with pytest.raises(socket.gaierror):
        resolve(name, 502)


def test_a_resolver_that_never_answers_is_left_behind_once_per_name(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    asked: list[str] = []
    real = socket.getaddrinfo

    def dead(host: str, *rest: Any, flags: int = 0, **more: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, *rest, flags=flags, **more)
        asked.append(host)
        let_go.wait(30)
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", dead)
    for _ in range(3):
        began_s = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            resolve("plc.example", 502, timeout_s=0.05)
        assert time.monotonic() - began_s < 2
        assert "0.05 s" in str(caught.value.strerror)
    assert asked == ["plc.example"]
    with pytest.raises(TimeoutError):
        resolve("other.example", 502, timeout_s=0.01)
    let_go.set()
    wait_until(lambda: not any(thread.name.startswith("look-up") for thread in threading.enumerate()))
    assert resolve("plc.example", 502) == [(socket.AF_INET, ("127.0.0.1", 502))]
    assert asked == ["plc.example", "other.example", "plc.example"]
