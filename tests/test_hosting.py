"""Whether serve hosts the slave or polls one, decided with real sockets."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ampedge.config import Config, load_config
from ampedge.service.hosting import answers, hosts_slave, is_local, reachable
from tests.support.parts import has_ipv6


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of this machine at which something answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> int:
    """A port of this machine at which nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def config(tmp_path: Path, **modbus: Any) -> Config:
    (tmp_path / "empty.toml").touch()
    return load_config(tmp_path / "empty.toml", {f"modbus.{key}": value for key, value in modbus.items()}, {})


def test_auto_hosts_where_the_address_is_ours_and_nothing_answers(tmp_path: Path, silent: int) -> None:
    hosted, sentence = hosts_slave(config(tmp_path, host="127.0.0.1", port=silent))
    assert hosted
    assert sentence == (
        f"Hosting the slave at 127.0.0.1:{silent}: the address is this machine's own and nothing answers there."
    )


def test_auto_polls_what_already_answers(tmp_path: Path, listening: int) -> None:
    hosted, sentence = hosts_slave(config(tmp_path, host="127.0.0.1", port=listening))
    assert not hosted
    assert sentence == f"Polling the slave that already answers at 127.0.0.1:{listening}."


def test_auto_polls_another_machine_without_asking_it_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it was asked"))
    hosted, sentence = hosts_slave(config(tmp_path, host="192.0.2.75"))
    assert not hosted
    assert sentence == "Polling the slave at 192.0.2.75:502."


def test_without_any_host_it_is_hosted_on_5020_of_this_machine_alone(tmp_path: Path) -> None:
    hosted, sentence = hosts_slave(config(tmp_path, slave="embedded"))
    assert hosted
    assert sentence == "Hosting the slave at 127.0.0.1:5020."


def test_embedded_and_external_never_guess(
    tmp_path: Path, listening: int, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it was asked"))
    for port in (listening, silent):
        for host in ("127.0.0.1", "192.0.2.75"):
            assert hosts_slave(config(tmp_path, host=host, port=port, slave="embedded"))[0]
            assert not hosts_slave(config(tmp_path, host=host, port=port, slave="external"))[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "0.0.0.0"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_local(host)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6_addresses_of_this_machine(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_addresses_of_others(host: str) -> None:
    assert not is_local(host)


def test_answers(listening: int, silent: int) -> None:
    assert answers("127.0.0.1", listening)
    assert answers("localhost", listening)
    assert answers("0.0.0.0", listening)
    assert not answers("127.0.0.1", silent)
    assert not answers("no-such-host.invalid", listening)


def test_an_address_to_listen_on_everywhere_is_reached_on_loopback() -> None:
    assert (reachable("0.0.0.0"), reachable("::"), reachable("10.0.0.1")) == ("127.0.0.1", "::1", "10.0.0.1")
