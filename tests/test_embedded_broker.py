"""The embedded broker: what a Mosquitto client, paho and our own two ends see of it, and how it ends."""

import builtins
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ampedge.errors import InUseError, UsageError
from ampedge.mqtt import connection
from ampedge.mqtt.broker import EmbeddedBroker
from ampedge.mqtt.publisher import Publisher
from ampedge.mqtt.subscriber import Subscriber
from ampedge.settings import MqttSection
from tests.support.mosquitto import MosquittoSub
from tests.support.parts import needed
from tests.support.receipts import FakeLog
from tests.support.waiting import wait_until


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(port=0) as embedded:
        yield embedded
    assert not [thread for thread in threading.enumerate() if thread.name == "ampedge-broker"]


def section(broker: EmbeddedBroker) -> MqttSection:
    return MqttSection(host="127.0.0.1", port=broker.port, protocol="3.1.1")


def a_publisher(mqtt: MqttSection, log: FakeLog | None = None) -> Publisher:
    return Publisher(mqtt, password=None, client_id="ours", devices=["amp1"], receipts=log or FakeLog())


def test_our_publisher_through_to_mosquitto_sub(broker: EmbeddedBroker) -> None:
    log = FakeLog()
    publisher = a_publisher(section(broker), log)
    with MosquittoSub(broker.port, "amp/#") as sub:
        publisher.start()
        publisher.announce("amp1", True)
        wait_until(lambda: publisher.connected)
        events = [f'{{"n":{i}}}' for i in range(10)]
        for row_id, event in enumerate(events):
            assert publisher.publish("amp1", "healthy", event.encode(), row_id)
        publisher.stop()
        assert log.acknowledged_ids == list(range(10))
        wait_until(lambda: sub.on("amp/status") == ["online", "offline"])
        assert sub.on("amp/inference/event") == events
        assert sub.on("amp/inference") == ["healthy"] * 10
    with MosquittoSub(broker.port, "amp/#") as late:
        wait_until(lambda: len(late.messages) == 2)
        assert {m["topic"]: (m["payload"], m["retain"]) for m in late.messages} == {
            "amp/status": ("offline", 1),
            "amp/status/amp1": ("offline", 1),
        }


def test_a_client_gets_only_what_it_subscribed_to(broker: EmbeddedBroker) -> None:
    publisher = a_publisher(section(broker))
    publisher.start()
    wait_until(lambda: publisher.connected)
    with (
        MosquittoSub(broker.port, "amp/status"),
        Subscriber(section(broker), password=None, topics=["amp/inference"], wait_s=5) as sub,
    ):
        publisher.publish("amp1", "healthy", b"{}", 1)
        message = sub.get(5)
        publisher.stop()
    assert message is not None
    assert message.payload == b"healthy", "not the retained status of another client's subscription"


def test_a_will_is_sent_when_a_client_is_cut_off(broker: EmbeddedBroker) -> None:
    publisher = a_publisher(section(broker))
    with Subscriber(section(broker), password=None, topics=["amp/status"], wait_s=5) as sub:
        publisher.start()
        first = sub.get(5)
        wait_until(lambda: publisher._echo_due, what="the broker to have answered all")
        publisher._connection.close(5, goodbye=False)
        second = sub.get(5)
    assert first is not None
    assert second is not None
    assert [first.payload, second.payload] == [b"online", b"offline"]


def test_mosquitto_pub_to_paho_at_qos_1(broker: EmbeddedBroker) -> None:
    got: list[paho.MQTTMessage] = []
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: got.append(message)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("a/#", 1)
    assert subscribed.wait(5)
    program = needed("mosquitto_pub")
    subprocess.run([program, "-p", str(broker.port), "-t", "a/b", "-q", "1", "-m", "x"], check=True, timeout=10)
    wait_until(lambda: len(got) == 1)
    client.disconnect()
    client.loop_stop()
    assert (got[0].topic, got[0].payload, got[0].qos) == ("a/b", b"x", 1)


def test_clients_that_are_there_when_it_stops_do_not_hold_it(broker: EmbeddedBroker) -> None:
    with (
        Subscriber(section(broker), password=None, topics=["a"], wait_s=5) as sub,
        socket.create_connection(("127.0.0.1", broker.port)) as mute,
    ):
        started_s = time.monotonic()
        broker.stop()
        assert time.monotonic() - started_s < 2
        wait_until(lambda: not sub.connected)
        assert mute.recv(1) == b""
        broker.start()
        wait_until(lambda: sub.connected)


def test_strangers_are_survived(broker: EmbeddedBroker) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff", bytes(range(256))):
        with socket.create_connection(("127.0.0.1", broker.port)) as stranger:
            stranger.sendall(sent)
    with Subscriber(section(broker), password=None, topics=["a"], wait_s=5):
        pass


def test_version_auto_falls_back_to_3_1_1(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.3)
    publisher = a_publisher(MqttSection(host="127.0.0.1", port=broker.port))
    publisher.start()
    wait_until(lambda: publisher.connected)
    publisher.stop()


def test_a_taken_port_is_an_error_that_names_it(broker: EmbeddedBroker) -> None:
    with pytest.raises(InUseError, match=f"Port {broker.port} on 127.0.0.1 is taken"):
        EmbeddedBroker(port=broker.port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no.such.host.invalid"])
def test_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(UsageError):
        EmbeddedBroker(host, 0).start()


def test_without_the_library_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("amqtt"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    for module in [name for name in sys.modules if name.startswith("amqtt")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(UsageError) as caught:
        EmbeddedBroker(port=0).start()
    assert 'pip install "ampedge[broker]"' in caught.value.remedy


def test_it_says_nothing(broker: EmbeddedBroker, capfd: pytest.CaptureFixture[str]) -> None:
    test_strangers_are_survived(broker)
    broker.stop()
    assert capfd.readouterr() == ("", "")
