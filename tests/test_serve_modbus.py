"""What a device answers, as `ampedge serve` publishes it."""

import struct
from pathlib import Path
from typing import Any

from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, MosquittoSub
from tests.support.scripted_slave import ScriptedSlave, exception, registers
from tests.support.serving import GOLDEN_WORDS, Serve
from tests.support.waiting import wait_until


class Amplifier:
    """Answers with the golden row, has a check register at 50, and lacks what is in `missing`."""

    def __init__(self) -> None:
        self.check = (0x4048, 0xF5C3)  # 3.14
        self.missing: set[int] = set()

    def __call__(self, frame: bytes) -> bytes:
        address, count = struct.unpack(">HH", frame[8:12])
        span = range(address, address + count)
        if self.missing & set(span):
            return exception(frame, 2)
        held = dict(enumerate(GOLDEN_WORDS)) | dict(enumerate(self.check, 50))
        return registers(frame, [held.get(at, 0) for at in span])


def serve(place: Path, slave: ScriptedSlave, mosquitto: Mosquitto, *lines: str) -> Serve:
    config = place / "site.toml"
    config.write_text("\n".join(["[modbus]", 'slave = "external"', "interval_s = 0.05", *lines, ""]))
    return Serve(place, "--config", config, port=slave.port, broker=mosquitto.port, ready="Reading")


def wait_for(subscriber: MosquittoSub, label: str, *reasons: str) -> dict[str, Any]:
    """The first event with this label and these reasons."""

    def found() -> list[dict[str, Any]]:
        events = [valid_event(payload) for payload in subscriber.on("amp/inference/event")]
        return [event for event in events if event["label"] == label and tuple(event["reasons"]) == reasons]

    wait_until(found, what=f"{label} because of {reasons}")
    return found()[0]


def test_a_missing_register_costs_its_own_tag_only(tmp_path: Path, mosquitto: Mosquitto) -> None:
    amplifier = Amplifier()
    with (
        ScriptedSlave(amplifier) as slave,
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        serve(tmp_path, slave, mosquitto) as running,
    ):
        wait_for(sub, "healthy")
        amplifier.missing = {4}
        event = wait_for(sub, "unknown", "heater_current: configuration_error")
        values = {name: value["value"] for name, value in event["values"].items()}
        assert values.pop("heater_current") is None
        assert all(value is not None for value in values.values())
        running.stop()
        assert running.log.count("no value for heater_current; asked again after 300 s.") == 1
        assert "exception 2 (illegal data address) (function code 3, holding 4-5)" in running.log


def test_a_check_register_with_another_content_means_that_nothing_is_believed(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    amplifier = Amplifier()
    amplifier.check = amplifier.check[::-1]
    with (
        ScriptedSlave(amplifier) as slave,
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        serve(tmp_path, slave, mosquitto, "[modbus.check]", "address = 50", "value = 3.14") as running,
    ):
        wait_for(sub, "unknown", "configuration_error")
        wait_until(lambda: "where 3.14 is expected; with word order CDAB it would fit" in running.log)
        amplifier.check = amplifier.check[::-1]
        wait_for(sub, "healthy")


def test_close_after_poll_opens_a_connection_for_each(tmp_path: Path, mosquitto: Mosquitto) -> None:
    for keys, one in (((), True), (("close_after_poll = true",), False)):
        with ScriptedSlave(Amplifier()) as slave, serve(tmp_path, slave, mosquitto, *keys):
            wait_until(lambda slave=slave: len(slave.requests) > 4)  # type: ignore[misc]
            assert (slave.connections == 1) is one
