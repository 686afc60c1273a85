"""What brokers do to the service, against real ones that are killed, frozen, full of rules, or not alone."""

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.mqtt import client, connection, retries, suspects
from ampedge.mqtt.publisher import Publisher
from tests.faults.broker_kills import run
from tests.support.canary import CANARY
from tests.support.feeding import Feeding
from tests.support.mosquitto import Mosquitto, MosquittoSub
from tests.support.objecting_broker import ObjectingBroker
from tests.support.proxy import Proxy
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import wait_until

PROTOCOLS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
ACCEPTED = {5: b"\x20\x03\x00\x00\x00", 4: b"\x20\x02\x00\x00"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.05, 0.2))
    monkeypatch.setattr(retries, "QUIET_S", 0.5)
    monkeypatch.setattr(connection, "_CHECK_S", 0.05)


def up(feeding: Feeding) -> None:
    wait_until(lambda: feeding.publisher.connected, what=f"a connection ({feeding.publisher.problem})")


def says(publisher: Publisher, words: str) -> None:
    wait_until(lambda: words in (publisher.problem or ""), what=f"{words!r} ({publisher.problem})")


class TestGone:
    """Not there at the start, killed while events flow, frozen, or mute."""

    def test_down_at_the_start_nothing_is_lost_and_all_arrives_in_order(self, tmp_path: Path) -> None:
        broker = Mosquitto(tmp_path)
        with Feeding(broker.port, interval_s=0.001) as feeding:
            wait_until(lambda: len(feeding.log.rows) > 200)
            feeding.stop_producing()
            says(feeding.publisher, "nothing listens there")
            assert feeding.slowest_s < 0.5
            with broker:
                wait_until(feeding.log.settled)
                assert feeding.log.acknowledged_ids == sorted(feeding.log.rows)

    @PROTOCOLS
    def test_killed_again_and_again_nothing_is_lost_nor_given_up(self, tmp_path: Path, protocol: str) -> None:
        """Only what was not acknowledged is sent again: the log of this test insists on it."""
        outcome = run(tmp_path, kills=5, protocol=protocol)
        assert (outcome.rejected, outcome.unsettled, outcome.healthy) == (0, 0, True)
        assert outcome.slowest_s < 0.5, "publishing never waits for a broker"

    @pytest.mark.parametrize("busy", [True, False])
    def test_frozen_it_is_found_with_and_without_events(
        self, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, busy: bool
    ) -> None:
        """The system still takes what is sent, nobody answers: found by the oldest event, or by a ping."""
        monkeypatch.setattr(client, "KEEPALIVE_S", 60 if busy else 1)
        monkeypatch.setattr(connection, "UNACKNOWLEDGED_S", 0.5 if busy else 60.0)
        monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.2)
        with Feeding(mosquitto.port, interval_s=0.01 if busy else 3600) as feeding:
            up(feeding)
            wait_until(lambda: not busy or len(feeding.log.acknowledged_ids) > 10)
            mosquitto.pause()
            wait_until(lambda: not feeding.publisher.connected, what="the silence to be noticed")
            says(feeding.publisher, "does not answer an MQTT client")
            feeding.stop_producing()
            mosquitto.resume()
            wait_until(feeding.log.settled)
            up(feeding)
            assert feeding.publisher.healthy
            assert feeding.log.rejected_ids == {}

    def test_a_broker_that_acknowledges_nothing_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "UNACKNOWLEDGED_S", 0.3)
        with ScriptedBroker(ACCEPTED) as broker, Feeding(broker.port) as feeding:
            broker.read_on()
            says(feeding.publisher, "has acknowledged nothing for 0.3 s")
            wait_until(lambda: len(broker.versions) > 2, what="a new connection")
            assert feeding.log.rejected_ids == {}, "a broker that is slow is no proof against an event"

    def test_who_says_offline_again_and_again_is_contradicted_once_at_a_time(self) -> None:
        said = paho.MQTTMessage(topic=b"amp/status")
        said.payload = b"offline"
        with ScriptedBroker(ACCEPTED) as broker, Feeding(broker.port, interval_s=3600) as feeding:
            up(feeding)
            publisher = feeding.publisher
            with publisher._connection.lock:
                for acknowledged in range(3):
                    for _ in range(100):
                        publisher._heard(said)
                    waiting = [mid for mid, sent in publisher._out.items() if sent.topic == "amp/status"]
                    assert len(waiting) == 1, acknowledged
                    publisher._acknowledged(waiting[0], ReasonCode(PacketTypes.PUBACK))
                publisher._acknowledged(next(iter(publisher._out)), ReasonCode(PacketTypes.PUBACK))
                assert "amp/status" not in {sent.topic for sent in publisher._out.values()}

    def test_a_packet_without_end_is_not_gathered_in_memory(self) -> None:
        endless = b"\x30\xff\xff\xff\x7f"  # the beginning of a message of 256 MB
        with ScriptedBroker({5: ACCEPTED[5] + endless}) as broker, Feeding(broker.port):
            broker.read_on()
            wait_until(lambda: broker.ended, what="the end of the connection")

    @pytest.mark.parametrize(("wanted_s", "kept_s"), [(3600, 20), (0, 20), (5, 5)])
    def test_a_longer_keepalive_of_the_broker_s_hides_no_silence(self, wanted_s: int, kept_s: int) -> None:
        properties = Properties(PacketTypes.CONNACK)
        properties.ServerKeepAlive = wanted_s
        connecting = client.Client("ours", MQTTProtocolVersion.MQTTv5, None)
        connecting._keepalive = wanted_s  # as paho takes it over
        connecting.limit(properties)
        assert connecting.keepalive == kept_s

    def test_a_slow_broker_is_waited_for_without_holding_anything_up(self, mosquitto: Mosquitto) -> None:
        with Proxy(mosquitto.port) as proxy:
            proxy.both(latency_s=0.2)
            with Feeding(proxy.port, interval_s=0.005) as feeding:
                up(feeding)
                wait_until(lambda: len(feeding.log.acknowledged_ids) > 20)
                assert feeding.publisher.in_flight <= client.IN_FLIGHT
                assert feeding.slowest_s < 0.2, "what does not fit waits in the log, and nobody for the broker"
                proxy.heal()
                feeding.stop_producing()
                wait_until(feeding.log.settled, 20)
                assert proxy.connections == 1

    @pytest.mark.parametrize("reset", [True, False])
    def test_a_link_that_breaks_at_any_byte_loses_nothing(
        self, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, reset: bool
    ) -> None:
        monkeypatch.setattr(retries, "STEADY_S", 0.1)
        with Proxy(mosquitto.port) as proxy, Feeding(proxy.port, interval_s=0.002, size=500) as feeding:
            for cut_after in (10, 100, 4000):
                before = proxy.connections
                proxy.up.cut_after, proxy.up.reset = cut_after, reset
                proxy.close_all()
                wait_until(lambda b=before: proxy.connections > b + 1)
            proxy.heal()
            proxy.close_all()
            feeding.stop_producing()
            wait_until(feeding.log.settled)
            assert feeding.log.rejected_ids == {}

    def test_a_dead_resolver_holds_up_neither_start_nor_stop(
        self, monkeypatch: pytest.MonkeyPatch, mosquitto: Mosquitto
    ) -> None:
        monkeypatch.setattr(client, "LOOK_UP_S", 0.1)
        released = threading.Event()

        def dead(_host: str, flags: int = 0) -> list[Any]:
            if flags == 0:
                released.wait(10)
            raise OSError("no address")

        monkeypatch.setattr("ampedge.addresses._look_up", dead)
        try:
            with Feeding(mosquitto.port, host="broker.example") as feeding:
                says(feeding.publisher, "the look-up takes longer than 0.1 s")
        finally:
            released.set()


class TestRefused:
    """Users, access lists and sizes."""

    @PROTOCOLS
    def test_refused_credentials_are_said_at_each_attempt_and_mended_without_a_restart(
        self, tmp_path: Path, protocol: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        broker = Mosquitto(tmp_path, users={"ann": "another"})
        with broker, Feeding(broker.port, protocol=protocol, username="ann", password=CANARY) as feeding:
            says(feeding.publisher, "refuses the user name or the password")
            assert not feeding.publisher.healthy
            wait_until(lambda: broker.log().count("not authori") >= 3, what="further attempts")
            said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
            assert len(said) >= 2  # and the log counts them
            assert set(said) == {f"The broker at 127.0.0.1:{broker.port} refuses the user name or the password."}
            broker.give_passwords({"ann": CANARY})
            broker.reload()
            wait_until(lambda: feeding.publisher.connected)
            feeding.stop_producing()
            wait_until(feeding.log.settled)
            assert feeding.publisher.healthy

    def test_a_topic_that_may_not_be_written_keeps_its_events(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MQTT 5 tells; one event is tried now and then, until the access list is right."""
        monkeypatch.setattr("ampedge.mqtt.refusals.RETRY_S", 0.3)
        monkeypatch.setattr(suspects, "RETRY_S", 0.3)
        acl = tmp_path / "acl"
        acl.write_text("topic readwrite amp/status/#\ntopic write amp/inference\n")
        broker = Mosquitto(tmp_path)
        broker.configure(f"acl_file {acl}", "log_type all")
        with broker, Feeding(broker.port) as feeding:
            says(feeding.publisher, "The broker does not let this user publish to amp/inference/event.")
            assert not feeding.publisher.healthy
            wait_until(lambda: broker.log().count("Denied PUBLISH") >= 3)
            denied, rows = broker.log().count("Denied PUBLISH"), len(feeding.log.rows)
            wait_until(lambda: len(feeding.log.rows) > rows + 30)
            assert broker.log().count("Denied PUBLISH") <= denied + 3, "thirty events, one try in 0.3 s"
            assert feeding.log.acknowledged_ids == []
            acl.write_text("topic readwrite amp/#\n")
            broker.reload()
            feeding.stop_producing()
            wait_until(feeding.log.settled)
            assert feeding.log.rejected_ids == {}
            says_nothing(feeding.publisher)

    def test_what_waits_for_a_forbidden_topic_does_not_hold_up_what_waits_behind_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ampedge.mqtt.refusals.RETRY_S", 0.3)
        monkeypatch.setattr(suspects, "RETRY_S", 0.3)
        acl = tmp_path / "acl"
        acl.write_text("topic readwrite ampedge/#\ntopic write free/#\n")
        broker = Mosquitto(tmp_path)
        broker.configure(f"acl_file {acl}")
        sizes = {"barred": 0, "free": 0}
        with Feeding(broker.port, interval_s=0.002, sizes=sizes, topic="{device}/label", protocol="5") as feeding:
            log = feeding.log
            wait_until(lambda: len(log.rows) > 400)
            feeding.stop_producing()
            free = {row.id for row in log.rows.values() if row.device == "free"}
            with broker:
                wait_until(lambda: set(log.acknowledged_ids) == free)
                says(feeding.publisher, "barred/label/event")  # why, not every broker says before it hangs up
                acl.write_text("topic readwrite #\n")
                broker.reload()
                wait_until(log.settled)
                assert log.rejected_ids == {}
                says_nothing(feeding.publisher)

    def test_a_topic_of_the_status_that_may_not_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "acl").write_text("topic write amp/inference/#\ntopic write amp/inference\n")
        broker = Mosquitto(tmp_path)
        broker.configure(f"acl_file {tmp_path / 'acl'}")
        with broker, Feeding(broker.port) as feeding:
            says(feeding.publisher, "The broker does not let this user publish to amp/status.")
            assert not feeding.publisher.healthy

    def test_what_is_larger_than_the_broker_says_is_rejected_and_told(self, tmp_path: Path) -> None:
        broker = Mosquitto(tmp_path)
        broker.configure("max_packet_size 300")
        with broker, Feeding(broker.port, interval_s=3600, protocol="5") as feeding:
            up(feeding)
            sizes = range(260, 280)
            for size in sizes:
                stored = feeding.log.append(b"x" * size, live=True)
                assert feeding.publisher.publish("amp1", "healthy", stored.payload, stored.id)
            wait_until(feeding.log.settled)
            taken = [len(feeding.log.rows[row_id].payload) for row_id in feeding.log.acknowledged_ids]
            assert taken == list(range(260, 274)), "27 bytes are the topic and what MQTT adds"
            assert set(feeding.log.rejected_ids.values()) == {"too_large"}
            assert broker.log().count("New client connected") == 1, "the limit is kept to the byte"
            says(feeding.publisher, "The broker takes 300 bytes")

    def test_an_event_that_makes_the_broker_hang_up_is_given_up_and_the_others_pass(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """3.1.1 cannot refuse a message but by ending the connection."""
        monkeypatch.setattr(retries, "STEADY_S", 0.7)
        broker = Mosquitto(tmp_path)
        broker.configure("max_packet_size 400")
        with broker, Feeding(broker.port, interval_s=0.02, protocol="3.1.1") as feeding:
            up(feeding)
            bad = feeding.log.append(b"x" * 1000)
            wait_until(lambda: feeding.log.rejected_ids, 20)
            feeding.stop_producing()
            wait_until(feeding.log.settled)
            assert feeding.log.rejected_ids == {bad.id: "refused_by_broker"}
            says_nothing(feeding.publisher)
            assert broker.log().count("New client connected") <= 8

    def test_a_stream_that_the_broker_cuts_off_does_not_hold_up_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each event of one device is too large for it, and a new one comes long before one could be given up."""
        monkeypatch.setattr(retries, "STEADY_S", 0.7)
        monkeypatch.setattr(suspects, "RETRY_S", 1.0)
        broker = Mosquitto(tmp_path)
        broker.configure("max_packet_size 400")
        sizes = {"small": 0, "large": 1000}
        with (
            broker,
            Feeding(broker.port, interval_s=0.05, sizes=sizes, topic="{device}/label", protocol="3.1.1") as feeding,
        ):
            log = feeding.log
            says(feeding.publisher, "bytes or more for large/label/event")
            assert not feeding.publisher.healthy
            wait_until(lambda: len(log.rejected_ids) == 2, 20)
            produced = [row.id for row in list(log.rows.values()) if row.device == "small"]
            wait_until(lambda: not set(produced) - set(log.acknowledged_ids), what="all of the other device's events")
            assert {log.rows[row_id].device for row_id in log.rejected_ids} == {"large"}
            assert {log.rows[row_id].device for row_id in log.acknowledged_ids} == {"small"}
            assert broker.log().count("New client connected") <= 15, "one connection is given for each try alone"
            broker.stop(signal.SIGTERM)
            broker.configure("max_packet_size 3000")
            broker.start()
            feeding.stop_producing()
            wait_until(log.settled, 20)
            says_nothing(feeding.publisher)
            assert set(log.rejected_ids.values()) == {"refused_by_broker"}
            assert len(log.rejected_ids) <= 3, "whatever was held until then has arrived"

    def test_a_broker_that_ends_the_connection_over_the_subscription_gets_none(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It only serves to take back a late will; and nobody else has our client id."""
        with ObjectingBroker() as broker, Feeding(broker.port, interval_s=0.02, protocol="3.1.1") as feeding:
            wait_until(lambda: len(feeding.log.acknowledged_ids) > 50, what="events to get through")
            assert broker.connections == 4
            said = [record.getMessage() for record in caplog.records]
            assert len(said) == 1
            assert said[0].startswith("The broker ends the connection when this user reads amp/status")
            feeding.stop_producing()
            wait_until(feeding.log.settled)
            assert feeding.log.rejected_ids == {}
            says_nothing(feeding.publisher)

    def test_where_no_event_passes_none_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not the event then, it is the broker: everything waits until that is mended."""
        monkeypatch.setattr(retries, "STEADY_S", 0.05)
        monkeypatch.setattr(retries, "QUIET_S", 0.05)
        monkeypatch.setattr(suspects, "RETRY_S", 0.1)
        monkeypatch.setattr(retries, "MINUTE_S", 0.5)  # so that it is tried at once much more often than in the field
        broker = Mosquitto(tmp_path)
        broker.configure("max_packet_size 300")
        with broker, Feeding(broker.port, interval_s=0.05, size=500, protocol="3.1.1") as feeding:
            wait_until(lambda: broker.log().count("New client connected") > 12)
            assert not feeding.publisher.healthy
            assert feeding.log.acknowledged_ids == []
            assert feeding.log.rejected_ids == {}
            feeding.stop_producing()
            broker.stop(signal.SIGTERM)
            broker.configure("max_packet_size 3000")
            broker.start()
            feeding.publisher.on_change()
            wait_until(feeding.log.settled, 20)
            assert feeding.log.rejected_ids == {}


def says_nothing(publisher: Publisher) -> None:
    wait_until(lambda: publisher.problem is None, what=f"all to be well ({publisher.problem})")
    assert publisher.healthy


class Stranger:
    """A client of another make that connects again `pause_s` after each loss."""

    def __init__(self, port: int, client_id: str, *, pause_s: float) -> None:
        self.connected = False
        self._pause_s = pause_s
        self._port = port
        self._closing = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._closing.wait(self._pause_s):
            self._client.connect("127.0.0.1", self._port)
            while not self._closing.is_set() and self._client.loop(0.05) == paho.MQTT_ERR_SUCCESS:
                self.connected = self._client.is_connected()
            self.connected = False
        self._client.disconnect()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()


class TestTwoWithOneId:
    """Each connects, which ends the other's connection."""

    @PROTOCOLS
    def test_the_quarrel_ends_and_the_id_is_named(
        self, mosquitto: Mosquitto, protocol: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retries, "CONTESTED_S", 3600.0)
        with (
            Feeding(mosquitto.port, interval_s=0.2, client_id="twin", protocol=protocol) as one,
            Feeding(mosquitto.port, interval_s=0.2, client_id="twin", protocol=protocol) as other,
        ):
            both = (one, other)
            wait_until(lambda: any(not feeding.publisher.healthy for feeding in both), 20)
            loser, winner = sorted(both, key=lambda feeding: feeding.publisher.healthy)
            says(loser.publisher, "Another client uses the client id twin")
            wait_until(lambda: winner.publisher.connected)
            before = mosquitto.log().count("New client connected")
            taken = len(winner.log.acknowledged_ids)
            wait_until(lambda: len(winner.log.acknowledged_ids) > taken + 3, what="the other to work on")
            assert mosquitto.log().count("New client connected") == before, "there is peace"
            assert not loser.publisher.connected
            assert loser.log.rejected_ids == winner.log.rejected_ids == {}

    @PROTOCOLS
    def test_the_loser_comes_back_after_a_while(
        self, mosquitto: Mosquitto, protocol: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retries, "CONTESTED_S", 0.5)
        with (
            Feeding(mosquitto.port, interval_s=0.2, client_id="twin", protocol=protocol) as one,
            Feeding(mosquitto.port, interval_s=0.2, client_id="twin", protocol=protocol) as other,
        ):
            wait_until(lambda: not (one.publisher.healthy and other.publisher.healthy), 20)
            loser, winner = (other, one) if one.publisher.healthy else (one, other)
            winner.stop_producing()
            winner.publisher.stop()
            loser.stop_producing()
            wait_until(loser.log.settled)
            says_nothing(loser.publisher)

    @PROTOCOLS
    def test_a_stranger_with_our_id_is_found_while_events_are_always_on_their_way(
        self, mosquitto: Mosquitto, protocol: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is on its way could be why the broker closes; only a connection that says nothing tells them apart."""
        monkeypatch.setattr(retries, "CONTESTED_S", 3600.0)
        with (
            Stranger(mosquitto.port, "twin", pause_s=0.3) as stranger,
            Feeding(mosquitto.port, interval_s=0.0005, client_id="twin", protocol=protocol) as feeding,
        ):
            says(feeding.publisher, "Another client uses the client id twin")
            wait_until(lambda: stranger.connected)
            before = mosquitto.log().count("New client connected")
            wait_until(lambda: len(feeding.log.rows) > 100)
            assert mosquitto.log().count("New client connected") == before, "there is peace"
            assert feeding.log.rejected_ids == {}

    @PROTOCOLS
    def test_a_broker_that_is_restarted_is_no_quarrel(self, mosquitto: Mosquitto, protocol: str) -> None:
        with Feeding(mosquitto.port, interval_s=3600, protocol=protocol) as feeding:
            for number in (signal.SIGTERM, signal.SIGKILL) * 2:
                up(feeding)
                mosquitto.stop(number)
                wait_until(lambda: not feeding.publisher.connected)
                wait_until(lambda: "nothing listens" in (feeding.publisher.problem or ""))
                mosquitto.start()
            up(feeding)
            says_nothing(feeding.publisher)


class _Bug(Exception):
    pass


class TestBugs:
    """An exception where none is expected never leaves a dead thread behind a connection that seems to stand."""

    def raising_once(self, real: Callable[..., Any]) -> tuple[Callable[..., Any], list[bool]]:
        raised: list[bool] = []

        def call(*arguments: Any, **named: Any) -> Any:
            if not raised:
                raised.append(True)
                raise _Bug("on purpose")
            return real(*arguments, **named)

        return call, raised

    @pytest.mark.parametrize(
        "place", ["up", "down", "message", "acknowledged", "subscribed", "turn", "turned", "oldest_s", "unexplained"]
    )
    def test_in_each_callback(
        self, mosquitto: Mosquitto, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Feeding(mosquitto.port, interval_s=0.005) as feeding:
            up(feeding)
            wait_until(lambda: feeding.log.acknowledged_ids)
            hooks = feeding.publisher._connection._hooks
            call, raised = self.raising_once(getattr(hooks, place))
            object.__setattr__(hooks, place, call)
            if place in ("up", "down", "subscribed", "unexplained"):
                mosquitto.stop()
                mosquitto.start()
            if place == "message":
                mosquitto.publish("amp/status", "offline", retain=True)
            self.goes_on(feeding, raised, caplog)

    @pytest.mark.parametrize("place", ["acknowledged", "returned"])
    def test_in_the_log(
        self, mosquitto: Mosquitto, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Feeding(mosquitto.port, interval_s=0.005) as feeding:
            up(feeding)
            wait_until(lambda: feeding.log.acknowledged_ids)
            call, raised = self.raising_once(getattr(feeding.log, place))
            monkeypatch.setattr(feeding.log, place, call)
            if place == "returned":
                mosquitto.pause()
                wait_until(lambda: feeding.publisher.in_flight == client.IN_FLIGHT)
                mosquitto.stop()
                mosquitto.start()
            self.goes_on(feeding, raised, caplog)

    @pytest.mark.parametrize("place", ["loop_read", "loop_misc", "loop_write", "publish", "open"])
    def test_in_the_library(
        self, mosquitto: Mosquitto, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        call, raised = self.raising_once(getattr(client.Client, place))
        monkeypatch.setattr(client.Client, place, call)
        with Feeding(mosquitto.port, interval_s=0.005) as feeding:
            self.goes_on(feeding, raised, caplog)

    def goes_on(self, feeding: Feeding, raised: list[bool], caplog: pytest.LogCaptureFixture) -> None:
        """It is said, and everything arrives over a connection made anew."""
        wait_until(lambda: raised, what="the bug to be met")
        feeding.stop_producing()
        wait_until(feeding.log.settled)
        up(feeding)
        assert feeding.publisher.alive
        assert feeding.log.rejected_ids == {}
        wait_until(lambda: "on purpose" in caplog.text)

    def test_one_that_never_ends_is_said_once_and_leaves_the_thread_alive(
        self, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Feeding(mosquitto.port) as feeding:

            def always(*_: object) -> None:
                raise _Bug("on purpose")

            up(feeding)
            object.__setattr__(feeding.publisher._connection._hooks, "up", always)
            before = mosquitto.log().count("New client connected")
            mosquitto.stop()
            mosquitto.start()
            wait_until(lambda: mosquitto.log().count("New client connected") > before + 3)
            assert feeding.publisher.alive
            assert sum("after an unexpected error" in record.getMessage() for record in caplog.records) == 1
            progress_s = feeding.publisher.progress_s
            wait_until(lambda: feeding.publisher.progress_s > progress_s)


def test_label_and_event_of_every_event_reach_a_reader(mosquitto: Mosquitto) -> None:
    """The reader's side of the same traffic, so that acknowledgements are not all there is."""
    with MosquittoSub(mosquitto.port, "amp/inference/#") as sub, Feeding(mosquitto.port) as feeding:
        wait_until(lambda: len(feeding.log.acknowledged_ids) > 50)
        feeding.stop_producing()
        wait_until(feeding.log.settled)
        wait_until(lambda: len(sub.on("amp/inference/event")) == len(feeding.log.rows))
        live = len([payload for payload in sub.on("amp/inference/event") if '"replayed":false' in payload])
        assert len(sub.on("amp/inference")) >= live
