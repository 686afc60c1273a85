"""A model is swapped for one with its tags in another order, at other addresses, or with more of them."""

import signal
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ampedge.datamap import DataMap, laid_out
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import pack_bundle, save_bundle
from tests.support.bundles import AMPLIFIER_FEATURES, tiny_bundle, tiny_row
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
