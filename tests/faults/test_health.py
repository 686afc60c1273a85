"""What a running service says of itself is true: each fault shows in its place, in words, and goes when it is mended.

Covers: a slave that hangs up, a slave whose registers are zero, a broker that is killed, a model that is
damaged, a service that is killed, and `doctor` beside them.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ampedge.errors import UnreachableError
from ampedge.samples import BUNDLE, shipped
from ampedge.service.status import read_status
from tests.support.cli import run_cli, start_cli
from tests.support.mosquitto import Mosquitto
from tests.support.scripted_slave import ScriptedSlave, registers
from tests.support.serving import GOLDEN_WORDS
from tests.support.waiting import wait_until


class Site:
    """A service in a directory, its slave and its broker; `troubles` is what it says of itself, but for the clock."""

    def __init__(self, place: Path, slave: ScriptedSlave, broker: int) -> None:
        self.place = place
        self.slave = slave
        self.model = place / "model.ampedge"
        self.heal_model()
        (place / "ampedge.toml").write_text(
            'state_dir = "state"\nmodel = "model.ampedge"\nwatch_model = true\n'
            f'[modbus]\nhost = "127.0.0.1"\nport = {slave.port}\nslave = "external"\ninterval_s = 0.05\n'
            f'reconnect_settle_s = 0\n[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n'
        )

    def heal_model(self) -> None:
        self.model.write_bytes(shipped(BUNDLE).read_bytes())

    @property
    def status(self) -> dict[str, Any]:
        return read_status(self.place / "state", timeout_s=10)

    @property
    def troubles(self) -> list[str]:
        try:
            return list(self.status["problems"])
        except UnreachableError as error:
            return [error.problem]

    def becomes(self, *beginnings: str) -> None:
        """Wait until it has just these troubles, known by their beginnings."""

        def is_so() -> bool:
            pairs = list(zip(self.troubles, beginnings, strict=False))
            return len(self.troubles) == len(beginnings) and all(said.startswith(begin) for said, begin in pairs)

        wait_until(is_so, 15, f"the troubles to be {beginnings}")


def answer(frame: bytes, words: tuple[int, ...] = GOLDEN_WORDS) -> bytes:
    address, count = struct.unpack(">HH", frame[8:12])
    return registers(frame, list(words[address : address + count]))


@pytest.fixture
def site(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Site]:
    """A service that is well; it is killed at the end."""
    with ScriptedSlave(answer) as slave:
        site = Site(tmp_path, slave, mosquitto.port)
        with start_cli("serve", cwd=tmp_path) as serve:
            try:
                site.becomes()
                assert site.status["pid"] == serve.pid
                yield site
            finally:
                serve.kill()
        with pytest.raises(UnreachableError, match="ended without a goodbye"):
            read_status(tmp_path / "state")


def test_a_service_that_is_well_says_so(site: Site) -> None:
    assert site.status["healthy"]
    wait_until(lambda: site.status["log"]["delivered"] > 3)
    status = site.status
    (device,) = status["devices"]
    assert (device["online"], device["label"], device["quality"]) == (True, "healthy", "good")
    assert device["good_age_s"] < 1
    assert status["mqtt"]["connected"]
    assert status["mqtt"]["acknowledged_age_s"] < 1
    assert status["log"]["size_bytes"] > 0
    assert status["model"]["path"] == str(site.model)


def test_a_device_that_is_lost_or_says_nothing(site: Site) -> None:
    wait_until(lambda: site.status["devices"][0]["label"] == "healthy", what="a good reading")
    site.slave.answer = lambda _: None
    site.becomes("device is offline: The slave at")
    (device,) = site.status["devices"]
    assert (device["online"], device["label"]) == (False, "unknown")
    assert device["good_age_s"] > 0
    assert device["retry_s"] is not None
    done = run_cli("doctor", "--json", cwd=site.place)
    report = json.loads(done.stdout)
    red = [finding["check"] for finding in report["findings"] if finding["state"] == "problem"]
    assert (done.returncode, red) == (4, ["service", "device device"])
    assert report["service"]["devices"][0]["online"] is False
    site.slave.answer = lambda frame: answer(frame, (0,) * 10)
    site.becomes("device has given no good reading")
    wait_until(lambda: site.troubles[0].endswith(": never written"), what="the reason of now")
    site.slave.answer = answer
    site.becomes()


def test_a_broker_that_is_gone_and_a_model_that_is_damaged(site: Site, mosquitto: Mosquitto) -> None:
    site.model.write_bytes(b"damaged")
    mosquitto.stop()
    site.becomes(f"The broker at 127.0.0.1:{mosquitto.port} cannot be reached", "model.ampedge is refused")
    wait_until(lambda: site.status["log"]["waiting"] > 10)
    site.heal_model()
    mosquitto.start()
    site.becomes()
    wait_until(lambda: site.status["log"]["waiting"] <= 1)
    log = site.status["log"]
    assert log["produced"] == log["delivered"] + log["dropped"] + log["waiting"]
    assert log["dropped"] == 0
