"""The client id: stable for one service, different for another, and the user's where one is given."""

from pathlib import Path

import pytest

from ampedge.mqtt import identity
from ampedge.mqtt.identity import client_id
from ampedge.settings import MqttSection


def test_the_configured_one_wins(tmp_path: Path) -> None:
    assert client_id(MqttSection(client_id="boiler house"), tmp_path) == "boiler house"


def test_it_belongs_to_machine_and_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(identity, "MACHINE_ID", machine)
    monkeypatch.chdir(tmp_path)
    machine.write_text("0123456789abcdef\n")
    ours = client_id(MqttSection(), Path("state"))
    assert ours.startswith("ampedge-")
    assert len(ours) == len("ampedge-") + 16, "3.1.1 lets a broker refuse more than 23 bytes, few do"
    assert client_id(MqttSection(), tmp_path / "state") == ours, "the same directory, written otherwise"
    assert client_id(MqttSection(), tmp_path / "other") != ours
    machine.write_text("another machine\n")
    assert client_id(MqttSection(), Path("state")) != ours


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_without_a_machine_id_the_host_s_name_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(identity, "MACHINE_ID", machine)
    if content is not None:
        machine.write_bytes(content)
    ours = client_id(MqttSection(), tmp_path)
    assert client_id(MqttSection(), tmp_path) == ours
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert client_id(MqttSection(), tmp_path) != ours


def test_without_a_state_directory_it_is_random() -> None:
    assert client_id(MqttSection(), None) != client_id(MqttSection(), None)
