"""TLS against a real Mosquitto: what is accepted, what is refused in which words, and that nothing gets around it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ampedge.errors import ConfigError, UnreachableError
from ampedge.mqtt import client, retries
from ampedge.mqtt.publisher import Publisher
from ampedge.mqtt.subscriber import Subscriber
from ampedge.settings import MqttSection
from tests.support.certificates import Authority
from tests.support.cli import run_cli
from tests.support.mosquitto import Mosquitto
from tests.support.receipts import FakeLog
from tests.support.serving import Serve
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.05, 0.2))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[Path, Path]:
    """The broker's own, for the names under which it is reached here."""
    return authority.issue("broker", "localhost", "127.0.0.1")


def section(port: int, ca_file: Path, **more: Any) -> MqttSection:
    return MqttSection.model_validate({"host": "127.0.0.1", "port": port, "tls": True, "ca_file": str(ca_file), **more})


@contextmanager
def publishing(mqtt: MqttSection, log: FakeLog | None = None) -> Iterator[Publisher]:
    publisher = Publisher(mqtt, password=None, client_id="ours", devices=["amp1"], receipts=log or FakeLog())
    before = threading.active_count()
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()
    assert threading.active_count() == before


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_large_and_many_messages_pass_in_both_directions(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path], protocol: str
) -> None:
    """Bytes that TLS has decrypted already are read without waiting for more from the network."""
    events = [b"%d " % i + b"x" * (300_000 if i % 10 == 0 else 700) for i in range(40)]
    log = FakeLog()
    with (
        Mosquitto(tmp_path, tls=certificate) as broker,
        Subscriber(
            section(broker.port, authority.ca_file, protocol=protocol),
            password=None,
            topics=["amp/inference/event"],
            wait_s=5,
        ) as sub,
        publishing(section(broker.port, authority.ca_file, protocol=protocol), log) as publisher,
    ):
        wait_until(lambda: publisher.connected)
        for event in events:
            stored = log.append(event)
            wait_until(lambda s=stored: publisher.publish("amp1", "healthy", s.payload, s.id))
        got = [message.payload for message in (sub.get(5) for _ in events) if message is not None]
        assert got == events
        wait_until(lambda: len(log.acknowledged_ids) == len(events))
        assert publisher.healthy
        assert broker.log().count("New client connected") == 2, "no connection was lost"


def test_label_and_event_leave_at_once(tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]) -> None:
    log = FakeLog()
    with (
        Mosquitto(tmp_path, tls=certificate) as broker,
        Subscriber(section(broker.port, authority.ca_file), password=None, topics=["amp/#"], wait_s=5) as sub,
        publishing(section(broker.port, authority.ca_file), log) as publisher,
    ):
        wait_until(lambda: publisher.connected)
        took_s = []
        for _ in range(20):
            stored = log.append(b"{}")
            sent_s = time.monotonic()
            assert publisher.publish("amp1", "healthy", stored.payload, stored.id)
            message = next(message for message in sub if message.topic == "amp/inference/event")
            took_s.append(message.received_s - sent_s)
    assert sorted(took_s)[10] < 0.15, "a corked socket holds bytes back for 200 ms"


@pytest.mark.parametrize(
    ("hosts", "since_days", "until_days", "said"),
    [
        (("elsewhere.example",), -1, 1, "its certificate is for another name than 127.0.0.1"),
        (("127.0.0.1",), -2, -1, "its certificate has expired: this machine's clock says 20"),
        (("127.0.0.1",), 1, 2, "its certificate is not valid yet, or the clock here is wrong: this machine's clock"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    tmp_path: Path, authority: Authority, hosts: tuple[str, ...], since_days: float, until_days: float, said: str
) -> None:
    own = authority.issue("wrong", *hosts, since_days=since_days, until_days=until_days)
    with Mosquitto(tmp_path, tls=own) as broker, publishing(section(broker.port, authority.ca_file)) as publisher:
        refused(publisher, broker, said)


def test_an_unknown_authority_is_refused(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    stranger = Authority(tmp_path, "stranger")
    with Mosquitto(tmp_path, tls=certificate) as broker, publishing(section(broker.port, stranger.ca_file)) as pub:
        refused(pub, broker, "its certificate is signed by an authority that is not trusted here (mqtt.ca_file")
        with pytest.raises(UnreachableError) as caught:
            Subscriber(section(broker.port, stranger.ca_file), password=None, topics=["a"], wait_s=0.5).__enter__()
        assert "authority that is not trusted here" in caught.value.problem


def test_without_an_authority_of_its_own_it_trusts_the_system_s(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    broker = Mosquitto(tmp_path, tls=certificate)
    with broker, publishing(MqttSection(host="127.0.0.1", port=broker.port, tls=True)) as publisher:
        refused(publisher, broker, "its certificate is signed by an authority that is not trusted here")


def refused(publisher: Publisher, broker: Mosquitto, said: str) -> None:
    """It says so, is not healthy, and never gets around it."""
    where = f"No encrypted connection to the broker at 127.0.0.1:{broker.port}: "
    wait_until(lambda: (publisher.problem or "").startswith(where + said), what=f"{said} ({publisher.problem})")
    assert not publisher.healthy
    wait_until(lambda: broker.log().count("New connection") >= 4, what="further attempts")
    assert not publisher.connected
    assert "New client connected" not in broker.log()


def test_once_the_certificate_is_right_it_connects(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    own = authority.issue("late", "127.0.0.1", since_days=-2, until_days=-1)
    broker = Mosquitto(tmp_path, tls=own)
    with broker, publishing(section(broker.port, authority.ca_file)) as publisher:
        wait_until(lambda: "expired" in (publisher.problem or ""))
        broker.stop()
        own[0].write_bytes(certificate[0].read_bytes())
        own[1].write_bytes(certificate[1].read_bytes())
        broker.start()
        wait_until(lambda: publisher.connected)
        assert publisher.healthy
        assert publisher.problem is None


def test_a_client_certificate_that_the_broker_asks_for(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    clients = Authority(tmp_path, "clients")
    cert, key = clients.issue("edge")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    strange_cert, strange_key = authority.issue("stranger")
    with Mosquitto(tmp_path, tls=certificate, clients_of=clients.ca_file) as broker:
        for own in ({"cert_file": str(cert), "key_file": str(key)}, {"cert_file": str(both)}):
            with publishing(section(broker.port, authority.ca_file, **own)) as publisher:
                wait_until(lambda p=publisher: p.connected, what=publisher.problem or "a connection")
        for own, said in (
            ({}, "wants a client certificate (mqtt.cert_file, mqtt.key_file)"),
            ({"cert_file": str(strange_cert), "key_file": str(strange_key)}, "refuses this client's certificate"),
        ):
            with publishing(section(broker.port, authority.ca_file, **own)) as publisher:
                wait_until(lambda p=publisher, s=said: s in (p.problem or ""), what=f"{said} ({publisher.problem})")
                assert not publisher.connected


def test_a_broker_without_tls_is_never_spoken_to_in_the_clear(tmp_path: Path, authority: Authority) -> None:
    with Mosquitto(tmp_path) as broker, publishing(section(broker.port, authority.ca_file)) as publisher:
        wait_until(lambda: "does not speak TLS on this port" in (publisher.problem or ""), what=str(publisher.problem))
        wait_until(lambda: broker.log().count("New connection") >= 4)
        assert "New client connected" not in broker.log()


def test_a_broker_that_wants_tls_is_named_to_a_client_without(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    broker = Mosquitto(tmp_path, tls=certificate)
    with broker, publishing(MqttSection(host="127.0.0.1", port=broker.port)) as publisher:
        wait_until(lambda: "perhaps it wants TLS (mqtt.tls)" in (publisher.problem or ""))


def test_a_mute_listener_does_not_hold_the_thread(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        publishing(section(mute.getsockname()[1], authority.ca_file)) as publisher,
    ):
        wait_until(lambda: publisher.problem is not None)
        assert "cannot be reached" in str(publisher.problem)


@pytest.mark.parametrize("kind", ["missing", "directory", "nonsense", "encrypted", "not ours"])
def test_files_that_cannot_be_used_are_named_before_anything_is_connected(
    tmp_path: Path, authority: Authority, kind: str
) -> None:
    cert, _ = authority.issue("edge")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    encrypted = authority.issue("secret", password=b"correct horse")
    other_key = authority.issue("other")[1]
    given, said = {
        "missing": ({"ca_file": "nowhere.pem"}, "mqtt.ca_file: nowhere.pem cannot be read: No such file"),
        "directory": ({"ca_file": str(tmp_path)}, f"mqtt.ca_file: {tmp_path} cannot be read: Is a directory."),
        "nonsense": ({"ca_file": str(nonsense)}, f"mqtt.ca_file: {nonsense} holds no certificate in PEM form."),
        "encrypted": (
            {"cert_file": str(encrypted[0]), "key_file": str(encrypted[1])},
            "do not hold a certificate and its key in PEM form, unencrypted.",
        ),
        "not ours": ({"cert_file": str(cert), "key_file": str(other_key)}, "does not belong to the certificate in"),
    }[kind]
    mqtt = MqttSection.model_validate({"tls": True, "ca_file": str(authority.ca_file), **given})
    with pytest.raises(ConfigError) as caught:
        Publisher(mqtt, password=None, client_id="ours", devices=["amp1"], receipts=FakeLog())
    assert said in caught.value.problem
    with pytest.raises(ConfigError):
        Subscriber(mqtt, password=None, topics=["a"])


def test_the_commands_over_tls_with_user_password_and_certificate(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    """`serve`, `simulate --check` and `monitor`, configured by one file whose paths are relative to it."""
    clients = Authority(tmp_path, "clients")
    clients.issue("edge")
    (tmp_path / "authority.pem").write_bytes(authority.ca_file.read_bytes())
    (tmp_path / "password").write_text("correct horse\n")
    place = tmp_path / "broker"
    place.mkdir()
    with Mosquitto(place, users={"edge": "correct horse"}, tls=certificate, clients_of=clients.ca_file) as broker:
        (tmp_path / "ampedge.toml").write_text(
            f"""
            [mqtt]
            host = "localhost"
            port = {broker.port}
            tls = true
            ca_file = "authority.pem"
            cert_file = "edge.crt"
            key_file = "edge.key"
            username = "edge"
            password_file = "password"
            """
        )
        with Serve(tmp_path) as serve:
            played = run_cli(
                "simulate",
                "--host",
                "127.0.0.1",
                "--port",
                serve.port,
                "--check",
                "--interval",
                0.02,
                "--count",
                3,
                cwd=tmp_path,
            )
            assert played.returncode == 0, played.stderr
            assert played.stdout.count(" right ") == 3
            shown = run_cli("monitor", "--plain", "--count", 1, cwd=tmp_path)
            assert shown.returncode == 0, shown.stderr
            assert shown.stdout.startswith("[INFERENCE] ")
            assert serve.stop() == 0
        plain = run_cli("monitor", "--plain", "--broker", f"localhost:{broker.port}", "--count", 1, "--timeout", 1)
        assert plain.returncode == 4
        assert "perhaps it wants TLS (mqtt.tls)" in plain.stderr
