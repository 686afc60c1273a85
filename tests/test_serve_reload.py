"""`ampedge serve` while it runs: signals, systemd's socket, a config that changes, a model that changes."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ampedge.model.bundle import load_bundle
from ampedge.service.status import read_status
from tests.support.bundles import tiny_bundle, tiny_row
from tests.support.cli import command, environment, run_cli
from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, MosquittoSub, free_port
from tests.support.scripted_slave import ScriptedSlave, registers
from tests.support.serving import GOLDEN, GOLDEN_WORDS, Serve
from tests.support.waiting import wait_until


def events(subscriber: MosquittoSub, topic: str = "amp/inference") -> list[dict[str, Any]]:
    """Every event so far, each checked against the published schema."""
    return [valid_event(payload) for payload in subscriber.on(f"{topic}/event")]


def status(directory: Path) -> dict[str, Any]:
    return read_status(directory / "ampedge-state")


@pytest.fixture
def golden_slave() -> Iterator[ScriptedSlave]:
    """A device that always holds the healthy row."""
    with ScriptedSlave(lambda frame: registers(frame, list(GOLDEN_WORDS))) as slave:
        yield slave


def test_a_reload_takes_what_changed_and_goes_on_counting(
    tmp_path: Path, mosquitto: Mosquitto, golden_slave: ScriptedSlave
) -> None:
    config = tmp_path / "ampedge.toml"
    config.write_text('device = "pump"\n[modbus]\ninterval_s = 0.1\n')
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, "--slave", "external", broker=mosquitto.port, port=golden_slave.port) as serve,
    ):
        wait_until(lambda: len(events(sub)) >= 3, what="three events")
        config.write_text('device = "pump"\n[modbus]\ninterval_s = 0.05\n[decision]\nmin_confidence = 1.0\n')
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: events(sub)[-1]["interval_s"] == 0.05, what="the new interval")
        wait_until(lambda: events(sub)[-1]["label"] == "unknown", what="the new threshold")
        found = events(sub)
        assert len({event["boot"] for event in found}) == 1
        assert [event["sequence"] for event in found] == list(range(len(found)))
        assert sub.on("amp/status") == ["online"]  # the connection was left alone
        assert "Reloaded" in serve.log
        wait_until(lambda: status(tmp_path)["reload"] == {"count": 1, "problem": None}, what="the status to tell of it")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[modbus]\nintervall_s = 1\n", "interval_s"),
        ("[modbus]\nunit = 300\nreconnect_settle_s = -1\n", "not 300; modbus.reconnect_settle_s ("),
        ("[modbus]\nunit = 300\n", "not 300. Every key"),
        ("[modbus\n", "not TOML"),
        ('[[tags]]\nname = "flow"\naddress = 0\n', "was made for other tags"),
        ('state_dir = "elsewhere"\n', "state_dir"),
        ('[mqtt]\npassword_file = "nowhere"\n', "password_file"),
        ('[mqtt]\ntls = true\nca_file = "nowhere.pem"\n', "nowhere.pem"),
    ],
)
def test_a_wrong_config_changes_nothing_and_says_why(
    tmp_path: Path, mosquitto: Mosquitto, golden_slave: ScriptedSlave, text: str, said: str
) -> None:
    config = tmp_path / "ampedge.toml"
    config.write_text("[modbus]\ninterval_s = 0.1\n")
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, "--slave", "external", broker=mosquitto.port, port=golden_slave.port) as serve,
    ):
        config.write_text(text)
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Not reloaded" in serve.log, what="the refusal")
        assert said in serve.log
        wait_until(lambda: status(tmp_path)["reload"]["count"] == 1, what="the status to tell of it")
        assert said in status(tmp_path)["reload"]["problem"]
        count = len(events(sub))
        wait_until(lambda: len(events(sub)) >= count + 3, what="events to go on")
        assert events(sub)[-1]["label"] == "healthy"
        assert serve.stop() == 0


def test_a_corrected_password_is_taken_by_a_reload(tmp_path: Path) -> None:
    place = tmp_path / "broker"
    place.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    with Mosquitto(place, users={"pi": "right-one"}) as broker:
        env = {"AMPEDGE_MQTT__USERNAME": "pi", "AMPEDGE_MQTT__PASSWORD_FILE": str(secret)}
        with Serve(tmp_path, broker=broker.port, env=env, ready="Not every event") as serve:
            assert not status(tmp_path)["mqtt"]["healthy"]
            secret.write_text("right-one\n")
            serve.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "Publishing" in serve.log, what="the broker to let it in")
            wait_until(lambda: status(tmp_path)["log"]["waiting"] == 0, what="what waited to be delivered")
            assert status(tmp_path)["mqtt"]["healthy"]


def test_devices_come_and_go_by_a_reload(tmp_path: Path, mosquitto: Mosquitto, golden_slave: ScriptedSlave) -> None:
    config = tmp_path / "ampedge.toml"
    device = '[[devices]]\nname = "{}"\nhost = "127.0.0.1"\nport = {}\ninterval_s = 0.1\n'.format
    head = f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "plant/{{device}}/label"\n'
    config.write_text(head + device("one", golden_slave.port))
    with MosquittoSub(mosquitto.port, "plant/#") as sub, Configured(tmp_path) as serve:
        wait_until(lambda: "healthy" in sub.on("plant/one/label"), what="the first device")
        config.write_text(head + device("one", golden_slave.port) + device("two", golden_slave.port))
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "healthy" in sub.on("plant/two/label"), what="the second device")
        config.write_text(head + device("two", golden_slave.port))
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: sub.on("plant/status/one")[-1:] == ["offline"], what="the first to be offline")
        ones = events(sub, "plant/one/label")
        assert [event["sequence"] for event in ones] == list(range(len(ones)))


def test_a_device_that_comes_back_goes_on_counting(
    tmp_path: Path, mosquitto: Mosquitto, golden_slave: ScriptedSlave
) -> None:
    """(device, boot, sequence) names one event only."""
    config = tmp_path / "ampedge.toml"
    device = '[[devices]]\nname = "{}"\nhost = "127.0.0.1"\nport = {}\ninterval_s = 0.1\n'.format
    head = f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "plant/{{device}}/label"\n'
    one, two = device("one", golden_slave.port), device("two", golden_slave.port)
    config.write_text(head + one + two)
    with MosquittoSub(mosquitto.port, "plant/#") as sub, Configured(tmp_path) as serve:
        for left, last in ((one, "offline"), (one + two, "online")) * 2:
            wait_until(lambda: len(events(sub, "plant/two/label")) > 2, what="events of the second")
            config.write_text(head + left)
            serve.process.send_signal(signal.SIGHUP)
            wait_until(lambda last=last: sub.on("plant/status/two")[-1:] == [last], what=f"the second to be {last}")
        count = len(events(sub, "plant/two/label"))
        wait_until(lambda: len(events(sub, "plant/two/label")) > count + 2)

        def each_came() -> bool:
            """One that is sent again has the same name; it may come after younger ones."""
            names = {(event["sequence"], event["monotonic_s"]) for event in events(sub, "plant/two/label")}
            return sorted(sequence for sequence, _ in names) == list(range(len(names)))

        wait_until(each_came, 20, "every event, each under a name of its own")
        assert len({event["boot"] for event in events(sub, "plant/two/label")}) == 1


def test_a_password_that_came_with_a_refused_config_is_taken_with_the_next(tmp_path: Path) -> None:
    place = tmp_path / "broker"
    place.mkdir()
    secret, config = tmp_path / "secret", tmp_path / "ampedge.toml"
    secret.write_text("old\n")
    secret.chmod(0o600)
    good = '[mqtt]\nusername = "pi"\npassword_file = "secret"\n'
    config.write_text(good)
    with (
        Mosquitto(place, users={"pi": "right-one"}) as broker,
        Serve(tmp_path, broker=broker.port, ready="refuses the user name") as serve,
    ):
        secret.write_text("right-one\n")
        config.write_text(good + 'tls = true\nca_file = "nowhere.pem"\n')
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Not reloaded" in serve.log, what="the refusal")
        config.write_text(good)
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Publishing" in serve.log, what="the broker to let it in")


@pytest.mark.parametrize("modbus", ['host = "127.0.0.1"\nport = {free}\nslave = "embedded"', "interval_s = 1"])
def test_a_slave_does_not_come_to_be_hosted_by_a_reload(
    tmp_path: Path, mosquitto: Mosquitto, golden_slave: ScriptedSlave, modbus: str
) -> None:
    config = tmp_path / "ampedge.toml"
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n[modbus]\n'
    config.write_text(f'{mqtt}host = "127.0.0.1"\nport = {golden_slave.port}\n')
    with Configured(tmp_path) as serve:
        config.write_text(mqtt + modbus.format(free=free_port()))
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "cannot come to be hosted" in serve.log, what="the refusal")
        assert status(tmp_path)["devices"][0]["online"]


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_pipe_in_the_place_of_a_certificate_holds_nothing_up(tmp_path: Path, mosquitto: Mosquitto, key: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    config = tmp_path / "ampedge.toml"
    config.touch()
    with Serve(tmp_path, broker=mosquitto.port) as serve:
        config.write_text(f'[mqtt]\ntls = true\n{key} = "pipe"\n')
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"mqtt.{key}: pipe cannot be read: it is no file" in serve.log, what="the refusal")
        assert serve.stop() == 0


def test_it_ends_in_two_seconds_where_device_broker_and_disk_all_hang(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\nfor name in ('fsync', 'fdatasync'):\n"
        "    setattr(os, name, lambda *_: time.sleep(5))\n"
        "from ampedge.store import event_log\n"
        "event_log.EventLog.commit = lambda *_, **__: time.sleep(5)\n"
        "event_log.EventLog.close = lambda *_: time.sleep(5)\n"
    )
    with (
        ScriptedSlave(lambda frame: time.sleep(5)) as slave,
        Serve(
            tmp_path, "--slave", "external", broker=mosquitto.port, port=slave.port, env={"PYTHONPATH": str(tmp_path)}
        ) as serve,
    ):
        wait_until(lambda: slave.requests, what="a request")
        mosquitto.pause()
        begun_s = time.monotonic()
        assert serve.stop() == 0
        assert time.monotonic() - begun_s < 2
        mosquitto.resume()


def test_a_dead_device_delays_no_other(tmp_path: Path, mosquitto: Mosquitto, golden_slave: ScriptedSlave) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        config = tmp_path / "ampedge.toml"
        lines = [f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "plant/{{device}}/label"\n']
        for name, port in (("mute", mute.getsockname()[1]), ("dead", free_port()), ("fine", golden_slave.port)):
            lines.append(f'[[devices]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\ninterval_s = 0.1\n')
        config.write_text("".join(lines))
        with MosquittoSub(mosquitto.port, "plant/#") as sub, Configured(tmp_path):
            wait_until(lambda: len(events(sub, "plant/fine/label")) >= 20, what="twenty events")
            wait_until(lambda: events(sub, "plant/mute/label"), what="the mute device to be told of")
            times = [event["monotonic_s"] for event in events(sub, "plant/fine/label")]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.01)
            assert max(gaps) < 0.25
            assert sub.on("plant/status/fine") == ["online"]
            assert sub.on("plant/status/mute") == ["offline"]
            assert events(sub, "plant/dead/label")[0]["reasons"] == ["no_communication"]


def test_a_new_model_is_taken_while_it_runs_and_a_damaged_one_is_not(tmp_path: Path, mosquitto: Mosquitto) -> None:
    first = tiny_bundle(tmp_path, classes=("idle", "busy"), features={"flow": ("l/min", 3.5, 1.0)})
    place = tmp_path / "site.ampedge"
    second = tmp_path / "second"
    second.mkdir()
    other = tiny_bundle(second, classes=("low", "high"), features={"flow": ("l/min", 3.5, 1.0)})
    assert run_cli("export", "--model", first.path, "--out", place, cwd=tmp_path).returncode == 0
    assert run_cli("export", "--model", other.path, "--out", second / "new.ampedge", cwd=tmp_path).returncode == 0
    options = ("--watch-model", "--interval", "0.1")
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, *options, broker=mosquitto.port, model=place) as serve,
    ):
        serve.write(*tiny_row(first, "busy"), datamap=first.datamap)
        wait_until(lambda: events(sub)[-1:] and events(sub)[-1]["label"] == "busy", what="the first model")
        place.write_bytes(place.read_bytes()[:-40])  # a copy that broke off
        wait_until(lambda: "goes on" in serve.log, what="the refusal")
        assert "is refused" in status(tmp_path)["model"]["problem"]
        assert events(sub)[-1]["label"] == "busy"
        shutil.copy(second / "new.ampedge", place)
        wait_until(lambda: events(sub)[-1]["label"] == "high", what="the second model")
        version = load_bundle(second / "new.ampedge").manifest.version
        wait_until(lambda: f"site.ampedge (as given). Version {version}." in serve.log, what="the log to say so")
        assert status(tmp_path)["model"]["problem"] is None
        found = events(sub)
        assert [event["sequence"] for event in found] == list(range(len(found)))
        done = run_cli("rollback", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: events(sub)[-1]["label"] == "busy", what="the model before")
        assert status(tmp_path)["model"]["rolled_back"]


def test_systemd_hears_that_it_is_ready_alive_reloading_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        heard: list[str] = []

        def until(message: str) -> None:
            while not any(message in one for one in heard):
                heard.append(listener.recv(4096).decode())

        with Serve(tmp_path, "--slave", "external", env=env, ready="no_communication") as serve:  # all is away
            until("READY=1")
            until("WATCHDOG=1")
            serve.process.send_signal(signal.SIGHUP)
            until("RELOADING=1")
            heard.clear()
            until("READY=1")
            assert serve.stop() == 0
            until("STOPPING=1")


def test_a_second_service_on_the_same_state_directory_names_the_first(tmp_path: Path) -> None:
    with Serve(tmp_path, ready="Reading") as serve:
        done = run_cli("serve", "--port", free_port(), cwd=tmp_path)
        assert done.returncode == 7
        assert f"process {serve.process.pid}" in done.stderr
        other = run_cli("serve", "--port", free_port(), "--state-dir", "ampedge-state", cwd=tmp_path)
        assert other.returncode == 7


def test_a_second_request_to_stop_ends_it_at_once(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Serve(tmp_path, broker=mosquitto.port) as serve:
        mosquitto.pause()  # so that saying goodbye takes its time
        serve.write(*GOLDEN)
        serve.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        serve.process.send_signal(signal.SIGTERM)
        begun_s = time.monotonic()
        code = serve.process.wait(5)
        mosquitto.resume()
        assert time.monotonic() - begun_s < 1
        assert code in (0, -signal.SIGTERM)


def test_closing_its_terminal_ends_it(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, command("serve", "--port", free_port()), environment({"TERM": "xterm"}))
    shown = b""
    while b"never_written" not in shown:
        shown += os.read(terminal, 65536)
    os.close(terminal)
    wait_until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0), 5, "its end with exit code 0")


class Configured(Serve):
    """A service whose addresses all stand in the config file of its directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._arguments = command("serve")


def hears(mosquitto: Mosquitto, sub: MosquittoSub) -> bool:
    """Whether the subscriber gets what is published now."""
    mosquitto.publish("amp/inference/event", "{}")
    return "{}" in sub.on("amp/inference/event")


def test_events_survive_a_broker_that_is_away_and_a_kill(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "ampedge.toml").write_text("[modbus]\ninterval_s = 0.05\n[store]\ncommit_s = 0.1\n")
    with MosquittoSub(mosquitto.port, "amp/inference/event") as sub:
        mosquitto.stop()
        with Serve(tmp_path, broker=mosquitto.port, ready="No MQTT broker") as serve:
            serve.write(*GOLDEN)
            wait_until(lambda: status(tmp_path)["log"]["waiting"] >= 20, what="twenty events to wait")
            before = status(tmp_path)
            time.sleep(0.3)  # two commits
            serve.stop(signal.SIGKILL)
        mosquitto.start()
        wait_until(lambda: hears(mosquitto, sub), what="the subscriber to be back")
        with Serve(tmp_path, broker=mosquitto.port) as serve:
            wait_until(lambda: status(tmp_path)["log"]["waiting"] <= 1, what="what waited to be delivered")
            counts = status(tmp_path)["log"]
            assert counts["produced"] == counts["delivered"] + counts["dropped"] + counts["waiting"]
            assert counts["dropped"] == 0
    old = [event for event in map(json.loads, sub.on("amp/inference/event")) if event.get("boot") == before["boot"]]
    sequences = [event["sequence"] for event in old]
    assert sequences == list(range(len(sequences)))
    assert len(sequences) >= 20
    assert all(event["replayed"] for event in old)


def test_without_a_place_for_its_state_it_goes_on_loudly_until_there_is_one(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    place = tmp_path / "ampedge-state"
    place.write_text("a file")
    with MosquittoSub(mosquitto.port, "amp/#") as sub, Serve(tmp_path, broker=mosquitto.port) as serve:
        serve.write(*GOLDEN)
        wait_until(lambda: "healthy" in sub.on("amp/inference"), what="a label")
        assert "its directory cannot be used: File exists" in serve.log
        assert "File exists" in status(tmp_path)["log"]["problem"]
        place.unlink()
        wait_until((place / "events.db").exists, 20, what="the event log")
        wait_until(lambda: status(tmp_path)["log"]["problem"] is None, what="the trouble to be over")
        wait_until((place / "status.sock").exists, 20, what="the socket in its place")
        assert status(tmp_path)["state_dir"] == str(place)
        second = run_cli("serve", "--port", free_port(), cwd=tmp_path, timeout_s=20)
        assert second.returncode == 7
        assert serve.stop() == 0
        assert "wait for the broker" in serve.log


def test_what_could_neither_be_delivered_nor_written_is_said_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "ampedge-state").write_text("a file")
    with Serve(tmp_path, broker=free_port(), ready="No MQTT broker") as serve:
        wait_until(lambda: status(tmp_path)["log"]["waiting"] > 0, what="an event")
        assert serve.stop() == 0
    (count,) = re.findall(r"Stopped after (\d+) events; \1 are lost", serve.log)
    assert f"{count} events could neither be delivered nor written and are lost." in serve.log


def test_a_log_of_a_newer_version_that_turns_up_later_is_refused_and_left_alone(tmp_path: Path) -> None:
    state, hidden = tmp_path / "ampedge-state", tmp_path / "hidden"
    with Serve(tmp_path, ready="Reading") as serve:
        assert serve.stop() == 0
    _newer(state / "events.db")
    before = (state / "events.db").read_bytes()
    state.rename(hidden)
    state.write_text("a file")
    with Serve(tmp_path, ready="cannot be used") as serve:
        state.unlink()
        hidden.rename(state)
        assert serve.process.wait(20) == 2
    assert "newer" in serve.log
    assert (state / "events.db").read_bytes() == before


def test_a_log_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Serve(tmp_path, ready="Reading") as serve:
        assert serve.stop() == 0
    file = tmp_path / "ampedge-state" / "events.db"
    _newer(file)
    before = file.read_bytes()
    done = run_cli("serve", "--port", free_port(), cwd=tmp_path, timeout_s=20)
    assert done.returncode == 2
    assert "newer" in done.stderr
    assert file.read_bytes() == before


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def test_logs_are_json_lines_and_go_to_a_rotated_file(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "ampedge.toml").write_text('[log]\nfile = "own.log"\nmax_mb = 0.001\nbackups = 2\n')
    with Serve(tmp_path, "--interval", "0.05", broker=mosquitto.port) as serve:
        for _ in range(10):
            serve.write(*GOLDEN)
            wait_until(lambda: status(tmp_path)["devices"][0]["label"] == "healthy", what="a label")
            serve.write(0, 0, 0, 0, 0)
            wait_until(lambda: status(tmp_path)["devices"][0]["label"] == "unknown", what="no label")
        assert serve.stop() == 0
    lines = (tmp_path / "serve.log").read_text().splitlines()
    assert all(json.loads(line)["level"] for line in lines)
    assert {path.name for path in tmp_path.glob("own.log*")} == {"own.log", "own.log.1", "own.log.2"}
    assert (tmp_path / "own.log.1").stat().st_size <= 1100


def test_the_format_of_the_log_is_as_configured(tmp_path: Path) -> None:
    with Serve(tmp_path, env={"AMPEDGE_LOG__FORMAT": "human"}, ready="Reading") as serve:
        assert serve.stop() == 0
    assert not (tmp_path / "serve.log").read_text().startswith(("{", "<"))
