"""A storm of seeded random faults over the whole service, with its time constants scaled down.

    python -m tests.faults.storm --injections 500 --seed 1

Three devices (one hosted by the test, one that answers what it is told to, one that nobody harms), Mosquitto, a real
log on disk, all in one process so that bugs, clocks and disks can be made to fail, too.  Faults of more than forty
kinds come one to three at a time; after each, everything must be well again, and the device that nobody harms must
never have missed a poll because of the others.  At the end every event that was produced has been delivered.
"""

import argparse
import contextlib
import random
import sqlite3
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ampedge.clock import SystemClock
from ampedge.config import Config, load_config
from ampedge.errors import AmpedgeError
from ampedge.modbus import parts
from ampedge.modbus import source as modbus_source
from ampedge.modbus.slave import EmbeddedSlave
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.mqtt import client, connection, retries, suspects
from ampedge.records import Quality
from ampedge.samples import BUNDLE, shipped
from ampedge.service import supervisor
from ampedge.service.device import DeviceLoop
from ampedge.service.service import Service
from ampedge.store import event_log, trouble
from ampedge.store.database import Database
from ampedge.store.event_log import EventLog
from ampedge.store.trouble import Unwritable
from tests.faults.kills import Counting
from tests.support.bundles import tiny_bundle
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy
from tests.support.scripted_slave import ScriptedSlave, exception, registers, reply
from tests.support.serving import GOLDEN_WORDS
from tests.support.waiting import wait_until

INTERVAL_S = 0.02
TIMEOUT_S = 0.15
RECOVERY_S = 15.0

CONFIG = """
[decision]
normal_label = "healthy"
[modbus]
interval_s = {interval_s}
timeout_s = {timeout_s}
reconnect_settle_s = 0.05
[mqtt]
host = "127.0.0.1"
port = {broker}
topic = "storm/{{device}}/label"
client_id = "storm"
[store]
commit_s = 0.2
[[devices]]
name = "hosted"
host = "127.0.0.1"
port = {hosted}
[[devices]]
name = "scripted"
host = "127.0.0.1"
port = {scripted}
[[devices]]
name = "unharmed"
host = "127.0.0.1"
port = {unharmed}
"""


class StormClock(SystemClock):
    """This machine's clock, whose wall time can be set wrong."""

    def __init__(self) -> None:
        self.wrong_s = 0.0

    def time(self) -> float:
        return time.time() + self.wrong_s


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    injections: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    produced: int = 0
    delivered: int = 0
    dropped: int = 0
    waiting: int = 0
    lost: int = 0
    not_recovered: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0


class Storm:
    """The service and everything around it that can be made to fail."""

    def __init__(self, folder: Path, stack: ExitStack, seed: int) -> None:
        self.random = random.Random(seed)
        self.bundle = load_bundle(shipped(BUNDLE))
        other = folder / "other"
        other.mkdir()
        self.other: Bundle = tiny_bundle(other, classes=("idle", "busy"), features={"flow": ("l/min", 3.5, 1.0)})
        self.clock = StormClock()
        place = folder / "broker"
        place.mkdir()
        self.mosquitto = stack.enter_context(Mosquitto(place))
        self.to_broker = stack.enter_context(Proxy(self.mosquitto.port))
        self.slave_port = 0
        self.start_slave()
        stack.callback(self.slave.stop)
        self.to_slave = stack.enter_context(Proxy(self.slave_port))
        self.scripted = stack.enter_context(ScriptedSlave(self.good))
        unharmed = stack.enter_context(ScriptedSlave(self.good))
        file = folder / "ampedge.toml"
        file.write_text(
            CONFIG.format(
                interval_s=INTERVAL_S,
                timeout_s=TIMEOUT_S,
                broker=self.to_broker.port,
                hosted=self.to_slave.port,
                scripted=self.scripted.port,
                unharmed=unharmed.port,
            )
        )
        self.config: Config = load_config(file, {"state_dir": str(folder / "state")}, {})
        self.state = folder / "state"
        self.consumer = stack.enter_context(Counting(self.mosquitto.port, "storm/+/label/event"))
        self.appended: set[tuple[str, str, int]] = set()
        stack.enter_context(self.watched())
        self.service = Service(self.config, self.bundle, clock=self.clock)
        self.service.__enter__()
        stack.callback(lambda: self.service.__exit__(None, None, None))

    def start_slave(self) -> None:
        """The slave of the test, as after a reboot but with its values."""
        self.slave = EmbeddedSlave("127.0.0.1", self.slave_port, self.bundle.datamap)
        self.slave.start()
        self.slave_port = self.slave.port
        self.slave._server.data_hdl.data_bank.set_holding_registers(0, list(GOLDEN_WORDS))

    def watched(self) -> Any:
        """Take note of each event that any start of the service hands to its log."""
        append = EventLog.append

        def noted(log: EventLog, device: str, sequence: int, time_s: float, payload: bytes) -> int:
            self.appended.add((log._boot, device, sequence))
            return append(log, device, sequence, time_s, payload)

        return mock.patch.object(EventLog, "append", noted)

    def good(self, frame: bytes) -> bytes | None:
        """What a device answers that is well."""
        start, count = struct.unpack(">HH", frame[8:12])
        return registers(frame, list(GOLDEN_WORDS[start : start + count]))

    def loop(self, name: str) -> DeviceLoop:
        return next(loop for loop in self.service.devices if loop.name == name)

    def well(self) -> bool:
        """Whether everything is as it should be: good readings of all devices, delivered as they come."""
        service = self.service
        good = all(loop.latest is not None and loop.latest.quality is Quality.GOOD for loop in service.devices)
        fresh = all(loop.age_s() < 5 * INTERVAL_S for loop in service.devices)
        delivering = service.publisher.connected and service.publisher.healthy
        return good and fresh and delivering and service.log.problem is None and service.log.counts.waiting <= 20

    # --- what can be done to it: each is a context manager that ends the fault ---------------------------------

    @contextmanager
    def answer(self, change: Callable[[bytes], bytes | None]) -> Iterator[None]:
        self.scripted.answer = change
        yield
        self.scripted.answer = self.good

    @contextmanager
    def toxic(self, proxy: Proxy, **toxics: Any) -> Iterator[None]:
        proxy.both(**toxics)
        yield
        proxy.heal()

    @contextmanager
    def away(self, proxy: Proxy, *, reset: bool) -> Iterator[None]:
        proxy.refuse()
        proxy.close_all(reset=reset)
        yield
        proxy.listen()

    @contextmanager
    def at_once(self, does: Callable[[], object]) -> Iterator[None]:
        does()
        yield

    @contextmanager
    def zeros(self) -> Iterator[None]:
        bank = self.slave._server.data_hdl.data_bank
        bank.set_holding_registers(0, [0] * 10)
        yield
        bank.set_holding_registers(0, list(GOLDEN_WORDS))

    @contextmanager
    def rebooted_slave(self) -> Iterator[None]:
        self.slave.stop()
        self.to_slave.close_all(reset=True)
        yield
        self.start_slave()

    @contextmanager
    def killed_broker(self) -> Iterator[None]:
        self.mosquitto.stop()
        yield
        self.to_broker.refuse()  # it has forgotten the consumer, who must be back before the next event
        self.mosquitto.start()
        wait_until(lambda: self.consumer.connected, RECOVERY_S, "the consumer to be back")
        self.to_broker.listen()

    @contextmanager
    def frozen_broker(self) -> Iterator[None]:
        if not self.mosquitto.runs:  # it has been killed just now
            yield
            return
        self.mosquitto.pause()
        yield
        self.mosquitto.resume()

    @contextmanager
    def second_client(self) -> Iterator[None]:
        other = paho.Client(CallbackAPIVersion.VERSION2, "storm", protocol=MQTTProtocolVersion.MQTTv5)
        with contextlib.suppress(OSError):
            other.connect("127.0.0.1", self.mosquitto.port)
            other.loop(0.05)
        yield
        other.disconnect()

    @contextmanager
    def patched(self, target: Any, name: str, value: Any) -> Iterator[None]:
        with mock.patch.object(target, name, value):
            yield

    @contextmanager
    def once_broken(self, target: Any, name: str, error: Exception) -> Iterator[None]:
        """The next call of a method raises, and only that."""
        right = getattr(target, name)

        def broken(*_: Any, **__: Any) -> Any:
            setattr(target, name, right)
            raise error

        setattr(target, name, broken)
        yield
        setattr(target, name, right)

    @contextmanager
    def broken_card(self, error: Exception) -> Iterator[None]:
        """Nothing can be written to the log while it lasts."""

        def broken(*_: Any, **__: Any) -> Any:
            raise error

        with mock.patch.object(Database, "write", broken):
            yield

    @contextmanager
    def slow_card(self) -> Iterator[None]:
        right = Database.write

        def slow(*arguments: Any, **named: Any) -> Any:
            time.sleep(0.3)
            return right(*arguments, **named)

        with mock.patch.object(Database, "write", slow):
            yield

    @contextmanager
    def held_log(self) -> Iterator[None]:
        """Somebody else holds the log's file."""
        with contextlib.closing(sqlite3.connect(self.state / "events.db", timeout=1, isolation_level=None)) as other:
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
            yield
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("ROLLBACK")

    @contextmanager
    def wrong_clock(self, seconds: float) -> Iterator[None]:
        self.clock.wrong_s += seconds
        yield
        self.clock.wrong_s = 0.0

    def restart(self) -> None:
        """A clean stop and a new start on the same state directory."""
        self.service.__exit__(None, None, None)
        self.service = Service(self.config, self.bundle, clock=self.clock)
        self.service.__enter__()

    def reload(self) -> None:
        """Another interval for one device, or back."""
        file = self.config.file
        assert file is not None
        text = file.read_text()
        other = (
            text.replace('name = "scripted"', 'name = "scripted"\ninterval_s = 0.03') if "0.03" not in text else text
        )
        file.write_text(other.replace("\ninterval_s = 0.03", "") if other == text else other)
        config = load_config(file, {"state_dir": str(self.state)}, {})
        self.service.reload(config, self.bundle)
        self.config = config

    def bad_reload(self) -> None:
        """A model that does not fit must change nothing."""
        with contextlib.suppress(AmpedgeError):
            self.service.reload(self.config, self.other)
            raise AssertionError("a model for other tags was taken")

    def kinds(self) -> dict[str, Callable[[], contextlib.AbstractContextManager[None]]]:
        """Every fault by its name."""
        nan, infinite, denormal = (0x7FC0, 0), (0x7F80, 0), (0, 0x1234)

        def words(first: tuple[int, int]) -> Callable[[bytes], bytes | None]:
            return lambda frame: registers(frame, [*first, *GOLDEN_WORDS[2:]])

        faults: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
            "device refuses connections": lambda: self.away(self.to_slave, reset=False),
            "device resets its connections": lambda: self.at_once(lambda: self.to_slave.close_all(reset=True)),
            "device closes its connections": lambda: self.at_once(self.to_slave.close_all),
            "device swallows what is sent": lambda: self.toxic(self.to_slave, blackhole=True),
            "device freezes": lambda: self.toxic(self.to_slave, hold=True),
            "device answers too late": lambda: self.toxic(self.to_slave, latency_s=0.12),
            "device answers byte by byte": lambda: self.toxic(self.to_slave, slice_bytes=1),
            "device drips": lambda: self.toxic(self.to_slave, slice_bytes=1, pause_s=0.02),
            "the line flips bits": lambda: self.toxic(self.to_slave, corrupt=0.05),
            "device ends in the middle of a reply": lambda: self.toxic(self.to_slave, cut_after=13),
            "device resets in the middle of a reply": lambda: self.toxic(self.to_slave, cut_after=13, reset=True),
            "device reboots": self.rebooted_slave,
            "device forgets its values": self.zeros,
            "no number": lambda: self.answer(words(nan)),
            "infinity": lambda: self.answer(words(infinite)),
            "denormal number": lambda: self.answer(words(denormal)),
            "value out of range": lambda: self.answer(words((0x4800, 0))),
            "reply of another function": lambda: self.answer(lambda f: reply(f, bytes([4, 20]) + bytes(20))),
            "reply too short": lambda: self.answer(lambda f: registers(f, list(GOLDEN_WORDS[:4]))),
            "reply too long": lambda: self.answer(lambda f: registers(f, [*GOLDEN_WORDS, 1, 2])),
            "reply of another unit": lambda: self.answer(lambda f: _good(f)[:6] + b"\x63" + _good(f)[7:]),
            "reply to another request": lambda: self.answer(lambda f: b"\x12\x34" + _good(f)[2:]),
            "reply of another protocol": lambda: self.answer(lambda f: _good(f)[:2] + b"\0\1" + _good(f)[4:]),
            "byte count that lies": lambda: self.answer(lambda f: _good(f)[:8] + b"\x04" + _good(f)[9:]),
            "nothing but garbage": lambda: self.answer(lambda f: self.random.randbytes(300)),
            "device hangs up instead of answering": lambda: self.answer(lambda f: None),
            "unknown exception": lambda: self.answer(lambda f: exception(f, 0x63)),
            "broker refuses connections": lambda: self.away(self.to_broker, reset=False),
            "broker resets its connections": lambda: self.at_once(lambda: self.to_broker.close_all(reset=True)),
            "broker is killed": self.killed_broker,
            "broker freezes": self.frozen_broker,
            "network swallows what goes to the broker": lambda: self.toxic(self.to_broker, blackhole=True),
            "slow network to the broker": lambda: self.toxic(self.to_broker, latency_s=0.2),
            "network in single bytes": lambda: self.toxic(self.to_broker, slice_bytes=1),
            "network cut in the middle of a packet": lambda: self.toxic(self.to_broker, cut_after=700),
            "another client takes the session": self.second_client,
            "card is full": lambda: self.broken_card(Unwritable("database or disk is full", full=True)),
            "card fails": lambda: self.broken_card(Unwritable("disk I/O error")),
            "card stalls": self.slow_card,
            "log is held by somebody": self.held_log,
            "clock jumps an hour back": lambda: self.wrong_clock(-3600),
            "clock jumps ten years on": lambda: self.wrong_clock(10 * 365 * 86400),
            "bug in a stage": lambda: self.once_broken(
                self.loop("hosted").brain.pipeline, "run", ZeroDivisionError("x")
            ),
            "bug in the loop of the log": lambda: self.once_broken(self.service.log, "commit", ZeroDivisionError("x")),
            "bug in a callback of the broker": lambda: self.once_broken(
                self.service.publisher, "_acknowledged", ZeroDivisionError("x")
            ),
            "config is read again": lambda: self.at_once(self.reload),
            "config with a model that does not fit": lambda: self.at_once(self.bad_reload),
            "model is swapped": lambda: self.at_once(lambda: self.service.think_with(self.bundle)),
            "service is stopped and started": lambda: self.at_once(self.restart),
        }
        for code in (1, 2, 3, 4, 5, 6, 10, 11):
            faults[f"exception {code}"] = lambda code=code: self.answer(lambda f: exception(f, code))  # type: ignore[misc]
        return faults


def _good(frame: bytes) -> bytes:
    return registers(frame, list(GOLDEN_WORDS))


def scaled() -> ExitStack:
    """Every time constant of the service, made small."""
    stack = ExitStack()
    right = modbus_source.Backoff.__init__

    def quick(self: modbus_source.Backoff, *_: float) -> None:
        right(self, 0.02, 0.1)

    for target, name, value in (
        (parts, "PARKED_S", 0.2),
        (modbus_source, "PARKED_S", 0.2),
        (modbus_source.Backoff, "__init__", quick),
        (retries, "BACKOFF_S", (0.02, 0.2)),
        (retries, "REFUSED_S", 0.3),
        (retries, "CONTESTED_S", 0.3),
        (retries, "STEADY_S", 0.1),
        (retries, "MINUTE_S", 0.6),
        (suspects, "RETRY_S", 0.3),
        (client, "CONNECT_TIMEOUT_S", 0.5),
        (connection, "CONNACK_TIMEOUT_S", 0.5),
        (connection, "UNACKNOWLEDGED_S", 0.6),
        (connection, "_CHECK_S", 0.1),
        (event_log, "_AWAY_S", 0.1),
        (trouble, "RETRY_S", 0.1),
        (supervisor, "_PAUSE_S", 0.02),
        (supervisor, "RESTARTS", 10**9),
    ):
        stack.enter_context(mock.patch.object(target, name, value))
    return stack


def run(folder: Path, *, injections: int, seed: int, progress: bool = False) -> Outcome:
    """So many faults, one to three at a time, each with its recovery; and the accounts at the end."""
    outcome = Outcome()
    with scaled(), ExitStack() as stack:
        storm = Storm(folder, stack, seed)
        wait_until(storm.well, RECOVERY_S, "everything to be well at the start")
        names = list(storm.kinds())
        queue: list[str] = []
        while outcome.injections < injections:
            if not queue:
                queue = storm.random.sample(names, len(names))  # every kind comes before one comes again
            chosen = [queue.pop() for _ in range(min(len(queue), storm.random.choice((1, 1, 2, 3))))]
            outcome.injections += len(chosen)
            outcome.kinds.update(chosen)
            _inject(storm, chosen)
            try:
                wait_until(storm.well, RECOVERY_S, f"recovery from {', '.join(chosen)}")
            except AssertionError as error:
                outcome.not_recovered.append(f"{error}: {_state(storm)}")
                break
            if progress and outcome.injections % 50 < len(chosen):
                print(f"{outcome.injections} faults", file=sys.stderr)
        wait_until(lambda: storm.service.log.counts.waiting <= 20, RECOVERY_S, "what waits to be delivered")
        log = storm.service.log
        storm.service.__exit__(None, None, None)
        counts = log.counts
        outcome.produced, outcome.delivered = len(storm.appended), counts.delivered
        outcome.dropped, outcome.waiting = counts.dropped, counts.waiting
        wait_until(
            lambda: len(storm.consumer.received) >= counts.delivered, 5, "the consumer to have what was delivered"
        )
        outcome.lost = max(0, len(storm.appended - set(storm.consumer.received)) - counts.waiting)
    return outcome


def _inject(storm: Storm, chosen: list[str]) -> None:
    kinds = storm.kinds()
    with ExitStack() as faults:
        for name in chosen:
            faults.enter_context(kinds[name]())
        time.sleep(storm.random.uniform(0.05, 0.5))


def _state(storm: Storm) -> str:
    service = storm.service
    devices = [f"{loop.name} {loop.latest and loop.latest.frame.detail}" for loop in service.devices]
    return f"{devices}, broker: {service.publisher.problem}, log: {service.log.problem} {service.log.counts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--injections", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), injections=given.injections, seed=given.seed, progress=True)
    for missing in outcome.not_recovered:
        print(f"Not recovered: {missing}")
    print(
        f"{outcome.injections} faults of {len(outcome.kinds)} kinds: {len(outcome.not_recovered)} not recovered; "
        f"{outcome.produced} events = {outcome.delivered} delivered + {outcome.dropped} dropped + {outcome.waiting} "
        f"waiting, {outcome.lost} lost ({time.monotonic() - begun_s:.0f} s)"
    )
    exact = outcome.produced == outcome.delivered + outcome.dropped + outcome.waiting
    raise SystemExit(bool(outcome.not_recovered) or outcome.lost > 0 or outcome.dropped > 0 or not exact)


if __name__ == "__main__":
    main()
