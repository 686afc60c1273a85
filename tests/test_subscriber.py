"""The subscriber against a real Mosquitto: order, retained messages, restarts of the broker, refusals."""

import socket
import threading
import time
from pathlib import Path

import pytest

from ampedge.errors import UnreachableError
from ampedge.mqtt import retries, subscriber
from ampedge.mqtt.subscriber import Message, Subscriber
from ampedge.settings import MqttSection
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.05, 0.2))


def section(port: int, **more: object) -> MqttSection:
    return MqttSection.model_validate({"host": "127.0.0.1", "port": port, **more})


def reading(port: int, *topics: str, wait_s: float | None = 5, **more: object) -> Subscriber:
    return Subscriber(section(port, **more), password=None, topics=topics, wait_s=wait_s)


def test_messages_come_in_order_with_their_topics(mosquitto: Mosquitto) -> None:
    with reading(mosquitto.port, "a", "b/+") as sub:
        before_s = time.monotonic()
        mosquitto.publish("a", "1")
        mosquitto.publish("c", "not ours")
        mosquitto.publish("b/x", b"\xff\x00")
        got = [sub.get(5), sub.get(5)]
        assert [(m.topic, m.payload, m.retained) for m in got if m] == [("a", b"1", False), ("b/x", b"\xff\x00", False)]
        assert all(before_s < m.received_s < time.monotonic() for m in got if m)
        assert sub.get(0.01) is None


def test_what_the_broker_kept_is_marked_retained(mosquitto: Mosquitto) -> None:
    mosquitto.publish("a", "old", retain=True)
    with reading(mosquitto.port, "a") as sub:
        first = sub.get(5)
        mosquitto.publish("a", "new", retain=True)
        second = sub.get(5)
    assert first is not None
    assert second is not None
    assert (first.payload, first.retained) == (b"old", True)
    assert (second.payload, second.retained) == (b"new", False)


def test_it_subscribes_anew_after_the_broker_was_killed(mosquitto: Mosquitto) -> None:
    with reading(mosquitto.port, "a") as sub:
        mosquitto.stop()
        wait_until(lambda: not sub.connected)
        assert sub.problem is not None
        mosquitto.start()
        wait_until(lambda: sub.connected)
        assert sub.problem is None
        mosquitto.publish("a", "again")
        message = sub.get(5)
        assert message is not None
        assert message.payload == b"again"


def test_iterating_ends_when_it_is_closed(mosquitto: Mosquitto) -> None:
    got: list[Message] = []
    with reading(mosquitto.port, "a") as sub:
        reader = threading.Thread(target=lambda: got.extend(sub))
        reader.start()
        mosquitto.publish("a", "1")
        wait_until(lambda: len(got) == 1)
    reader.join(5)
    assert not reader.is_alive()


def test_without_a_broker_connecting_ends_with_an_error_that_says_where() -> None:
    port = free_port()
    with pytest.raises(UnreachableError) as caught, reading(port, "a", wait_s=0.3):
        pass
    assert caught.value.problem == f"The broker at 127.0.0.1:{port} cannot be reached: nothing listens there."
    assert "--broker" in caught.value.remedy


def test_without_waiting_it_connects_as_soon_as_there_is_a_broker(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    with reading(broker.port, "a", wait_s=None) as sub:
        assert not sub.connected
        with broker:
            wait_until(lambda: sub.connected)


def test_an_unknown_name_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    mqtt = MqttSection(host="edge.invalid", port=1883)
    with pytest.raises(UnreachableError) as caught, Subscriber(mqtt, password=None, topics=["a"], wait_s=0.2):
        pass
    assert caught.value.problem == "The broker at edge.invalid:1883 cannot be reached: the name is not known."


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_topic_that_may_not_be_read_is_an_error(tmp_path: Path, protocol: str) -> None:
    answers = {5: b"\x20\x03\x00\x00\x00", 4: b"\x20\x02\x00\x00"}
    suback = {"5": b"\x90\x04\x00\x01\x00\x87", "3.1.1": b"\x90\x03\x00\x01\x80"}[protocol]
    with (
        ScriptedBroker({level: answer + suback for level, answer in answers.items()}) as broker,
        pytest.raises(UnreachableError) as caught,
        reading(broker.port, "secret", protocol=protocol),
    ):
        pass
    assert caught.value.problem == f"The broker at 127.0.0.1:{broker.port} does not let this user read secret."


def test_auto_speaks_3_1_1(mosquitto: Mosquitto) -> None:
    with ScriptedBroker({4: b"\x20\x02\x00\x00"}) as broker, reading(broker.port, "a", wait_s=None):
        wait_until(lambda: broker.versions == [4])


def test_a_slow_reader_keeps_the_newest(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MOST_WAITING", 3)
    with reading(mosquitto.port, "a") as sub, reading(mosquitto.port, "a") as witness:
        for i in range(5):
            mosquitto.publish("a", str(i))
            assert witness.get(5) is not None
        wait_until(lambda: len(sub._messages) == 3 and sub._messages[-1].payload == b"4")
        assert [m.payload for m in (sub.get(1), sub.get(1), sub.get(1)) if m] == [b"2", b"3", b"4"]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_payload_beyond_the_limit_is_left_out(mosquitto: Mosquitto, protocol: str) -> None:
    with reading(mosquitto.port, "a", protocol=protocol) as sub:
        for size in (subscriber.LARGEST, subscriber.LARGEST + 1, 10 * subscriber.LARGEST, 1):
            mosquitto.publish("a", b"x" * size)
        assert [len(m.payload) for m in (sub.get(5), sub.get(5)) if m] == [subscriber.LARGEST, 1]
        assert sub.connected


def test_a_slow_reader_takes_no_more_memory_than_this(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MOST_BYTES", 2500)
    with reading(mosquitto.port, "a") as sub, reading(mosquitto.port, "a") as witness:
        for i in range(5):
            mosquitto.publish("a", str(i) * 1000)
            assert witness.get(5) is not None
        wait_until(lambda: len(sub._messages) == 2 and sub._messages[-1].payload[:1] == b"4")
        assert [m.payload[:1] for m in (sub.get(1), sub.get(1)) if m] == [b"3", b"4"]
        mosquitto.publish("a", "x" * 2000)
        message = sub.get(5)
        assert message is not None
        assert len(message.payload) == 2000, "what was read makes room"
