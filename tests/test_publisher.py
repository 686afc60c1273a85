"""The publisher against a real Mosquitto: what arrives, what is retained, and what happens when things break."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ampedge.mqtt import client, connection, retries
from ampedge.mqtt.client import IN_FLIGHT
from ampedge.mqtt.publisher import REPLAYS_IN_FLIGHT, Publisher
from ampedge.records import DROPPED
from ampedge.settings import MqttSection
from tests.support.mosquitto import Mosquitto, MosquittoSub, free_port
from tests.support.receipts import FakeLog
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import wait_until

SECRET = "correct horse"
DISCONNECT = b"\xe0\x00"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.05, 0.2))


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


def a_publisher(
    port: int,
    log: FakeLog,
    *,
    devices: Sequence[str] = ("amp1",),
    client_id: str = "ours",
    password: str | None = None,
    **more: object,
) -> Publisher:
    section = MqttSection.model_validate({"host": "127.0.0.1", "port": port, **more})
    return Publisher(section, password=password, client_id=client_id, devices=devices, receipts=log)


@contextmanager
def publishing(port: int, log: FakeLog, **more: Any) -> Iterator[Publisher]:
    publisher = a_publisher(port, log, **more)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "ampedge-mqtt"]


def up(publisher: Publisher) -> None:
    wait_until(lambda: publisher.connected, what=f"a connection ({publisher.problem})")


def live(publisher: Publisher, log: FakeLog, payload: bytes, *, label: str = "healthy", device: str = "amp1") -> bool:
    return publisher.publish(device, label, payload, log.append(payload, device=device).id)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_label_event_birth_and_goodbye(mosquitto: Mosquitto, log: FakeLog, protocol: str) -> None:
    with MosquittoSub(mosquitto.port, "amp/#") as sub:
        with publishing(mosquitto.port, log, protocol=protocol) as publisher:
            publisher.announce("amp1", True)
            up(publisher)
            assert live(publisher, log, b'{"n":1}')
            assert live(publisher, log, b'{"n":2}')
            wait_until(lambda: log.acknowledged_ids == [1, 2])
            assert publisher.acknowledged_s is not None
            assert publisher.in_flight == 0
        wait_until(lambda: sub.on("amp/status") == ["online", "offline"])
        assert sub.on("amp/inference") == ["healthy"] * 2
        assert sub.on("amp/inference/event") == ['{"n":1}', '{"n":2}']
        assert sub.on("amp/status/amp1") == ["online", "offline"]
        qos = {m["topic"]: m["qos"] for m in sub.messages}
    assert qos == {"amp/status": 1, "amp/status/amp1": 1, "amp/inference": 0, "amp/inference/event": 1}
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
    with publishing(broker.port, FakeLog(), protocol=protocol, client_id=f"spoken{protocol}") as publisher:
        up(publisher)
    line = next(line for line in broker.log().splitlines() if f"as spoken{protocol} " in line)
    return line.split("(")[1].split(",")[0]


def test_several_devices_have_topics_of_their_own(mosquitto: Mosquitto, log: FakeLog) -> None:
    with MosquittoSub(mosquitto.port, "#") as sub:
        with publishing(mosquitto.port, log, topic="amp/{device}/inference", devices=["amp1", "amp2"]) as publisher:
            up(publisher)
            publisher.announce("amp1", True)
            publisher.announce("amp2", False)
            assert live(publisher, log, b"1", label="healthy", device="amp1")
            assert live(publisher, log, b"2", label="unknown", device="amp2")
            wait_until(lambda: len(log.acknowledged_ids) == 2)
        wait_until(lambda: sub.on("amp/status") == ["online", "offline"])
        assert (sub.on("amp/amp1/inference"), sub.on("amp/amp2/inference")) == (["healthy"], ["unknown"])
        assert (sub.on("amp/amp1/inference/event"), sub.on("amp/amp2/inference/event")) == (["1"], ["2"])
        assert (sub.on("amp/status/amp1"), sub.on("amp/status/amp2")) == (["online", "offline"], ["offline"] * 2)


def test_without_a_broker_nothing_is_queued() -> None:
    port, log = free_port(), FakeLog()
    with publishing(port, log) as publisher:
        wait_until(lambda: publisher.problem is not None)
        started_s = time.monotonic()
        for _ in range(1000):
            assert not live(publisher, log, b"{}")
        assert not publisher.replay(log.waiting()[0])
        assert time.monotonic() - started_s < 1
        assert len(log.waiting()) == 1000
        assert publisher.problem == f"The broker at 127.0.0.1:{port} cannot be reached: nothing listens there."
        assert publisher.healthy, "a broker that is away comes back by itself"


def test_it_comes_back_with_birth_and_device_state_after_the_broker_was_killed(
    mosquitto: Mosquitto, log: FakeLog
) -> None:
    with publishing(mosquitto.port, log) as publisher:
        up(publisher)
        publisher.announce("amp1", True)
        assert live(publisher, log, b"1")
        wait_until(lambda: log.acknowledged_ids == [1])
        mosquitto.stop()
        wait_until(lambda: not publisher.connected)
        assert not live(publisher, log, b"2")
        publisher.announce("amp1", False)
        mosquitto.start()
        up(publisher)
        assert publisher.problem is None
        with MosquittoSub(mosquitto.port, "amp/#") as sub:
            wait_until(lambda: sub.on("amp/status/amp1") == ["offline"])
            assert sub.on("amp/status") == ["online"]
            assert live(publisher, log, b"3")
            wait_until(lambda: sub.on("amp/inference/event") == ["3"])
        assert [stored.id for stored in log.waiting()] == [2]


def test_replays_are_marked_and_what_was_dropped_has_its_own_topic(mosquitto: Mosquitto, log: FakeLog) -> None:
    with MosquittoSub(mosquitto.port, "amp/#") as sub, publishing(mosquitto.port, log) as publisher:
        up(publisher)
        assert publisher.replay(log.append(b'{"n":1,"replayed":false}'))
        assert publisher.replay(log.append(b'{"n":2,"replayed":false}', kind=DROPPED))
        wait_until(lambda: log.acknowledged_ids == [1, 2])
        wait_until(lambda: sub.on("amp/inference/dropped") == ['{"n":2,"replayed":false}'])
        assert sub.on("amp/inference/event") == ['{"n":1,"replayed":true}']
        assert sub.on("amp/inference") == [], "a bare label is of now, so it is never replayed"


def test_a_backlog_drains_fast_and_live_events_find_room(mosquitto: Mosquitto, log: FakeLog) -> None:
    payload = b'{"replayed":false,"filling":"' + b"x" * 1000 + b'"}'
    backlog = deque(log.append(payload) for _ in range(3000))
    more = threading.Event()
    with publishing(mosquitto.port, log) as publisher:
        publisher.on_change = more.set
        up(publisher)
        started_s = time.monotonic()
        while backlog:
            more.clear()
            while backlog and publisher.replay(backlog[0]):
                backlog.popleft()
                if len(backlog) % 1000 == 500:
                    assert live(publisher, log, b"live")
                assert publisher.in_flight <= IN_FLIGHT
            assert not backlog or more.wait(2)
        wait_until(lambda: len(log.acknowledged_ids) == 3003)
        assert time.monotonic() - started_s < 3


def test_a_killed_process_leaves_its_will(mosquitto: Mosquitto) -> None:
    code = (
        "import sys, time\n"
        "from ampedge.settings import MqttSection\n"
        "from ampedge.mqtt.publisher import Publisher\n"
        "from tests.support.receipts import FakeLog\n"
        "section = MqttSection(host='127.0.0.1', port=int(sys.argv[1]))\n"
        "publisher = Publisher(section, password=None, client_id='d', devices=['d'], receipts=FakeLog())\n"
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
    with MosquittoSub(mosquitto.port, "amp/status") as sub, publishing(mosquitto.port, FakeLog()) as publisher:
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
                with publishing(broker.port, FakeLog(), protocol=protocol, password=password, **given) as publisher:
                    wait_until(lambda p=publisher: p.problem is not None)
                    assert publisher.problem == f"The broker at 127.0.0.1:{broker.port} {said}"
                    assert not publisher.connected
        with publishing(broker.port, FakeLog(), password=SECRET, username="ann") as publisher:
            up(publisher)
            assert publisher.problem is None


def test_what_the_access_list_forbids_is_not_counted_as_delivered(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write amp/status/#\ntopic write amp/inference\n")
    broker = Mosquitto(tmp_path)
    broker.configure(f"acl_file {tmp_path / 'acl'}")
    log = FakeLog()
    with broker, publishing(broker.port, log) as publisher:
        up(publisher)
        live(publisher, log, b"{}")
        wait_until(lambda: log.returned_ids == [1])
        said = "The broker does not let this user publish to amp/inference/event."
        wait_until(lambda: publisher.problem == said)
        assert not publisher.healthy


def test_a_broker_that_refuses_version_5_gets_3_1_1() -> None:
    with (
        ScriptedBroker({5: b"\x20\x02\x00\x01", 4: b"\x20\x02\x00\x00"}) as broker,
        publishing(broker.port, FakeLog()) as pub,
    ):
        up(pub)
        assert broker.versions == [5, 4]


def test_a_broker_that_is_mute_to_version_5_gets_3_1_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.2)
    with ScriptedBroker({5: b"", 4: b"\x20\x02\x00\x00"}) as broker, publishing(broker.port, FakeLog()) as publisher:
        up(publisher)
        assert broker.versions == [5, 4]
        broker.hang_up()
        wait_until(lambda: len(broker.versions) == 3)
        assert broker.versions == [5, 4, 4], "the version that worked stays"


def test_a_configured_version_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.05)
    with (
        ScriptedBroker({5: b"", 4: b"\x20\x02\x00\x00"}) as broker,
        publishing(broker.port, FakeLog(), protocol="5") as pub,
    ):
        wait_until(lambda: len(broker.versions) == 3)
        assert broker.versions == [5, 5, 5]
        assert pub.problem == f"What answers at 127.0.0.1:{broker.port} does not answer an MQTT client."


def test_a_stranger_on_the_port_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.1)
    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with ScriptedBroker({5: answer, 4: answer}) as broker, publishing(broker.port, FakeLog()) as publisher:
        wait_until(lambda: len(broker.versions) > 3)
        assert publisher.problem is not None
        assert str(broker.port) in publisher.problem
        assert not publisher.connected


def test_a_broker_that_stops_acknowledging_never_blocks_and_bounds_what_waits(log: FakeLog) -> None:
    with ScriptedBroker({5: b"\x20\x03\x00\x00\x00"}) as broker:
        publisher = a_publisher(broker.port, log)
        publisher.start()
        up(publisher)
        started_s = time.monotonic()
        replayed = [publisher.replay(log.append(b"x" * 100_000)) for _ in range(20)]
        assert replayed == [True] * REPLAYS_IN_FLIGHT + [False] * (20 - REPLAYS_IN_FLIGHT)
        said = [live(publisher, log, b"x" * 100_000) for _ in range(100)]
        room = IN_FLIGHT - REPLAYS_IN_FLIGHT
        assert said == [True] * room + [False] * (100 - room)
        assert publisher.in_flight == IN_FLIGHT
        assert not publisher.replay(log.waiting()[0])
        publisher.stop(0.3)
        assert time.monotonic() - started_s < 2
        assert len(log.waiting()) == 120, "what was not acknowledged waits again"
        assert log.acknowledged_ids == []
        broker.read_on()
        wait_until(lambda: broker.ended)
        assert broker.tail != DISCONNECT, "so the broker sends the will"


def test_a_label_does_not_wait_for_the_room_that_its_event_needs(mosquitto: Mosquitto, log: FakeLog) -> None:
    with MosquittoSub(mosquitto.port, "amp/inference/#") as sub, publishing(mosquitto.port, log) as publisher:
        up(publisher)
        mosquitto.pause()
        said = [live(publisher, log, b"{}", label=f"label{n}") for n in range(25)]
        assert said == [True] * IN_FLIGHT + [False] * 5
        mosquitto.resume()
        wait_until(lambda: sub.on("amp/inference") == [f"label{n}" for n in range(25)])
        wait_until(lambda: len(log.acknowledged_ids) == IN_FLIGHT)
        assert len(log.waiting()) == 5


def test_what_was_not_acknowledged_waits_again(mosquitto: Mosquitto, log: FakeLog) -> None:
    changes: list[bool] = []
    with publishing(mosquitto.port, log) as publisher:
        publisher.on_change = lambda: changes.append(publisher.connected)
        up(publisher)
        mosquitto.pause()
        assert live(publisher, log, b"1")
        assert live(publisher, log, b"2")
        assert log.waiting() == []
        cut(publisher)
        wait_until(lambda: [stored.id for stored in log.waiting()] == [1, 2])
        mosquitto.resume()
        wait_until(lambda: changes[-1:] == [True] and False in changes, what="both changes to be told")
        wait_until(lambda: not [row for row in log.waiting() if not publisher.replay(row)], what="room for the replays")
        wait_until(lambda: log.acknowledged_ids == [1, 2])


def test_a_broker_that_hangs_is_noticed_and_the_last_word_is_online(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "_CHECK_S", 0.1)
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.2)
    with publishing(mosquitto.port, FakeLog()) as publisher:
        up(publisher)
        mosquitto.pause()
        wait_until(lambda: not publisher.connected, what="the silence to be noticed")
        wait_until(lambda: "does not answer" in (publisher.problem or ""), what="a vain attempt")
        mosquitto.resume()
        up(publisher)
        wait_until(lambda: not publisher._out)  # the wills of the cut connections came, and were taken back
        with MosquittoSub(mosquitto.port, "amp/status") as sub:
            wait_until(lambda: sub.on("amp/status")[-1:] == ["online"])


def cut(publisher: Publisher) -> None:
    client = publisher._connection.client
    assert client is not None
    sock = client.socket()
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RD)


def test_stop_before_start_and_twice_is_harmless(log: FakeLog) -> None:
    publisher = a_publisher(1, log)
    publisher.stop()
    publisher.stop()
