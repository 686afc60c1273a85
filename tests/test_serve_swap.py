"""A model is swapped for one with its tags in another order, at other addresses, or with more of them."""

import shutil
import signal
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ampedge.datamap import DataMap, laid_out
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import pack_bundle, save_bundle
from ampedge.service.status import read_status
from tests.support.bundles import AMPLIFIER_FEATURES, tiny_bundle, tiny_row
from tests.support.cli import command, run_cli
from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, MosquittoSub
from tests.support.scripted_slave import ScriptedSlave, registers
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

NAMES = tuple(AMPLIFIER_FEATURES)
TAGS = "".join(f'[[tags]]\nname = "{name}"\naddress = {2 * place}\n' for place, name in enumerate(NAMES))
MOVED = 40


class Site:
    """The place of a model that runs, and what a device holds there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = directory / "site.ampedge"
        self._held: dict[int, int] = {}
        self._version = 0

    def hold(self, datamap: DataMap, values: Sequence[float]) -> None:
        """Put a row into the device's registers."""
        for tag, words in zip(datamap.tags, encode_row(datamap.tags, values), strict=True):
            self._held |= {tag.address + at: word for at, word in enumerate(words)}

    def config(self, modbus: str, broker: int) -> None:
        """Write the config file."""
        text = f'[modbus]\nhost = "127.0.0.1"\n{modbus}\n[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n'
        (self.directory / "ampedge.toml").write_text(text)

    def answer(self, frame: bytes) -> bytes:
        address, count = struct.unpack(">HH", frame[8:12])
        return registers(frame, [self._held.get(address + at, 0) for at in range(count)])

    def place(self, names: Sequence[str], *, moved: int = 0) -> DataMap:
        """Put a new version of the model in place, with these features; the data map that it was made for."""
        self._version += 1
        features = {name: AMPLIFIER_FEATURES.get(name, ("V", 0.5, 0.1)) for name in names}
        place = self.directory / f"made{self._version}"
        place.mkdir()
        bundle = tiny_bundle(place, features=features)
        plain: dict[str, Any] = bundle.manifest.model_dump(mode="json")
        del plain["files"]
        plain["version"] = str(self._version)
        for tag in plain["datamap"]:
            tag["address"] += moved
        bundle = save_bundle(bundle.path, plain, {"weights.bin": bundle.contents["weights.bin"]})
        pack_bundle(bundle, self.model)
        if moved:
            self.hold(bundle.datamap, tiny_row(bundle, "failsoon"))
        return bundle.datamap


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A device that holds the healthy row and a sixth value behind it; the first model is in place."""
    site = Site(tmp_path)
    site.hold(laid_out([*NAMES, "hum"]), [*GOLDEN, 0.5])
    site.place(NAMES)
    return site


@pytest.fixture
def device(site: Site) -> Iterator[ScriptedSlave]:
    with ScriptedSlave(site.answer) as slave:
        yield slave


def values(event: dict[str, Any]) -> dict[str, float]:
    return {name: round(value["value"], 3) for name, value in event["values"].items()}


@pytest.mark.parametrize(
    ("tags", "names", "moved", "label", "reads"),
    [
        (TAGS, NAMES[::-1], 0, "healthy", "holding 0-9"),
        ("", (*NAMES, "hum"), 0, "healthy", "holding 0-11"),
        ("", NAMES, MOVED, "failsoon", f"holding {MOVED}-{MOVED + 9}"),
    ],
    ids=["another order", "more tags", "other addresses"],
)
@pytest.mark.parametrize("by", ["signal", "watch"])
def test_each_value_is_read_where_the_map_of_its_model_says(
    site: Site,
    device: ScriptedSlave,
    mosquitto: Mosquitto,
    by: str,
    tags: str,
    names: tuple[str, ...],
    moved: int,
    label: str,
    reads: str,
) -> None:
    (site.directory / "ampedge.toml").write_text("[modbus]\ninterval_s = 0.05\n" + tags)
    options = ("--slave", "external", *(["--watch-model"] if by == "watch" else []))
    with (
        MosquittoSub(mosquitto.port, "amp/inference/event") as sub,
        Serve(site.directory, *options, broker=mosquitto.port, port=device.port, model=site.model) as serve,
    ):
        events = lambda: [valid_event(payload) for payload in sub.on("amp/inference/event")]  # noqa: E731
        wait_until(lambda: events()[-1:] and events()[-1]["label"] == "healthy", what="a label")
        site.place(names, moved=moved)
        if by == "signal":
            serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: events()[-1]["model"]["version"] == "2", what="the second model")
        wait_until(lambda: events()[-1]["sequence"] > 5)
        assert serve.process.poll() is None
        for event in events():
            second = event["model"]["version"] == "2"
            assert event["label"] == (label if second else "healthy")
            assert event["quality"] == "good"
            if not moved:
                assert values(event)["plate_voltage"] == 427.336
                assert values(event)["impedance"] == 7.502
        assert set(values(events()[-1])) == set(names)
        assert "bug" not in serve.log
        if reads != "holding 0-9":
            assert f"{reads} of unit 1" in serve.log


class Here(Serve):
    """A service that finds its model in its directory; all else stands in the config file."""

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self._arguments = command("serve", "--slave", "external", *options)


@pytest.fixture
def here(site: Site, device: ScriptedSlave, mosquitto: Mosquitto) -> Site:
    """The site with all addresses in its config file."""
    site.config(f"port = {device.port}\ninterval_s = 0.05", mosquitto.port)
    return site


def version(site: Site) -> str:
    found: str = read_status(site.directory / "ampedge-state")["model"]["version"]
    return found


@pytest.mark.parametrize("by", ["signal", "watch"])
def test_where_the_model_is_missing_for_a_moment_no_other_is_taken(here: Site, by: str) -> None:
    with Here(here.directory, *(["--watch-model"] if by == "watch" else [])) as serve:
        wait_until((here.directory / "ampedge-state/models/kept.json").exists, what="a copy to be kept")
        here.model.rename(here.directory / "away")
        if by == "signal":
            serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Version 1 goes on." in serve.log, what="the refusal")
        assert "amplifier that ampedge ships" not in serve.log
        assert version(here) == "1"
        here.place(NAMES)
        if by == "signal":
            serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: version(here) == "2", what="the model that is there again")
        wait_until(lambda: '"version": "2"' in (here.directory / "ampedge-state/models/kept.json").read_text())
        assert serve.stop() == 0
    here.model.unlink()
    with Here(here.directory) as serve:
        assert "last good copy" in serve.log
        assert version(here) == "2"


def test_a_model_that_comes_takes_the_place_of_the_shipped_one(here: Site) -> None:
    here.model.unlink()
    with Here(here.directory) as serve:
        assert "amplifier model that ampedge ships" in serve.log
        here.place(NAMES)
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: version(here) == "2", what="the model that has come")


def test_a_damaged_model_does_not_bring_back_the_one_before(here: Site, device: ScriptedSlave) -> None:
    """The one that runs has given no label yet, so that no copy of it is kept."""
    with Here(here.directory) as serve:
        wait_until((here.directory / "ampedge-state/models/kept.json").exists, what="a copy to be kept")
        device.answer = lambda frame: None  # away
        wait_until(lambda: "no_communication" in serve.log, what="the device to be lost")
        here.place(NAMES)
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: version(here) == "2", what="the second model")
        here.model.write_bytes(here.model.read_bytes()[:-40])
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Version 2 goes on." in serve.log, what="the refusal")
        assert version(here) == "2"
        assert "is refused" in read_status(here.directory / "ampedge-state")["model"]["problem"]


def test_a_rollback_is_obeyed_where_the_config_is_wrong(here: Site) -> None:
    kept = here.directory / "ampedge-state/models/kept.json"
    with Here(here.directory) as serve:
        wait_until(lambda: kept.exists() and '"version": "1"' in kept.read_text())
        here.place(NAMES)
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: '"version": "2"' in kept.read_text(), what="a copy of the second to be kept")
        (here.directory / "ampedge.toml").write_text("[modbus]\nprot = 1\n")
        done = run_cli("rollback", "--state-dir", "ampedge-state", "--config", "none.toml", cwd=here.directory)
        assert done.returncode == 2, "a config that is named must be there"
        (here.directory / "none.toml").touch()
        done = run_cli("rollback", "--state-dir", "ampedge-state", "--config", "none.toml", cwd=here.directory)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: version(here) == "1", what="the model before")
        assert "Not reloaded" in serve.log


def test_a_model_whose_path_cannot_be_looked_at_ends_nothing(here: Site, mosquitto: Mosquitto) -> None:
    with Here(here.directory) as serve:
        config = here.directory / "ampedge.toml"
        config.write_text(f'model = "{"n" * 300}"\n' + config.read_text())
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Not reloaded" in serve.log, what="the refusal")
        assert "File name too long" in serve.log
        assert version(here) == "1"
        assert serve.stop() == 0


@pytest.mark.parametrize("by", ["signal", "watch"])
def test_what_is_hosted_stays_where_it_is(site: Site, mosquitto: Mosquitto, by: str) -> None:
    """Masters write where the slave has been until now; another map would read what nobody writes."""
    options = ("--slave", "embedded", "--interval", "0.05", *(["--watch-model"] if by == "watch" else []))
    with (
        MosquittoSub(mosquitto.port, "amp/inference") as sub,
        Serve(site.directory, *options, broker=mosquitto.port, model=site.model) as serve,
    ):
        serve.write(*GOLDEN)
        wait_until(lambda: "healthy" in sub.on("amp/inference"), what="a label")
        site.place(NAMES, moved=MOVED)
        if by == "signal":
            serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "hosted slave has other registers" in serve.log, what="the refusal")
        count = len(sub.on("amp/inference"))
        wait_until(lambda: len(sub.on("amp/inference")) > count + 3, what="the old model to go on")
        assert set(sub.on("amp/inference")[count:]) == {"healthy"}
        site.place(NAMES)  # the same registers
        if by == "signal":
            serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Version 3." in serve.log, what="the third model")


def test_a_state_directory_that_is_taken_anew_gets_its_copy_of_the_model_again(here: Site) -> None:
    state, config = here.directory / "ampedge-state", here.directory / "ampedge.toml"
    config.write_text(config.read_text() + "[store]\ncommit_s = 1\n")
    with Here(here.directory):
        wait_until((state / "models/kept.json").exists, what="a copy to be kept")
        shutil.rmtree(state)
        wait_until((state / "models/kept.json").exists, 20, "the copy to be kept again")
