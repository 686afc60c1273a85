"""Values that earlier readings cast doubt on, as `ampedge serve` publishes them."""

import signal
from pathlib import Path
from typing import Any

from ampedge.datamap import DataMap, Tag
from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode_row
from ampedge.modbus.plan import plan_writes
from ampedge.modbus.slave import EmbeddedSlave
from tests.support.bundles import tiny_bundle, tiny_row
from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, MosquittoSub, free_port
from tests.support.scripted_slave import ScriptedSlave, registers
from tests.support.serving import GOLDEN_WORDS, Serve
from tests.support.waiting import wait_until

MAP = DataMap((Tag("flow", 0, unit="l/min"),))


def said(subscriber: MosquittoSub) -> list[tuple[str, str, tuple[str, ...]]]:
    """(label, quality, reasons) of every event so far."""
    events = [valid_event(payload) for payload in subscriber.on("amp/inference/event")]
    return [(event["label"], event["quality"], tuple(event["reasons"])) for event in events]


def wait_for(subscriber: MosquittoSub, *wanted: tuple[str, str, tuple[str, ...]], after: int = 0) -> int:
    """Wait for these events, in this order, behind the first `after`; gives how many there are up to the last one."""

    def place() -> int | None:
        at = after
        found = said(subscriber)
        for one in wanted:
            if one not in found[at:]:
                return None
            at = found.index(one, at) + 1
        return at

    wait_until(lambda: place() is not None, what=f"{wanted} behind {said(subscriber)[after:]}")
    return place() or 0


def site(place: Path, *lines: str, modbus: str = "") -> tuple[dict[str, Any], dict[str, float]]:
    """(options for Serve, the value of each class) of a plant with one tag and these keys for it."""
    bundle = tiny_bundle(place, classes=("idle", "busy"), features={"flow": ("l/min", 3.5, 1.0)})
    config = place / "site.toml"
    tag = ['name = "flow"', "address = 0", 'unit = "l/min"', *lines]
    config.write_text("\n".join(["[modbus]", "interval_s = 0.1", modbus, "[[tags]]", *tag, ""]))
    return {"model": bundle.path}, {name: tiny_row(bundle, name)[0] for name in bundle.classes}


def test_a_jump_is_uncertain_once_and_keeps_its_label(tmp_path: Path, mosquitto: Mosquitto) -> None:
    options, values = site(tmp_path, "max_step = 1.0")
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, "--config", tmp_path / "site.toml", broker=mosquitto.port, **options) as serve,
    ):
        serve.write(values["idle"], datamap=MAP)
        seen = wait_for(sub, ("idle", "good", ()))
        serve.write(values["busy"], datamap=MAP)
        seen = wait_for(sub, ("busy", "uncertain", ("flow: jumped",)), ("busy", "good", ()), after=seen)
        serve.write(values["busy"] + 0.9, datamap=MAP)
        wait_until(lambda: len(said(sub)) > seen + 3, what="more events")
        assert set(said(sub)[seen:]) == {("busy", "good", ())}


def test_a_reload_forgets_neither_that_a_device_was_lost_nor_that_it_settles(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = tmp_path / "ampedge.toml"
    text = "[modbus]\ninterval_s = 0.1\nreconnect_settle_s = 20\ntimeout_s = {}\n".format
    config.write_text(text(1))
    with (
        ScriptedSlave(lambda frame: registers(frame, list(GOLDEN_WORDS))) as slave,
        MosquittoSub(mosquitto.port, "amp/inference/event") as sub,
        Serve(tmp_path, "--slave", "external", broker=mosquitto.port, port=slave.port) as serve,
    ):

        def reload(timeout_s: int) -> None:
            config.write_text(text(timeout_s))
            count = serve.log.count("Reloaded.")
            serve.process.send_signal(signal.SIGHUP)
            wait_until(lambda: serve.log.count("Reloaded.") > count, what="the reload")
            polled = len(slave.requests)
            wait_until(lambda: len(slave.requests) > polled + 1, what="polls")

        good, away = ("healthy", "good", ()), ("unknown", "bad", ("no_communication",))
        settling = ("healthy", "uncertain", ("settling",))
        wait_for(sub, good)
        reload(2)
        assert set(said(sub)) == {good}, "a reload alone is no loss"
        answer, slave.answer = slave.answer, lambda frame: None
        lost = wait_for(sub, away)
        reload(3)
        slave.answer = answer
        wait_for(sub, settling, after=lost)
        reload(4)
        count = len(said(sub))
        wait_until(lambda: len(said(sub)) > count + 2, what="events")
        assert set(said(sub)[lost:]) == {away, settling}


def test_a_value_that_stands_still_is_uncertain_until_it_moves(tmp_path: Path, mosquitto: Mosquitto) -> None:
    options, values = site(tmp_path, "expect_change_s = 0.6")
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, "--config", tmp_path / "site.toml", broker=mosquitto.port, **options) as serve,
    ):
        serve.write(values["idle"], datamap=MAP)
        frozen = ("idle", "uncertain", ("flow: frozen",))
        seen = wait_for(sub, ("idle", "good", ()), frozen)
        assert said(sub).count(("idle", "good", ())) >= 4  # for the time it may stand still
        serve.write(values["busy"], datamap=MAP)
        wait_for(sub, ("busy", "good", ()), ("busy", "uncertain", ("flow: frozen",)), after=seen)


def test_a_device_that_comes_back_is_uncertain_for_the_time_it_is_given(tmp_path: Path, mosquitto: Mosquitto) -> None:
    port = free_port()
    options, values = site(tmp_path, modbus='slave = "external"\nreconnect_settle_s = 0.5')
    slave = running_slave(port, values["idle"])
    with (
        MosquittoSub(mosquitto.port, "amp/#") as sub,
        Serve(tmp_path, "--config", tmp_path / "site.toml", broker=mosquitto.port, port=port, **options),
    ):
        try:
            seen = wait_for(sub, ("idle", "good", ()))
            assert ("idle", "uncertain", ("settling",)) not in said(sub)  # what was never away need not settle
            slave.stop()
            seen = wait_for(sub, ("unknown", "bad", ("no_communication",)), after=seen)
            slave = running_slave(port, values["busy"])
            back = wait_for(sub, ("busy", "uncertain", ("settling",)), after=seen)
            assert ("busy", "good", ()) not in said(sub)[seen:back]
            wait_for(sub, ("busy", "good", ()), after=back)
            assert said(sub)[seen:].count(("busy", "uncertain", ("settling",))) >= 3
        finally:
            slave.stop()


def running_slave(port: int, value: float) -> EmbeddedSlave:
    """A device whose registers hold the value from the first request on."""
    slave = EmbeddedSlave("127.0.0.1", port, MAP)
    slave.start()
    master = Master("127.0.0.1", port)
    master.write(plan_writes(MAP), encode_row(MAP.tags, (value,)))
    master.close()
    return slave
