"""examples/mosquitto: the very files, in a real Mosquitto, let in whom they should."""

import getpass
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.cli import run_cli
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.parts import needed
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

EXAMPLE = Path(__file__).parents[1] / "examples" / "mosquitto"
README = EXAMPLE / "README.md"
PASSWORDS = {"ampedge": "canary-edge", "monitor": "canary-look"}
DEBIAN = """\
pid_file {place}/mosquitto.pid
persistence true
persistence_location {place}/
log_dest file {place}/mosquitto.log
user {user}
include_dir {place}/conf.d
"""


class Installed(Mosquitto):
    """Mosquitto as Debian starts it, with the example in its `conf.d`; other paths and ports, nothing else."""

    def __init__(self, place: Path, *, tls: bool = False) -> None:
        super().__init__(place)
        config = (EXAMPLE / "mosquitto.conf").read_text().replace("/etc/mosquitto", str(place))
        if tls:
            config = re.sub(r"^listener 1883", "# listener 1883", config, flags=re.MULTILINE)
            config = re.sub(r"^# (listener 8883|cafile|certfile|keyfile)", r"\1", config, flags=re.MULTILINE)
            self.port = free_port()
        changed = re.subn(r"^listener \d+", f"listener {self.port} {self.host}", config, flags=re.MULTILINE)
        assert changed[1] == 1
        (place / "conf.d").mkdir()
        (place / "conf.d" / "ampedge.conf").write_text(changed[0])
        (place / "ampedge.acl").write_bytes((EXAMPLE / "ampedge.acl").read_bytes())
        (place / "ampedge.passwd").touch()
        for user, password in PASSWORDS.items():
            words = [needed("mosquitto_passwd"), "-b", place / "ampedge.passwd", user, password]
            subprocess.run(words, check=True, timeout=10)
        self._lines = DEBIAN.format(place=place, user=getpass.getuser()).splitlines()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with Installed(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


class Visitor:
    """A client of MQTT 5, which is told why it is refused."""

    def __init__(
        self, broker: Mosquitto, user: str | None, password: str | None = None, ca: Path | None = None
    ) -> None:
        self.received: list[tuple[str, str]] = []
        self.connected: list[ReasonCode] = []
        self.answers: dict[int, ReasonCode] = {}
        self.granted: list[ReasonCode] = []
        version = MQTTProtocolVersion.MQTTv5
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=version, reconnect_on_failure=False)
        self.client.on_connect = lambda c, u, f, reason, p: self.connected.append(reason)
        self.client.on_publish = lambda c, u, number, reason, p: self.answers.update({number: reason})
        self.client.on_subscribe = lambda c, u, number, reasons, p: self.granted.extend(reasons)
        self.client.on_message = self._take
        if user is not None:
            self.client.username_pw_set(user, PASSWORDS[user] if password is None else password)
        if ca is not None:
            self.client.tls_set(str(ca))
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        wait_until(lambda: self.connected, what="the broker's answer")

    def _take(self, client: Client, data: object, message: MQTTMessage) -> None:
        self.received.append((message.topic, message.payload.decode()))

    def publish(self, topic: str, payload: str) -> str:
        """What the broker says to a message of QoS 1."""
        number = self.client.publish(topic, payload, qos=1).mid
        wait_until(lambda: number in self.answers, what="the acknowledgement")
        return str(self.answers[number])

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        wait_until(lambda: self.granted, what="the subscription")

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(broker: Installed) -> Iterator[Visit]:
    with ExitStack() as stack:

        def visit(user: str | None, password: str | None = None) -> Visitor:
            visitor = Visitor(broker, user, password)
            stack.callback(visitor.leave)
            return visitor

        yield visit


def test_nobody_gets_in_without_a_password(visit: Visit) -> None:
    assert str(visit(None).connected[0]) == "Not authorized"
    assert str(visit("ampedge", "wrong").connected[0]) == "Not authorized"
    assert str(visit("ampedge").connected[0]) == "Success"


@pytest.mark.parametrize("topic", ["amp/inference", "amp/inference/event", "amp/pump/inference/dropped", "amp/status"])
def test_the_service_writes_its_own_topics_and_the_monitor_reads_them(visit: Visit, topic: str) -> None:
    monitor, service = visit("monitor"), visit("ampedge")
    monitor.subscribe("amp/#")
    assert service.publish(topic, "x") == "Success"
    wait_until(lambda: (topic, "x") in monitor.received, what="the message")


def test_the_service_reads_its_own_status_and_nothing_else(visit: Visit) -> None:
    service = visit("ampedge")
    service.subscribe("amp/#")
    service.publish("amp/status/pump", "online")
    service.publish("amp/status", "online")
    wait_until(lambda: service.received, what="its status")
    assert service.received == [("amp/status", "online")]


def test_a_topic_of_somebody_else_is_refused(visit: Visit) -> None:
    service = visit("ampedge")
    for topic in ("other/inference", "amp2/inference", "inference", "$SYS/x"):
        assert service.publish(topic, "x") == "Not authorized"


def test_the_monitor_only_reads(visit: Visit) -> None:
    monitor, service = visit("monitor"), visit("ampedge")
    monitor.subscribe("#")
    for topic in ("amp/inference", "amp/status", "other"):
        assert monitor.publish(topic, "forged") == "Not authorized"
    service.publish("amp/inference", "real")
    wait_until(lambda: ("amp/inference", "real") in monitor.received, what="the message")
    assert not [payload for _, payload in monitor.received if payload == "forged"]


def test_serve_and_monitor_work_with_it(broker: Installed, tmp_path: Path) -> None:
    def env(user: str) -> dict[str, str]:
        return {"AMPEDGE_MQTT__USERNAME": user, "AMPEDGE_MQTT__PASSWORD": PASSWORDS[user]}

    with Serve(tmp_path, broker=broker.port, env=env("ampedge")) as serve:
        serve.write(*GOLDEN)
        watching = ("monitor", "--broker", f"127.0.0.1:{broker.port}", "--once", "--timeout", 20)
        seen = run_cli(*watching, env=env("monitor"), cwd=tmp_path)
        assert seen.returncode == 0, seen.stderr
        assert seen.stdout.startswith("[INFERENCE] ")
        assert serve.stop() == 0


def test_what_is_retained_outlives_a_clean_stop(tmp_path: Path) -> None:
    with Installed(tmp_path) as broker:
        service = Visitor(broker, "ampedge")
        service.client.publish("amp/status", "online", qos=1, retain=True).wait_for_publish(10)
        service.leave()
        broker.stop(15)
        broker.start()
        monitor = Visitor(broker, "monitor")
        monitor.subscribe("amp/#")
        wait_until(lambda: monitor.received == [("amp/status", "online")], what="the retained status")
        monitor.leave()


def test_its_tls_lines_and_the_commands_for_certificates_work(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    commands = re.findall(r"^openssl (?:.*\\\n)*.*$", README.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        told = command.replace("raspberrypi.local", "localhost").replace("192.168.1.75", "127.0.0.1")
        subprocess.run(told, shell=True, cwd=tmp_path / "certs", check=True, capture_output=True, timeout=30)
    certificates = [tmp_path / "certs" / f"ampedge-{name}.crt" for name in ("ca", "broker")]
    strict = [needed("openssl"), "verify", "-x509_strict", "-CAfile", *certificates]
    subprocess.run(strict, check=True, capture_output=True, timeout=30)
    with Installed(tmp_path, tls=True) as broker:
        visitor = Visitor(broker, "ampedge", ca=certificates[0])
        assert str(visitor.connected[0]) == "Success"
        assert visitor.publish("amp/inference", "x") == "No matching subscribers"
        visitor.leave()
