"""`ampedge serve` end to end: real sockets, Mosquitto, mbpoll, mosquitto_sub."""

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyModbusTCP.client import ModbusClient

from ampedge.datamap import laid_out
from ampedge.modbus.slave import EmbeddedSlave
from tests.support.bundles import tiny_bundle, tiny_row
from tests.support.canary import CANARY
from tests.support.cli import command, environment, run_cli
from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, MosquittoSub, free_port
from tests.support.parts import needed
from tests.support.serving import GOLDEN, GOLDEN_WORDS, Serve
from tests.support.waiting import wait_until


def events(subscriber: MosquittoSub, topic: str = "amp/inference") -> list[dict[str, Any]]:
    """Every event so far, each checked against the published schema."""
    return [valid_event(payload) for payload in subscriber.on(f"{topic}/event")]


def wait_for_label(subscriber: MosquittoSub, label: str, after: int = 0) -> dict[str, Any]:
    """The first event with that label behind the first `after` ones."""

    def found() -> list[dict[str, Any]]:
        return [event for event in events(subscriber)[after:] if event["label"] == label]

    wait_until(found, what=f"an event with label {label}")
    return found()[0]


def mbpoll(port: int, *words: int, start: int = 0) -> None:
    """Write registers with mbpoll, as a person at a workstation does."""
    arguments = [needed("mbpoll"), "-0", "-m", "tcp", "-p", str(port), "-a", "1", "-r", str(start), "-t", "4"]
    subprocess.run([*arguments, "127.0.0.1", *map(str, words)], check=True, capture_output=True, timeout=20)


def test_a_row_written_by_mbpoll_comes_out_as_label_and_event(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, broker=mosquitto.port) as serve:
        wait_for_label(sub, "unknown")
        mbpoll(serve.port, *GOLDEN_WORDS, 0, 0)  # QModMaster writes twelve registers, too
        event = wait_for_label(sub, "healthy")
        assert event["class"] == "healthy"
        assert event["quality"] == "good"
        assert event["values"]["plate_voltage"] == {
            "value": 427.33551025390625,
            "unit": "V",
            "quality": "good",
            "reason": None,
        }
        assert math.isclose(sum(event["probabilities"].values()), 1, rel_tol=1e-6)
        assert max(event["probabilities"], key=event["probabilities"].__getitem__) == "healthy"
        wait_until(lambda: "healthy" in sub.on("amp/inference"), what="the bare label")
        assert sub.on("amp/status") == ["online"]
        assert sub.on("amp/status/device") == ["online"]
        begun_s = time.monotonic()
        assert serve.stop() == 0
        assert time.monotonic() - begun_s < 2
        wait_until(lambda: sub.on("amp/status")[-1] == "offline", what="offline")
        assert sub.on("amp/status/device")[-1] == "offline"
        found = events(sub)
        assert [event["sequence"] for event in found] == list(range(len(found)))
        assert len({event["boot"] for event in found}) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_end_it_cleanly(tmp_path: Path, number: int) -> None:
    with Serve(tmp_path, ready="Reading") as serve:
        assert serve.stop(number) == 0
        assert "Stopped after" in serve.log


def test_a_killed_service_leaves_offline_behind(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with MosquittoSub(mosquitto.port, "amp/status") as sub, Serve(tmp_path, broker=mosquitto.port) as serve:
        wait_until(lambda: sub.on("amp/status") == ["online"], what="online")
        serve.stop(signal.SIGKILL)
        wait_until(lambda: sub.on("amp/status")[-1] == "offline", what="the will")
    with MosquittoSub(mosquitto.port, "amp/status") as late:
        wait_until(lambda: late.on("amp/status") == ["offline"], what="the retained will")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((math.nan, *GOLDEN[1:]), "plate_voltage: not_a_number"),
        ((math.inf, *GOLDEN[1:]), "plate_voltage: infinite"),
        ((1e-40, *GOLDEN[1:]), "plate_voltage: denormal"),
        ((950.0, *GOLDEN[1:]), "plate_voltage: out_of_range"),
        ((0.0, 0.0, 0.0, 0.0, 0.0), "never_written"),
    ],
)
def test_what_no_sensor_can_mean_is_never_a_class(
    tmp_path: Path, mosquitto: Mosquitto, values: tuple[float, ...], reason: str
) -> None:
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, broker=mosquitto.port) as serve:
        serve.write(*GOLDEN)
        wait_for_label(sub, "healthy")
        before = len(events(sub))
        serve.write(*values)
        event = wait_for_label(sub, "unknown", after=before)
        assert event["reasons"] == [reason]
        assert event["quality"] == "bad"
        assert event["class"] is None
        assert event["confidence"] is None


def test_far_outside_training_is_unknown_though_the_model_has_an_opinion(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, broker=mosquitto.port) as serve:
        serve.write(700.0, *GOLDEN[1:])
        wait_until(lambda: any(event["class"] for event in events(sub)), what="an event with a class")
        event = next(event for event in events(sub) if event["class"])
        assert event["label"] == "unknown"
        assert event["quality"] == "uncertain"
        assert event["reasons"] == ["plate_voltage: outside_training"]


def test_an_external_slave_is_polled_at_the_interval(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with hosted_slave() as slave, MosquittoSub(mosquitto.port, "amp/#") as sub:
        options = ("--interval", "0.1", "--slave", "external")
        with Serve(tmp_path, *options, broker=mosquitto.port, port=slave.port) as serve:
            ModbusClient("127.0.0.1", slave.port).write_multiple_registers(0, list(GOLDEN_WORDS))
            wait_for_label(sub, "healthy")
            wait_until(lambda: len(events(sub)) >= 12, what="twelve events")
            times = [event["time"] for event in events(sub)[-11:]]
            seconds = [float(time[17:-1]) for time in times]
            assert (seconds[-1] - seconds[0]) % 60 == pytest.approx(1.0, abs=0.1)
            assert "Polling the slave" in serve.log
            assert events(sub)[-1]["interval_s"] == 0.1


def test_auto_says_that_it_polls_what_already_answers(tmp_path: Path) -> None:
    with hosted_slave() as slave, Serve(tmp_path, port=slave.port, ready="Reading") as serve:
        assert "Polling the slave that already answers" in serve.log


def test_auto_says_that_it_hosts_the_slave_itself(tmp_path: Path) -> None:
    with Serve(tmp_path, ready="Reading") as serve:
        assert "Hosting the slave" in serve.log
        assert ModbusClient("127.0.0.1", serve.port).read_holding_registers(0, 10) == [0] * 10


def test_external_never_hosts(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, "--slave", "external", broker=mosquitto.port) as serve,
    ):
        event = wait_for_label(sub, "unknown")
        assert event["reasons"] == ["no_communication"]
        assert sub.on("amp/status/device") == ["offline"]
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", serve.port)) != 0
        with hosted_slave(serve.port) as slave:
            ModbusClient("127.0.0.1", slave.port).write_multiple_registers(0, list(GOLDEN_WORDS))
            wait_for_label(sub, "healthy")
            wait_until(lambda: sub.on("amp/status/device")[-1] == "online", what="the device to be online")
        wait_until(lambda: sub.on("amp/status/device")[-1] == "offline", what="the device to be offline")


def test_a_dead_device_is_told_again_at_every_heartbeat(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = tmp_path / "site.toml"
    config.write_text('device = "pump"\n[mqtt]\nheartbeat_s = 0.3\n')
    options = ("--slave", "external", "--config", config)
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, *options, broker=mosquitto.port):
        wait_until(lambda: len(events(sub)) >= 4, what="four events")
        assert {event["label"] for event in events(sub)} == {"unknown"}
        assert {event["device"] for event in events(sub)} == {"pump"}
        assert sub.on("amp/status/pump") == ["offline"]


def test_a_write_is_answered_at_once_and_settle_ms_is_its_measure(tmp_path: Path, mosquitto: Mosquitto) -> None:
    for settle_ms in (20, 400):
        options = ("--interval", "30", "--settle-ms", settle_ms)
        with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, *options, broker=mosquitto.port) as serve:
            wait_for_label(sub, "unknown")
            begun_s = time.monotonic()
            serve.write(*GOLDEN)
            wait_for_label(sub, "healthy")
            assert settle_ms / 1000 <= time.monotonic() - begun_s < settle_ms / 1000 + 1


def test_a_row_written_in_pieces_is_not_read_half_written(tmp_path: Path, mosquitto: Mosquitto) -> None:
    options = ("--interval", "2", "--settle-ms", "200")
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, *options, broker=mosquitto.port) as serve:
        wait_for_label(sub, "unknown")
        master = ModbusClient("127.0.0.1", serve.port)
        for address, word in enumerate(GOLDEN_WORDS):
            assert master.write_single_register(address, word)
        master.close()
        wait_for_label(sub, "healthy")
        found = {event["values"]["plate_voltage"]["value"] for event in events(sub) if event["values"]}
        impedances = {event["values"]["impedance"]["value"] for event in events(sub)}
        assert found == {None, 427.33551025390625}
        assert impedances == {None, 7.502194881439209}


def test_without_a_broker_it_says_so_once_and_goes_on(tmp_path: Path) -> None:
    dead = free_port()
    with Serve(tmp_path, "--interval", "0.1", broker=dead, ready="No MQTT broker") as serve:
        assert "apt install mosquitto" in serve.log
        assert "--broker embedded" in serve.log
        serve.write(*GOLDEN)
        wait_until(lambda: "healthy" in serve.log, what="the label in the log")
        assert serve.log.count("No MQTT broker") == 1
        begun_s = time.monotonic()
        assert serve.stop() == 0
        assert time.monotonic() - begun_s < 2


def test_a_broker_that_comes_late_gets_labels(tmp_path: Path, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    with Serve(tmp_path, "--interval", "0.2", broker=mosquitto.port, ready="No MQTT broker") as serve:
        mosquitto.start()
        with MosquittoSub(mosquitto.port, "amp/#") as sub:
            wait_for_label(sub, "unknown")
        wait_until(lambda: "Publishing" in serve.log, what="the log to say so")


def test_the_embedded_broker_serves_labels(tmp_path: Path) -> None:
    port = free_port()
    with Serve(tmp_path, "--broker", f"embedded:{port}") as serve:
        with MosquittoSub(port, "amp/#") as sub:
            wait_until(lambda: sub.on("amp/status") == ["online"], what="online")
            serve.write(*GOLDEN)
            wait_for_label(sub, "healthy")
        assert serve.stop() == 0


def test_topic_device_and_status_topic_are_as_configured(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = tmp_path / "site.toml"
    config.write_text('device = "pump 3"\n[mqtt]\nstatus_topic = "plant/health"\nclient_id = "site-7"\n')
    options = ("--config", config, "--topic", "plant/label")
    with MosquittoSub(mosquitto.port, "plant/#") as sub, Serve(tmp_path, *options, broker=mosquitto.port) as serve:
        serve.write(*GOLDEN)
        wait_until(lambda: "healthy" in sub.on("plant/label"), what="the label")
        assert sub.on("plant/health") == ["online"]
        assert sub.on("plant/health/pump 3") == ["online"]
        assert events(sub, "plant/label")[-1]["device"] == "pump 3"
    assert "as site-7" in mosquitto.log()


@pytest.mark.parametrize(("protocol", "shown"), [("auto", "p5"), ("5", "p5"), ("3.1.1", "p2")])
def test_the_protocol_version_is_as_configured(tmp_path: Path, mosquitto: Mosquitto, protocol: str, shown: str) -> None:
    env = {"AMPEDGE_MQTT__PROTOCOL": protocol, "AMPEDGE_MQTT__CLIENT_ID": "versioned"}
    with Serve(tmp_path, broker=mosquitto.port, env=env):
        wait_until(lambda: "as versioned" in mosquitto.log(), what="the broker's log")
        line = next(line for line in mosquitto.log().splitlines() if "as versioned" in line)
        assert f"({shown}," in line


def test_user_and_password_open_the_broker_and_are_never_printed(tmp_path: Path) -> None:
    place = tmp_path / "broker"
    place.mkdir()
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    secret.chmod(0o644)
    with Mosquitto(place, users={"pi": CANARY}) as broker:
        by_file = {"AMPEDGE_MQTT__USERNAME": "pi", "AMPEDGE_MQTT__PASSWORD_FILE": str(secret)}
        by_value = {"AMPEDGE_MQTT__USERNAME": "pi", "AMPEDGE_MQTT__PASSWORD": CANARY}
        for env in (by_file, by_value):
            with Serve(tmp_path, broker=broker.port, env=env) as serve:
                assert CANARY not in serve.log
                assert (f"chmod 600 {secret}" in serve.log) is (env is by_file)
        wrong = {**by_value, "AMPEDGE_MQTT__PASSWORD": f"{CANARY}-wrong"}
        with Serve(tmp_path, broker=broker.port, env=wrong, ready="Not every event") as serve:
            assert "refuses the user name or the password" in serve.log
            assert "apt install mosquitto" not in serve.log  # there is one
            assert CANARY not in serve.log


def test_min_confidence_and_normal_label_reach_the_event(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = tmp_path / "site.toml"
    config.write_text('[decision]\nmin_confidence = 1.0\nnormal_label = "unstable"\n')
    options = ("--config", config)
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, *options, broker=mosquitto.port) as serve:
        serve.write(*GOLDEN)
        wait_until(lambda: any(event["class"] for event in events(sub)), what="an event with a class")
        event = next(event for event in events(sub) if event["class"])
        assert (event["class"], event["label"], event["reasons"]) == ("healthy", "unknown", ["low_confidence"])
        assert event["normal_label"] == "unstable"


@pytest.mark.parametrize("text", ["", "reasons = false\n", 'normal_label = "unstable"\n'])
def test_an_event_says_what_speaks_for_its_label(tmp_path: Path, mosquitto: Mosquitto, text: str) -> None:
    """Unless the config wants none, or names another normal state than that of which the model knows the ranges."""
    config = tmp_path / "site.toml"
    config.write_text(f"[decision]\n{text}")
    options = ("--config", config)
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, *options, broker=mosquitto.port) as serve:
        serve.write(*GOLDEN)
        assert "because" not in wait_for_label(sub, "healthy")
        serve.write(*GOLDEN[:3], 3.5, GOLDEN[4])
        event = wait_for_label(sub, "unstable")
        said = "output_thd 3.5 % (healthy 0.7 to 2.1)"
        if text:
            assert "because" not in event
        else:
            (cause,) = event["because"]
            assert (cause["tag"], cause["unit"], cause["expected"]) == ("output_thd", "%", None)
            assert cause["low"] < cause["high"] < cause["value"] == event["values"]["output_thd"]["value"]
        wait_until(lambda: "unstable" in serve.log, what="the label in the log")
        assert (said in serve.log) == (not text)
        assert serve.stop() == 0
    done = run_cli("history", "--all", cwd=tmp_path)
    assert (said in done.stdout) == (not text)


def test_a_normal_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ampedge.toml").write_text('[decision]\nnormal_label = "healty"\n')
    done = run_cli("serve", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'healthy'?" in done.stderr


def test_the_site_s_own_addresses_and_word_order_are_used(tmp_path: Path, mosquitto: Mosquitto) -> None:
    bundle = tiny_bundle(tmp_path, classes=("idle", "busy"), features={"flow": ("l/min", 3.5, 1.0)})
    config = tmp_path / "site.toml"
    tag = 'name = "flow"\naddress = "40101"\ntype = "int16"\nscale = 0.1\nunit = "l/min"\n'
    config.write_text(f"[[tags]]\n{tag}")
    options = ("--config", config)
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, *options, broker=mosquitto.port, model=bundle.path) as serve,
    ):
        busy = round(tiny_row(bundle, "busy")[0] * 10)
        assert ModbusClient("127.0.0.1", serve.port).write_single_register(100, busy)
        event = wait_for_label(sub, "busy")
        assert event["values"]["flow"]["value"] == pytest.approx(busy / 10)
        assert "holding 100-100" in serve.log


def test_unit_id_reaches_the_wire(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        options = ("--slave", "external", "--unit", "17")
        with Serve(tmp_path, *options, port=listener.getsockname()[1], ready="Reading"):
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(12)[6] == 17


def test_timeout_s_bounds_the_wait_for_a_reply(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        env = {"AMPEDGE_MODBUS__TIMEOUT_S": "0.2"}
        with Serve(tmp_path, "--slave", "external", port=port, env=env, ready="no_communication") as serve:
            assert "does not answer within 0.2 s" in serve.log


def test_a_taken_port_ends_it_with_7(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run_cli("serve", "--host", "127.0.0.1", "--port", port, "--slave", "embedded", cwd=tmp_path)
    assert done.returncode == 7
    assert f"127.0.0.1:{port}" in done.stderr


@pytest.mark.skipif(
    shutil.which("setpriv") is None or os.geteuid() != 0, reason="only root can give a right away, with setpriv"
)
def test_port_502_without_the_right_names_the_remedy(tmp_path: Path) -> None:
    without = ["setpriv", "--bounding-set=-net_bind_service", *command("serve", "--host", "127.0.0.1")]
    done = subprocess.run(
        without, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "ip_unprivileged_port_start" in done.stderr
    assert "AmbientCapabilities" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--slave", "embeded"), 2, "modbus.slave"),
        (("--interval", "0"), 2, "modbus.interval_s"),
        (("--model", "nowhere"), 2, "nowhere"),
        (("--broker", "host:port"), 2, "--broker"),
        (("--host", "203.0.113.9", "--slave", "embedded"), 2, "not an address of this machine"),
        (("--topic", "a/#"), 2, "mqtt.topic"),
    ],
)
def test_a_wrong_option_is_a_clear_error(tmp_path: Path, options: tuple[str, ...], code: int, said: str) -> None:
    done = run_cli("serve", *options, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_publisher_s_events_name_the_model(tmp_path: Path, mosquitto: Mosquitto) -> None:
    bundle = tiny_bundle(tmp_path)
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, broker=mosquitto.port, model=bundle.path):
        event = wait_for_label(sub, "unknown")
        assert event["model"] == {"name": "tiny", "version": "1"}
        assert json.loads((bundle.path / "manifest.json").read_text())["name"] == "tiny"


@contextlib.contextmanager
def hosted_slave(port: int = 0) -> Iterator[EmbeddedSlave]:
    """A slave with the published map that is not serve's own."""
    slave = EmbeddedSlave("127.0.0.1", port, laid_out(["a", "b", "c", "d", "e"]))
    slave.start()
    try:
        yield slave
    finally:
        slave.stop()


def test_a_reload_without_its_config_file_is_refused(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Nobody means the defaults by it: an editor or a deployment has just taken the file away."""
    config = tmp_path / "ampedge.toml"
    config.write_text('device = "pump"\n')
    with Serve(tmp_path, "--interval", 0.1, broker=mosquitto.port) as serve:
        config.unlink()
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Reloaded" in serve.log or "Not reloaded" in serve.log, what="the reload to end")
        assert "ampedge.toml cannot be read" in serve.log
        assert serve.stop() == 0
