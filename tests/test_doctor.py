"""`ampedge doctor`: a site where all is well, and faults of real parts, each of which turns its own line red."""

import contextlib
import io
import json
import os
import re
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ampedge import addresses, clock
from ampedge.cli.diagnosis import drawn
from ampedge.doctor import broker, disk, examination, mosquitto, slave
from ampedge.doctor.examination import Report, examine
from ampedge.doctor.finding import Finding, State, warning
from ampedge.doctor.listeners import Listener, is_here, listener, may_listen
from ampedge.model.bundle import load_bundle, pack_bundle, sign_bundle
from ampedge.model.keeper import Keeper
from ampedge.samples import BUNDLE, shipped
from ampedge.service.snapshot import DeviceState, LogState, ModelState, MqttState, Snapshot
from ampedge.service.status import StatusSocket
from ampedge.store.state_dir import StateDirectory
from ampedge.systemd.unit import MARK
from tests.support.bundles import tiny_bundle
from tests.support.canary import CANARY
from tests.support.certificates import Authority
from tests.support.cli import run_cli
from tests.support.fake_system import FakeSystem
from tests.support.keys import make_keys
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.scripted_broker import ScriptedBroker
from tests.support.scripted_slave import ScriptedSlave, exception, registers
from tests.support.serving import GOLDEN_WORDS

OF_THE_MACHINE = {"clock", "sqlite", "mosquitto"}
"""Lines that no test here can answer for, unless it says so."""


class Site:
    """A config in a directory, a slave and a broker that are well; `set` changes keys, `report` examines."""

    def __init__(self, place: Path, broker_port: int) -> None:
        self.place = place
        self.words = list(GOLDEN_WORDS)
        self.slave = ScriptedSlave(self.answer)
        self.system = FakeSystem(place)
        self._sections: dict[str, dict[str, Any]] = {
            "": {"state_dir": "state"},
            "modbus": {"host": "127.0.0.1", "port": self.slave.port, "slave": "external", "timeout_s": 0.3},
            "mqtt": {"host": "127.0.0.1", "port": broker_port},
        }

    def answer(self, frame: bytes) -> bytes:
        address, count = struct.unpack(">HH", frame[8:12])
        return registers(frame, self.words[address : address + count])

    @property
    def file(self) -> Path:
        return self.place / "ampedge.toml"

    def set(self, section: str, **keys: Any) -> None:
        self._sections.setdefault(section, {}).update(keys)

    def write(self, more: str = "") -> Path:
        lines = []
        for name, keys in self._sections.items():
            lines += [f"[{name}]"] * bool(name)
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value is not None]
        self.file.write_text("\n".join(lines) + f"\n{more}\n")
        return self.file

    def report(self, more: str = "") -> Report:
        return examine(self.write(more), {}, self.system.machine)


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running.port


@pytest.fixture
def site(tmp_path: Path, broker_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Where all is well, the machine included; no variable of the environment configures anything."""
    monkeypatch.setattr(clock, "synchronised", lambda: True)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    monkeypatch.setattr(mosquitto, "look", lambda: ())
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AMPEDGE_")]:
        monkeypatch.delenv(name)
    site = Site(tmp_path, broker_port)
    with site.slave:
        yield site


def wrong(report: Report) -> list[tuple[str, State]]:
    """Every line that is not green."""
    return [(finding.check, finding.state) for finding in report.findings if finding.state is not State.OK]


def line(report: Report, check: str) -> Finding:
    """The only line of a check."""
    (found,) = (finding for finding in report.findings if finding.check == check)
    return found


def test_where_all_is_well_every_line_is_green_and_nothing_is_written(site: Site) -> None:
    site.write()
    before = sorted(site.place.rglob("*"))
    report = site.report()
    assert wrong(report) == []
    assert report.exit_code == 0
    assert [finding.check for finding in report.findings] == [
        "config",
        "model",
        "service",
        "files",
        "device device",
        "broker",
        "disk",
        "clock",
        "sqlite",
        "software",
    ]
    assert "plate_voltage 427.34 V" in line(report, "device device").found
    assert "healthy" in line(report, "device device").found
    assert sorted(site.place.rglob("*")) == before


def dead_port(site: Site) -> None:
    site.set("modbus", port=free_port())


def no_such_name(site: Site) -> None:
    site.set("modbus", host="nowhere.example")


def mute(site: Site) -> None:
    site.slave.answer = lambda _: b""


def hangs_up(site: Site) -> None:
    site.slave.answer = lambda _: None


def wrong_unit(site: Site) -> None:
    site.slave.answer = lambda frame: exception(frame, 11)


def other_registers(site: Site) -> None:
    site.slave.answer = lambda frame: exception(frame, 2)


def never_written(site: Site) -> None:
    site.words[:] = [0] * 10


def other_word_order(site: Site) -> None:
    site.words[:] = [
        word for low, high in zip(GOLDEN_WORDS[1::2], GOLDEN_WORDS[::2], strict=True) for word in (low, high)
    ]


def other_check(site: Site) -> None:
    site.set("modbus.check", address=0, value=1.5)


def no_broker(site: Site) -> None:
    site.set("mqtt", port=free_port())


def no_tls_there(site: Site) -> None:
    site.set("mqtt", tls=True)


def no_password(site: Site) -> None:
    site.set("mqtt", username="edge", password_file="missing-password")


def no_directory(site: Site) -> None:
    (site.place / "file").touch()
    site.set("", state_dir="file/state")


def newer_log(site: Site) -> None:
    (site.place / "state").mkdir()
    with contextlib.closing(sqlite3.connect(site.place / "state" / "events.db")) as log:
        log.execute("PRAGMA user_version = 99")


def truncated_model(site: Site) -> None:
    (site.place / "model.ampedge").write_bytes(shipped(BUNDLE).read_bytes()[:-100])
    site.set("", model="model.ampedge")


def other_model(site: Site) -> None:
    bundle = tiny_bundle(site.place, features={"volts": ("V", 1.0, 1.0), "amps": ("A", 2.0, 1.0)})
    pack_bundle(bundle, site.place / "other.ampedge")
    site.set("", model="other.ampedge")
    site.set("[tags]", name="volts", address=0)


def no_such_label(site: Site) -> None:
    site.set("decision", normal_label="healty")


def unsigned_model(site: Site) -> None:
    make_keys(site.place)
    site.set("", verify_key="public.pem")


def open_password(site: Site) -> None:
    (site.place / "password").write_text("x")
    (site.place / "password").chmod(0o644)
    site.set("mqtt", username="edge", password_file="password")


def password_in_an_open_config(site: Site) -> None:
    site.set("mqtt", username="edge", password=CANARY)


def config_for_all_to_change(site: Site) -> None:
    site.file.touch()
    site.file.chmod(0o666)


FAULTS = [
    (dead_port, "device device", 4, "Nothing accepts connections at 127.0.0.1:", "Check --host and --port"),
    (no_such_name, "device device", 4, "nowhere.example:", "Check the name"),
    (mute, "device device", 4, "does not answer within 0.3 s (function code 3, holding 0-9)", "unit id"),
    (hangs_up, "device device", 4, "closed the connection", "unit id"),
    (wrong_unit, "device device", 4, "exception 11 (gateway target does not respond)", "unit id"),
    (other_registers, "device device", 4, "exception 2 (illegal data address)", "addresses and tables"),
    (never_written, "device device", 4, "Every register of 127.0.0.1:", "`ampedge probe`"),
    (other_word_order, "device device", 4, "answers with values that cannot be: ", "`ampedge probe`"),
    (other_check, "device device", 4, "The check register", "check register"),
    (no_broker, "broker", 4, "nothing listens there", "sudo apt install mosquitto"),
    (no_tls_there, "broker", 4, "it does not speak TLS", "8883"),
    (no_password, "broker", 2, "missing-password has no first line", "readable by this user only"),
    (no_directory, "disk", 2, "cannot write into", "state_dir"),
    (newer_log, "disk", 2, "was written by a newer ampedge (version 99", "another state_dir"),
    (truncated_model, "model", 5, "is refused", "copy it once more"),
    (other_model, "model", 5, "was made for other tags: the model needs 'amps'", "Name the tags"),
    (no_such_label, "model", 2, "'healty' is not a class", "did you mean 'healthy'?"),
    (unsigned_model, "model", 5, "not signed", "`ampedge export --sign KEY`"),
    (open_password, "files", 2, "Other users of this machine can read", "chmod 600"),
    (password_in_an_open_config, "files", 2, "ampedge.toml, which holds a secret", "chmod 600"),
    (config_for_all_to_change, "files", 2, "Every user of this machine can change", "chmod o-w"),
]


@pytest.mark.parametrize(
    ("fault", "check", "code", "found", "remedy"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS]
)
def test_each_fault_turns_its_own_line_red(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Site], None],
    check: str,
    code: int,
    found: str,
    remedy: str,
) -> None:
    monkeypatch.setattr(addresses, "_look_up", known_names_only(addresses._look_up))
    fault(site)
    report = site.report()
    assert wrong(report) == [(check, State.PROBLEM)]
    assert found in line(report, check).found
    assert remedy in line(report, check).remedy
    assert report.exit_code == line(report, check).exit_code == code
    assert CANARY not in repr(report)


def known_names_only(look_up: Callable[..., Any]) -> Callable[..., Any]:
    def known(host: str, flags: int = 0) -> Any:
        if host.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, flags)

    return known


def test_values_far_from_training_are_a_warning(site: Site) -> None:
    site.words[:2] = struct.unpack(">HH", struct.pack(">f", 100.0))
    report = site.report()
    assert wrong(report) == [("device device", State.WARNING)]
    assert "far from what the model was trained on: plate_voltage 100 V" in line(report, "device device").found
    assert report.exit_code == 0


def test_a_value_that_the_device_does_not_have_is_its_own_affair(site: Site) -> None:
    site.set("[tags]", name="plate_voltage", address=0, invalid=[(GOLDEN_WORDS[0] << 16) + GOLDEN_WORDS[1]])
    bundle = tiny_bundle(site.place, features={"plate_voltage": ("V", 427.0, 9.0)})
    report = examine(site.write(), {"model": str(bundle.path)}, site.system.machine)
    assert "plate_voltage: sentinel" in line(report, "device device").found
    assert "look at its sensors" in line(report, "device device").remedy


def test_without_tags_and_model_a_device_is_only_reached(site: Site) -> None:
    truncated_model(site)
    report = site.report()
    assert wrong(report) == [("model", State.PROBLEM)]
    assert "cannot be judged without tags or a model" in line(report, "device device").found
    assert site.slave.requests == []


def test_devices_are_judged_with_the_last_good_model_where_the_new_one_is_refused(site: Site) -> None:
    path = site.place / "model.ampedge"
    path.write_bytes(shipped(BUNDLE).read_bytes())
    Keeper(site.place / "state").keep(load_bundle(path), path)
    truncated_model(site)
    site.write()
    before = sorted(site.place.rglob("*"))
    report = site.report()
    assert wrong(report) == [("model", State.PROBLEM)]
    assert "healthy" in line(report, "device device").found
    assert sorted(site.place.rglob("*")) == before


def test_a_model_that_was_rolled_back_is_a_warning(site: Site) -> None:
    path = site.place / "model.ampedge"
    keeper = Keeper(site.place / "state")
    pack_bundle(tiny_bundle(site.place), path)
    keeper.keep(load_bundle(path), path)
    path.write_bytes(shipped(BUNDLE).read_bytes())
    keeper.keep(load_bundle(path), path)
    keeper.roll_back()
    site.set("", model="model.ampedge")
    report = site.report()
    assert wrong(report) == [("model", State.WARNING)]
    assert any("was rolled back: version 1 runs instead" in finding.found for finding in report.findings)


def test_a_signed_model_is_proved_by_its_key(site: Site) -> None:
    private, public = make_keys(site.place)
    pack_bundle(sign_bundle(load_bundle(shipped(BUNDLE)), private), site.place / "signed.ampedge")
    site.set("", model="signed.ampedge")
    assert "signed, which nobody checks without verify_key" in line(site.report(), "model").found
    site.set("", verify_key=public.name)
    report = site.report()
    assert wrong(report) == []
    assert f"signed, as {public.name} proves" in line(report, "model").found


def test_each_of_several_devices_has_its_line(site: Site) -> None:
    site.set("mqtt", topic="amp/{device}/inference")
    ports = {"pump1": site.slave.port, "pump2": free_port(), "pump3": free_port()}
    report = site.report(
        "\n".join(f'[[devices]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}' for name, port in ports.items())
    )
    assert wrong(report) == [("device pump2", State.PROBLEM), ("device pump3", State.PROBLEM)]
    assert "3 devices (pump1, pump2, pump3)" in line(report, "config").found


def test_a_config_with_mistakes_shows_each_of_them_and_the_rest_of_the_machine(site: Site) -> None:
    site.set("mqtt", prot=1883)
    site.set("modbus", unit=300)
    report = site.report()
    assert wrong(report) == [("config", State.PROBLEM)] * 2
    assert {finding.check for finding in report.findings} == {"config", "clock", "sqlite", "software"}
    assert report.exit_code == 2


def test_no_config_is_no_mistake(site: Site) -> None:
    report = examine(None, {"modbus.port": site.slave.port}, site.system.machine)
    assert "No ampedge.toml here, so the defaults hold: 1 device (device)" in line(report, "config").found


# --- the broker


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, "wants a user name and a password"),
        ({"username": "edge"}, "refuses the user name or the password"),
        ({"username": "edge", "password": "wrong"}, "refuses the user name or the password"),
    ],
)
def test_a_broker_that_wants_a_password(site: Site, tmp_path: Path, keys: dict[str, str], found: str) -> None:
    (tmp_path / "secured").mkdir()
    site.file.touch(0o600)
    with Mosquitto(tmp_path / "secured", users={"edge": CANARY}) as secured:
        site.set("mqtt", port=secured.port, **keys)
        report = site.report()
        assert wrong(report) == [("broker", State.PROBLEM)]
        assert found in line(report, "broker").found
        assert "AMPEDGE_MQTT__PASSWORD" in line(report, "broker").remedy
        site.set("mqtt", username="edge", password=CANARY)
        report = site.report()
        assert wrong(report) == []
        assert "lets the user edge in." in line(report, "broker").found
        assert CANARY not in repr(report)


@pytest.mark.parametrize(
    ("days", "host", "trusted", "found", "remedy"),
    [
        ((-1, 1), "127.0.0.1", True, None, ""),
        ((-9, -1), "127.0.0.1", True, "its certificate has expired", "renewed"),
        ((1, 9), "127.0.0.1", True, "is not valid yet", "set-ntp"),
        ((-1, 1), "other.example", True, "is for another name than 127.0.0.1", "Write the name"),
        ((-1, 1), "127.0.0.1", False, "an authority that is not trusted here", "ca_file"),
    ],
)
def test_a_broker_with_tls(
    site: Site, tmp_path: Path, days: tuple[float, float], host: str, trusted: bool, found: str | None, remedy: str
) -> None:
    authority = Authority(tmp_path / "authority")
    trusts = authority if trusted else Authority(tmp_path / "stranger")
    certificate = authority.issue("broker", host, since_days=days[0], until_days=days[1])
    with Mosquitto(tmp_path, tls=certificate) as secured:
        site.set("mqtt", port=secured.port, tls=True, ca_file=str(trusts.ca_file))
        report = site.report()
    if found is None:
        assert wrong(report) == []
        assert line(report, "broker").found.endswith("in, over TLS.")
    else:
        assert wrong(report) == [("broker", State.PROBLEM)]
        assert found in line(report, "broker").found
        assert remedy in line(report, "broker").remedy


def test_an_own_key_that_others_can_read(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("edge")
    with Mosquitto(tmp_path, tls=authority.issue("broker", "127.0.0.1"), clients_of=authority.ca_file) as secured:
        site.set("mqtt", port=secured.port, tls=True, ca_file=str(authority.ca_file))
        report = site.report()
        assert wrong(report) == [("broker", State.PROBLEM)]
        assert "cert_file and key_file" in line(report, "broker").remedy
        site.set("mqtt", cert_file=str(certificate), key_file=str(key))
        key.chmod(0o644)
        report = site.report()
        assert wrong(report) == [("files", State.PROBLEM)]
        assert f"{key}, which holds a secret" in line(report, "files").found
        key.chmod(0o640)
        assert wrong(site.report()) == []


def test_a_broker_that_does_not_let_its_status_be_read_is_a_warning(site: Site) -> None:
    connected_and_refused = b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x80"
    with ScriptedBroker({4: connected_and_refused}) as ruled:
        site.set("mqtt", port=ruled.port)
        report = site.report()
    assert wrong(report) == [("broker", State.WARNING)]
    assert "does not let this user read amp/status" in line(report, "broker").found
    assert report.exit_code == 0


def test_a_user_name_in_the_clear_is_a_warning_beyond_this_machine(site: Site) -> None:
    site.set("mqtt", host="broker.example", username="edge")
    report = site.report()
    assert ("files", State.WARNING) in wrong(report)
    assert "go to the broker at broker.example unencrypted" in line(report, "files").found


def test_the_embedded_broker_is_for_trials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("amqtt")
    monkeypatch.setattr(mosquitto, "look", lambda: [warning("mosquitto", "It does not matter here.", "Nothing.")])
    assert wrong(site.report()) == [("mosquitto", State.WARNING)]
    site.set("mqtt", host="embedded")
    report = site.report()
    assert wrong(report) == [("broker", State.WARNING)]
    monkeypatch.setitem(__import__("sys").modules, "amqtt", None)
    report = site.report()
    assert wrong(report) == [("broker", State.PROBLEM)]
    assert 'pip install "ampedge[broker]"' in line(report, "broker").remedy


# --- the slave that serve hosts


def test_a_slave_that_serve_will_host(site: Site) -> None:
    site.set("modbus", slave="embedded", port=free_port())
    report = site.report()
    assert wrong(report) == []
    assert "the port is free" in line(report, "slave").found


def test_a_port_that_another_program_holds(site: Site) -> None:
    site.set("modbus", slave="embedded")
    report = site.report()
    assert wrong(report) == [("slave", State.PROBLEM)]
    assert f"is taken by process {os.getpid()} (" in line(report, "slave").found
    assert report.exit_code == 7


def test_a_slave_on_this_machine_that_answers_is_polled(site: Site) -> None:
    site.set("modbus", slave="auto")
    report = site.report()
    assert wrong(report) == []
    assert "plate_voltage" in line(report, "device device").found


def test_a_port_that_needs_a_right(site: Site, systemctl: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave, "may_listen", lambda port: port >= 1024)
    monkeypatch.setattr(slave, "listener", lambda _: None)
    site.set("modbus", slave="embedded", port=502)
    report = site.report()
    assert wrong(report) == [("slave", State.PROBLEM)]
    assert "ports below 1024 need a right" in line(report, "slave").found
    assert "ip_unprivileged_port_start=502" in line(report, "slave").remedy
    unit(site, "AmbientCapabilities=CAP_NET_BIND_SERVICE\n")
    systemctl("active")
    assert wrong(site.report()) == []


def test_a_slave_that_everyone_can_write_is_a_warning(site: Site) -> None:
    site.set("modbus", slave="embedded", host="0.0.0.0", port=free_port())
    report = site.report()
    assert ("slave", State.WARNING) in wrong(report)
    assert any("everyone in the network can write its registers" in finding.found for finding in report.findings)
    assert report.exit_code == 0


# --- the disk


def test_a_disk_that_is_nearly_full_or_read_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = os.statvfs(site.place)

    def at(free: int, flag: int = 0) -> Finding:
        made = (facts.f_bsize, 1, 0, 0, free, 0, 0, 0, flag, 255)
        monkeypatch.setattr(disk.os, "statvfs", lambda _: os.statvfs_result(made))
        return line(site.report(), "disk")

    assert (at(10_000_000).state, at(100_000_000).state, at(10**9).state) == (
        State.PROBLEM,
        State.WARNING,
        State.OK,
    )
    assert "may grow to 512 MB and has 0 MB, but only 100 MB are free" in at(100_000_000).found
    assert "is on a file system that is read-only" in at(10**9, os.ST_RDONLY).found
    assert at(10**9, os.ST_RDONLY).exit_code == 2


def test_a_log_that_has_nearly_reached_its_limit(site: Site) -> None:
    (site.place / "state").mkdir()
    (site.place / "state" / "events.db").write_bytes(bytes(900_000))
    (site.place / "state" / "events.db-wal").write_bytes(bytes(50_000))
    site.set("store", max_mb=1.0)
    report = site.report()
    assert wrong(report) == [("disk", State.WARNING)]
    assert "has 950 kB of the 1 MB" in line(report, "disk").found


# --- the running service


def snapshot(site: Site, **changed: Any) -> Snapshot:
    manifest = load_bundle(shipped(BUNDLE)).manifest
    made = Snapshot(
        version=__import__("ampedge").__version__,
        pid=os.getpid(),
        boot="b1",
        started="2026-11-23T00:00:00Z",
        uptime_s=600.0,
        time_synced=False,
        config=None,
        state_dir="state",
        devices=(
            DeviceState("device", f"127.0.0.1:{site.slave.port}", 1, 1.0, True, "healthy", "good", good_age_s=0.5),
        ),
        mqtt=MqttState("here:1883", connected=True, healthy=True, acknowledged_age_s=1.0),
        log=LogState("state/events.db", produced=12, delivered=10, dropped=1, waiting=1),
        model=ModelState(
            manifest.name, manifest.version, "model", signed=False, runtime="numpy", loaded="2026-11-23T00:00:00Z"
        ),
    )
    return replace(made, **changed)


@pytest.fixture
def running(site: Site) -> Iterator[Callable[..., Report]]:
    """A function that examines beside a service whose snapshot has these changes."""
    state = site.place / "state"
    with ExitStack() as stack:
        stack.enter_context(StateDirectory(state))

        def examined(**changed: Any) -> Report:
            with StatusSocket(state, snapshot(site, **changed).as_dict):
                return site.report()

        yield examined


def test_a_running_service_is_asked_instead_of_its_devices(site: Site, running: Callable[..., Report]) -> None:
    report = running()
    assert wrong(report) == []
    said = line(report, "service").found
    assert f"runs for 10 min as process {os.getpid()}: 1 of 1 devices online" in said
    assert "10 events delivered, 1 waiting, 1 dropped" in said
    assert "The running service read 127.0.0.1:" in line(report, "device device").found
    assert site.slave.connections == 0, "many a device allows one master only"
    assert report.snapshot is not None
    assert report.snapshot["log"]["produced"] == 12


@pytest.mark.parametrize(("address", "age_s"), [("127.0.0.1:1", 0.5), (None, 4.1), (None, None)])
def test_what_the_service_has_not_read_just_now_is_asked_again(
    site: Site, running: Callable[..., Report], address: str | None, age_s: float | None
) -> None:
    where = address or f"127.0.0.1:{site.slave.port}"
    running(devices=(DeviceState("device", where, 1, 1.0, True, "healthy", "good", good_age_s=age_s),))
    assert site.slave.connections == 1


def test_what_the_service_says_is_wrong_is_a_line_each(site: Site, running: Callable[..., Report]) -> None:
    lost = DeviceState("device", "127.0.0.1:1", 1, 1.0, False, detail="It is away.")
    report = running(devices=(lost,), log=LogState("x", problem="The disk is full."))
    assert wrong(report) == [("service", State.PROBLEM)] * 2
    assert [finding.found for finding in report.findings if finding.check == "service"] == [
        "device is offline: It is away.",
        "The disk is full.",
    ]
    assert site.slave.connections == 1, "now it is asked itself"
    assert report.exit_code == 4


def test_what_runs_and_is_not_what_is_installed_is_a_warning(running: Callable[..., Report]) -> None:
    report = running(
        version="0.0.1", model=ModelState("amplifier", "0", "model", signed=False, runtime="numpy", loaded="")
    )
    assert wrong(report) == [("service", State.WARNING)] * 2
    assert any("ampedge 0.0.1 runs" in finding.found for finding in report.findings)
    assert any("The model amplifier 0 runs" in finding.found for finding in report.findings)


def test_the_slave_that_the_running_service_hosts(site: Site, running: Callable[..., Report]) -> None:
    site.set("modbus", slave="embedded")
    site.words[:] = [0] * 10
    device = DeviceState("device", "here", 1, 1.0, True, "unknown", "bad", ("never_written",), 0.5)
    report = running(devices=(device,))
    assert "The running service hosts it" in line(report, "slave").found
    assert wrong(report) == [("device device", State.WARNING)]
    assert "No master has written into it yet." in line(report, "device device").found


def test_a_service_that_does_not_say_how_it_is(site: Site) -> None:
    with StateDirectory(site.place / "state"):
        report = site.report()
    assert wrong(report) == [("service", State.PROBLEM)]
    assert (
        line(report, "service").found == f"Process {os.getpid()} holds {site.place}/state, but does not say how it is."
    )
    assert report.exit_code == 7


def test_a_service_that_was_killed(site: Site) -> None:
    state = site.place / "state"
    state.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(state / "status.sock"))
    report = site.report()
    assert wrong(report) == [("service", State.PROBLEM)]
    assert "ended without a goodbye" in line(report, "service").found


# --- systemd


def unit(site: Site, text: str = "", name: str = "ampedge", mark: str = MARK) -> None:
    place = site.system.root / "etc/systemd/system" / f"{name}.service"
    place.write_text(f"{mark}, which writes it anew.\n{text}")


def own_report(site: Site, secrets: str = "") -> Report:
    """What is found with the config of the installed service, which is that of the site."""
    place = site.system.root / "etc/ampedge"
    place.mkdir()
    (place / "ampedge.env").write_text(secrets)
    site.set("", state_dir=str(site.place / "state"))
    (place / "ampedge.toml").write_text(site.write().read_text())
    return examine(place / "ampedge.toml", {}, site.system.machine)


@pytest.fixture
def systemctl(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets what systemctl says of every unit."""
    monkeypatch.setenv("PATH", site.system.path)

    def says(
        active: str, sub: str = "running", restarts: int = 0, result: str = "success", boot: str = "enabled"
    ) -> None:
        lines = [f"ActiveState={active}", f"SubState={sub}", f"NRestarts={restarts}", f"Result={result}"]
        lines += [f"UnitFileState={boot}", ""]
        site.system.answer("systemctl-show", "\n".join(lines))

    return says


@pytest.mark.parametrize(
    ("said", "state", "found"),
    [
        (("active",), State.OK, "ampedge.service is active (running)."),
        (("active", "running", 7), State.OK, "started again 7 times"),
        (("inactive", "dead"), State.WARNING, "ampedge.service is inactive (dead)."),
        (("activating", "auto-restart", 3, "watchdog"), State.PROBLEM, "(auto-restart), started again 3 times"),
        (("failed", "failed", 0, "exit-code"), State.PROBLEM, "result exit-code"),
    ],
)
def test_an_installed_service(
    site: Site, systemctl: Callable[..., None], said: tuple[Any, ...], state: State, found: str
) -> None:
    unit(site)
    systemctl(*said)
    report = site.report()
    assert (line(report, "systemd").state, len(wrong(report))) == (state, state is not State.OK)
    assert found in line(report, "systemd").found
    assert "sudo ampedge doctor --config /etc/ampedge/ampedge.toml" in line(report, "service").found


@pytest.mark.parametrize(
    ("said", "states", "code"),
    [
        (("active",), [State.OK], 0),
        (("inactive", "dead"), [State.PROBLEM], 4),
        (("active", "running", 0, "success", "disabled"), [State.OK, State.WARNING], 0),
        (("inactive", "dead", 0, "success", "disabled"), [State.PROBLEM, State.WARNING], 4),
    ],
)
def test_the_service_whose_config_is_asked_about(
    site: Site, systemctl: Callable[..., None], said: tuple[Any, ...], states: list[State], code: int
) -> None:
    unit(site)
    systemctl(*said)
    report = own_report(site)
    found = [finding for finding in report.findings if finding.check == "systemd"]
    assert [finding.state for finding in found] == states
    assert report.exit_code == code
    assert line(report, "service").found == f"None runs with its state in {site.place}/state."
    assert ("sudo systemctl enable ampedge" in found[-1].remedy) is (State.WARNING in states)


@pytest.mark.parametrize(("active", "state"), [("active", State.PROBLEM), ("inactive", State.WARNING)])
def test_the_old_service_of_the_tutorial(site: Site, systemctl: Callable[..., None], active: str, state: State) -> None:
    unit(site, "[Service]\nExecStart=/usr/bin/python3 ml_edge_service.py\n", "ml_edge_service", "# hand-made")
    systemctl(active)
    report = site.report()
    assert wrong(report) == [("systemd", state)]
    assert "sudo systemctl disable --now ml_edge_service" in line(report, "systemd").remedy


def test_without_systemd_nothing_is_said_of_it(site: Site) -> None:
    unit(site)
    (site.system.root / "run/systemd/system").rmdir()
    assert "systemd" not in {finding.check for finding in site.report().findings}


def test_an_installed_service_is_examined_with_its_secrets(site: Site, systemctl: Callable[..., None]) -> None:
    systemctl("active")
    unit(site)
    report = own_report(site, "AMPEDGE_MQTT__USERNAME=edge\nAMPEDGE_DEVICE=pump1\n")
    assert "lets the user edge in" in line(report, "broker").found
    assert line(report, "device pump1").state is State.OK


# --- the machine


@pytest.mark.parametrize(
    ("text", "state", "found"),
    [
        ("", State.WARNING, "Persistence is off"),
        ("persistence false", State.WARNING, "Persistence is off"),
        ("persistence true", State.WARNING, "saves every 1800 s"),
        ("persistence true\nautosave_interval 60", State.OK, "saves every 60 s"),
        ("persistence true\nautosave_interval 61", State.WARNING, "saves every 61 s"),
        ("persistence true\nautosave_interval 0", State.WARNING, "saves only when it ends"),
        ("persistence true\nautosave_interval 9\nautosave_on_changes true", State.WARNING, "saves after 9 changes"),
        ("persistence true\nautosave_interval 1\nautosave_on_changes true", State.OK, "each change is saved"),
        ("# persistence false\npersistence true\ninclude_dir {place}/conf.d", State.OK, "each change is saved"),
        ("persistence true\nautosave_interval soon", State.WARNING, "saves every 1800 s"),
    ],
)
def test_what_mosquitto_keeps(tmp_path: Path, text: str, state: State, found: str) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "edge.conf").write_text("autosave_interval 1\nautosave_on_changes true\n")
    (tmp_path / "mosquitto.conf").write_text(text.format(place=tmp_path) + "\n")
    (said,) = mosquitto.look(tmp_path / "mosquitto.conf")
    assert said.state is state
    assert found in said.found


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("allow_anonymous true", None),
        ("listener 1883", None),
        ("listener 1883\nallow_anonymous false", None),
        ("listener 1883\nallow_anonymous true", "1883"),
        ("allow_anonymous true\nlistener 1883 0.0.0.0\nlistener 1884 127.0.0.1\nlistener 1885 ::", "1883, 1885"),
        ("allow_anonymous true\nlistener 1883 localhost\nlistener 0 /run/mosquitto.sock", None),
        ("port 1883\nallow_anonymous true", "1883"),
        ("port 1883\nbind_address 127.0.0.1\nallow_anonymous true", None),
        ("allow_anonymous true\nlistener 8883\nrequire_certificate true", None),
        ("per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2\nallow_anonymous false", "1"),
    ],
)
def test_whom_mosquitto_lets_in(tmp_path: Path, text: str, ports: str | None) -> None:
    kept = "persistence true\nautosave_interval 60\n"
    (tmp_path / "mosquitto.conf").write_text(f"{kept}{text}\n")
    *found, last = mosquitto.look(tmp_path / "mosquitto.conf")
    assert last.state is State.OK
    assert len(found) == (ports is not None)
    for finding in found:
        assert finding.state is State.WARNING
        assert f"at port {ports}." in finding.found


def test_without_a_config_of_mosquitto_nothing_is_said_of_it(tmp_path: Path) -> None:
    assert list(mosquitto.look(tmp_path / "mosquitto.conf")) == []


@pytest.mark.parametrize(("synchronised", "state"), [(True, State.OK), (None, State.OK), (False, State.WARNING)])
def test_the_clock(site: Site, monkeypatch: pytest.MonkeyPatch, synchronised: bool | None, state: State) -> None:
    monkeypatch.setattr(clock, "synchronised", lambda: synchronised)
    assert line(site.report(), "clock").state is state


def test_an_old_sqlite_is_a_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    assert wrong(site.report()) == [("sqlite", State.WARNING)]


def test_who_listens_on_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = listener(listening.getsockname()[1])
        assert found is not None
        assert str(found).startswith(f"process {os.getpid()} (")
        assert listener(free_port()) is None
    assert str(Listener()) == "another program"


@pytest.mark.parametrize(
    ("port", "rights", "may"), [(502, "0", False), (502, "400", True), (1024, "0", True), (80, "3ff", False)]
)
def test_the_right_to_a_port(tmp_path: Path, port: int, rights: str, may: bool) -> None:
    (tmp_path / "sys/net/ipv4").mkdir(parents=True)
    (tmp_path / "sys/net/ipv4/ip_unprivileged_port_start").write_text("1024\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"Name:\tx\nCapPrm:\tffff\nCapEff:\t{rights:0>16}\n")
    assert may_listen(port, tmp_path) is may
    assert may_listen(port, tmp_path / "none"), "where the system does not tell, nothing is claimed"


def test_which_addresses_are_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_look_up", known_names_only(addresses._look_up))
    assert [is_here(host) for host in ("127.0.0.1", "localhost", "192.0.2.1", "nowhere.example")] == [
        True,
        True,
        False,
        False,
    ]


# --- as a whole


def test_it_ends_in_time_when_nothing_answers(site: Site) -> None:
    """A device and a broker that accept a connection and say nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        site.set("modbus", port=port, timeout_s=20.0)
        site.set("mqtt", port=port)
        began_s = time.monotonic()
        report = site.report()
    assert time.monotonic() - began_s < 9
    assert wrong(report) == [("device device", State.PROBLEM), ("broker", State.PROBLEM)]


def test_a_check_that_hangs_is_left_behind_and_one_with_a_bug_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(examination, "_LIMIT_S", 1.0)
    monkeypatch.setattr(broker, "look", lambda *_, **__: ended.wait(10))
    monkeypatch.setattr(disk, "look", lambda *_, **__: {}["gone"])
    report = site.report()
    ended.set()
    assert wrong(report) == [("broker", State.PROBLEM), ("disk", State.PROBLEM)]
    assert line(report, "broker").found == "This check did not end in time."
    assert "KeyError: 'gone'" in line(report, "disk").found
    assert (line(report, "broker").exit_code, line(report, "disk").exit_code) == (4, 1)


def test_the_command_prints_a_line_for_each_check_and_ends_with_the_first_problems_code(
    site: Site, tmp_path: Path
) -> None:
    site.file.touch(0o600)
    site.set("mqtt", username="edge", password=CANARY, port=free_port())
    done = run_cli("doctor", "--config", site.write(), cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"ok       config: {site.file}: 1 device (device), broker 127.0.0.1:")
    (place,) = (i for i, said in enumerate(lines) if said.startswith("problem  broker: "))
    assert lines[place + 1].startswith("         Check that a broker runs there")
    assert lines[-1].startswith("1 problem")
    assert CANARY not in done.stdout


def test_the_commands_options_and_its_json(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path)
    site.write()
    flags = ["--model", str(bundle.path), "--state-dir", str(tmp_path / "elsewhere"), "--json"]
    done = run_cli("doctor", *flags, cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["schema"], document["exit_code"]) == (0, 1, 0)
    found = {finding["check"]: finding for finding in document["findings"]}
    assert found.keys() >= {"config", "model", "service", "files", "device device", "broker", "disk", "software"}
    assert str(bundle.path) in found["model"]["found"]
    assert f"None runs with its state in {tmp_path}/elsewhere." in found["service"]["found"]
    assert found["config"].keys() == {"check", "state", "found", "remedy", "exit_code"}
    assert document["service"] is None
    with StatusSocket(tmp_path, snapshot(site).as_dict):
        done = run_cli("doctor", "--state-dir", tmp_path, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["service"]["pid"] == os.getpid()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_terminal_every_word_is_there_and_nothing_is_wider(site: Site, width: int) -> None:
    site.set("modbus", port=free_port())
    findings = site.report().findings
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(drawn(findings))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    begins = next(said.index("No other user") for said in lines if "No other user" in said)
    words = "".join(said[begins:].replace(" ", "") for said in lines)
    for finding in findings:
        assert f"{finding.found}{finding.remedy}".replace(" ", "") in words
    assert any(said.startswith("✗ device device") for said in lines)
    assert words.endswith("1problem.")


def test_every_check_is_described(site: Site) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "doctor.md").read_text("utf-8")
    source = "".join(file.read_text("utf-8") for file in Path(examination.__file__).parent.glob("*.py"))
    checks = set(re.findall(r"(?:ok|warning|problem)\(\s*\"(\w+)\"", source))
    assert checks >= {finding.check for finding in site.report().findings} - {"device device"}
    assert [check for check in checks if f"`{check}`" not in page] == []
