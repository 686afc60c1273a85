"""The publisher against a real Mosquitto: what arrives, what is retained, and what happens when things break."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ampedge.mqtt import connection
from ampedge.mqtt.publisher import IN_FLIGHT, Publisher
from ampedge.settings import MqttSection
from tests.support.mosquitto import Mosquitto, MosquittoSub, free_port
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import wait_until

SECRET = "correct horse"
DISCONNECT = b"\xe0\x00"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", (0.05, 0.2))


@contextmanager
def publishing(
    port: int, *, protocol: str = "auto", password: str | None = None, **more: object
) -> Iterator[Publisher]:
    section = MqttSection.model_validate({"host": "127.0.0.1", "port": port, "protocol": protocol, **more})
    publisher = Publisher(section, password=password, device="amp1")
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "ampedge-mqtt"]


def up(publisher: Publisher) -> None:
    wait_until(lambda: publisher.connected, what=f"a connection ({publisher.problem})")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_label_event_birth_and_goodbye(mosquitto: Mosquitto, protocol: str) -> None:
    with MosquittoSub(mosquitto.port, "amp/#") as sub:
        with publishing(mosquitto.port, protocol=protocol) as publisher:
            publisher.announce(True)
            up(publisher)
            assert publisher.publish("healthy", b'{"n":1}')
            assert publisher.publish(None, b'{"n":2}')
            wait_until(lambda: publisher.delivered == 2)
        wait_until(lambda: sub.on("amp/status") == ["online", "offline"])
        assert sub.on("amp/inference") == ["healthy"]
        assert sub.on("amp/inference/event") == ['{"n":1}', '{"n":2}']
        assert sub.on("amp/status/amp1") == ["online", "offline"]
        qos = {m["topic"]: m["qos"] for m in sub.messages}
    assert qos == {"amp/status": 1, "amp/status/amp1": 1, "amp/inference": 0, "amp/inference/event": 1}
    assert publisher.dropped == 0
    assert publisher.problem is None
    with MosquittoSub(mosquitto.port, "amp/#") as late:
        wait_until(lambda: len(late.messages) == 2)
        assert {m["topic"]: (m["payload"], m["retain"]) for m in late.messages} == {
            "amp/status": ("offline", 1),
            "amp/status/amp1": ("offline", 1),
        }


def test_the_version_is_5_where_the_broker_speaks_it(mosquitto: Mosquitto) -> None:
    assert spoken(mosquitto, "auto") == "p5"
    assert spoken(mosquitto, "3.1.1") == "p2"


def spoken(broker: Mosquitto, protocol: str) -> str:
    with publishing(broker.port, protocol=protocol, client_id=f"spoken{protocol}") as publisher:
        up(publisher)
    line = next(line for line in broker.log().splitlines() if f"as spoken{protocol} " in line)
    return line.split("(")[1].split(",")[0]


def test_without_a_broker_nothing_is_queued_and_all_is_counted() -> None:
    port = free_port()
    with publishing(port) as publisher:
        wait_until(lambda: publisher.problem is not None)
        started_s = time.monotonic()
        for _ in range(1000):
            assert not publisher.publish("healthy", b"{}")
        assert time.monotonic() - started_s < 1
        assert publisher.dropped == 1000
        assert publisher.problem == f"The broker at 127.0.0.1:{port} cannot be reached: nothing listens there."


def test_it_comes_back_with_birth_and_device_state_after_the_broker_was_killed(mosquitto: Mosquitto) -> None:
    with publishing(mosquitto.port) as publisher:
        up(publisher)
        publisher.announce(True)
        assert publisher.publish("healthy", b"1")
        wait_until(lambda: publisher.delivered == 1)
        mosquitto.stop()
        wait_until(lambda: not publisher.connected)
        assert not publisher.publish("healthy", b"2")
        publisher.announce(False)
        mosquitto.start()
        up(publisher)
        assert publisher.problem is None
        with MosquittoSub(mosquitto.port, "amp/#") as sub:
            wait_until(lambda: sub.on("amp/status/amp1") == ["offline"])
            assert sub.on("amp/status") == ["online"]
            assert publisher.publish("healthy", b"3")
            wait_until(lambda: sub.on("amp/inference/event") == ["3"])
        assert publisher.dropped == 1


def test_a_killed_process_leaves_its_will(mosquitto: Mosquitto) -> None:
    code = (
        "import sys, time\n"
        "from ampedge.settings import MqttSection\n"
        "from ampedge.mqtt.publisher import Publisher\n"
        "publisher = Publisher(MqttSection(host='127.0.0.1', port=int(sys.argv[1])), password=None, device='d')\n"
        "publisher.start()\n"
        "time.sleep(60)\n"
    )
    with (
        MosquittoSub(mosquitto.port, "amp/status") as sub,
        subprocess.Popen([sys.executable, "-c", code, str(mosquitto.port)]) as process,
    ):
        wait_until(lambda: sub.on("amp/status") == ["online"])
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: sub.on("amp/status") == ["online", "offline"])
    with MosquittoSub(mosquitto.port, "amp/status") as late:
        wait_until(lambda: [(m["payload"], m["retain"]) for m in late.messages] == [("offline", 1)])


def test_a_late_will_of_an_earlier_start_is_taken_back(mosquitto: Mosquitto) -> None:
    with MosquittoSub(mosquitto.port, "amp/status") as sub, publishing(mosquitto.port) as publisher:
        up(publisher)
        wait_until(lambda: sub.on("amp/status") == ["online"])
        mosquitto.publish("amp/status", "offline", retain=True)
        wait_until(lambda: sub.on("amp/status") == ["online", "offline", "online"])


def test_refused_password_is_said_in_words_and_never_shown(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, users={"ann": SECRET}) as broker:
        for given, password, said in (
            ({}, None, "wants a user name and a password."),
            ({"username": "ann"}, "wrong" + SECRET, "refuses the user name or the password."),
        ):
            for protocol in ("5", "3.1.1"):
                with publishing(broker.port, protocol=protocol, password=password, **given) as publisher:
                    wait_until(lambda p=publisher: p.problem is not None)
                    assert publisher.problem == f"The broker at 127.0.0.1:{broker.port} {said}"
                    assert not publisher.connected
        with publishing(broker.port, password=SECRET, username="ann") as publisher:
            up(publisher)
            assert publisher.problem is None


def test_what_the_access_list_forbids_is_not_counted_as_delivered(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write amp/status/#\ntopic write amp/inference\n")
    broker = Mosquitto(tmp_path)
    broker.configure(f"acl_file {tmp_path / 'acl'}")
    with broker, publishing(broker.port) as publisher:
        up(publisher)
        publisher.publish("healthy", b"{}")
        wait_until(lambda: publisher.dropped == 1)
        assert publisher.delivered == 0
        assert publisher.problem == "The broker does not let this user publish to amp/inference/event."


def test_a_broker_that_refuses_version_5_gets_3_1_1() -> None:
    with ScriptedBroker({5: b"\x20\x02\x00\x01", 4: b"\x20\x02\x00\x00"}) as broker, publishing(broker.port) as pub:
        up(pub)
        assert broker.versions == [5, 4]


def test_a_broker_that_is_mute_to_version_5_gets_3_1_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.2)
    with ScriptedBroker({5: b"", 4: b"\x20\x02\x00\x00"}) as broker, publishing(broker.port) as publisher:
        up(publisher)
        assert broker.versions == [5, 4]
        broker.hang_up()
        wait_until(lambda: len(broker.versions) == 3)
        assert broker.versions == [5, 4, 4], "the version that worked stays"


def test_a_configured_version_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.05)
    with ScriptedBroker({5: b"", 4: b"\x20\x02\x00\x00"}) as broker, publishing(broker.port, protocol="5") as pub:
        wait_until(lambda: len(broker.versions) == 3)
        assert broker.versions == [5, 5, 5]
        assert pub.problem == f"What answers at 127.0.0.1:{broker.port} does not answer an MQTT client."


def test_a_stranger_on_the_port_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.1)
    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with ScriptedBroker({5: answer, 4: answer}) as broker, publishing(broker.port) as publisher:
        wait_until(lambda: len(broker.versions) > 3)
        assert publisher.problem is not None
        assert str(broker.port) in publisher.problem
        assert not publisher.connected


def test_a_broker_that_stops_acknowledging_never_blocks_and_bounds_what_waits() -> None:
    with ScriptedBroker({5: b"\x20\x03\x00\x00\x00"}) as broker:
        publisher = Publisher(MqttSection(host="127.0.0.1", port=broker.port), password=None, device="d")
        publisher.start()
        up(publisher)
        started_s = time.monotonic()
        said = [publisher.publish("healthy", b"x" * 100_000) for _ in range(100)]
        assert said == [True] * IN_FLIGHT + [False] * (100 - IN_FLIGHT)
        assert publisher.dropped == 100 - IN_FLIGHT
        publisher.stop(0.3)
        assert time.monotonic() - started_s < 2
        assert publisher.dropped == 100
        assert publisher.delivered == 0
        broker.read_on()
        wait_until(lambda: broker.ended)
        assert broker.tail != DISCONNECT, "so the broker sends the will"


def test_what_was_not_acknowledged_is_sent_again_on_the_next_connection(mosquitto: Mosquitto) -> None:
    with MosquittoSub(mosquitto.port, "amp/inference/event") as sub:
        with publishing(mosquitto.port) as publisher:
            up(publisher)
            mosquitto.pause()
            assert publisher.publish("healthy", b"first")
            assert publisher.publish("healthy", b'{"n":2,"replayed":false}')
            cut(publisher)
            wait_until(lambda: not publisher.connected)
            mosquitto.resume()
            wait_until(lambda: publisher.delivered == 2)
        wait_until(lambda: sub.on("amp/inference/event")[-2:] == ["first", '{"n":2,"replayed":true}'])


def test_a_broker_that_hangs_is_noticed_and_the_last_word_is_online(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "_CHECK_S", 0.1)
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.2)
    with publishing(mosquitto.port) as publisher:
        up(publisher)
        mosquitto.pause()
        wait_until(lambda: not publisher.connected, what="the silence to be noticed")
        wait_until(lambda: "does not answer" in (publisher.problem or ""), what="a vain attempt")
        mosquitto.resume()
        up(publisher)
        wait_until(lambda: not publisher._states)  # the wills of the cut connections came, and were taken back
        with MosquittoSub(mosquitto.port, "amp/status") as sub:
            wait_until(lambda: sub.on("amp/status")[-1:] == ["online"])


def cut(publisher: Publisher) -> None:
    client = publisher._connection.client
    assert client is not None
    sock = client.socket()
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RD)


def test_stop_before_start_and_twice_is_harmless() -> None:
    publisher = Publisher(MqttSection(), password=None, device="d")
    publisher.stop()
    publisher.stop()
    assert publisher.dropped == 0
