"""SIGKILL of the service at random moments under load, with the broker away for some of the time.

    python -m tests.faults.kills --kills 200 --seed 1

A slave is polled 160 times a second; the service is killed and started again, over and over, on one state
directory.  After each kill the log's file is read as it lies there: what it holds was accepted.  At the end a last
start sends what waits.  A consumer that never goes away counts what arrives: everything accepted must have come,
and no kill may have led to more than twenty events that came twice.
Only the way between service and broker is cut, never the broker: what that has acknowledged is not ours any more.
"""

import argparse
import contextlib
import json
import random
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from paho.mqtt.client import MQTTMessage

from ampedge.modbus.slave import EmbeddedSlave
from ampedge.model.bundle import load_bundle
from ampedge.samples import BUNDLE, shipped
from tests.faults.consumer import Consumer
from tests.support.cli import command, environment
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy
from tests.support.serving import GOLDEN_WORDS
from tests.support.waiting import wait_until

INTERVAL_S = 0.006
COMMIT_S = 0.3
LONGEST_LIFE_S = 2.4

Identity = tuple[str, str, int]


@dataclass(slots=True)
class Outcome:
    """What came of it; identities are (boot, device, sequence)."""

    kills: int = 0
    outages: int = 0
    received: Counter[Identity] = field(default_factory=Counter)
    accepted: set[Identity] = field(default_factory=set)
    duplicates: list[int] = field(default_factory=list)

    @property
    def lost(self) -> set[Identity]:
        return self.accepted - set(self.received)

    @property
    def gaps(self) -> dict[str, int]:
        """For each start, how many events are missing below the last that is known of."""
        last: dict[str, int] = {}
        for boot, _, sequence in (*self.received, *self.accepted):
            last[boot] = max(last.get(boot, -1), sequence)
        known = Counter(boot for boot, *_ in {*self.received, *self.accepted})
        return {boot: last[boot] + 1 - known[boot] for boot in last}


class Counting(Consumer):
    """Counts every event that arrives; `again` are those that came before."""

    def __init__(self, port: int, topic: str = "amp/inference/event") -> None:
        super().__init__(port, topic)
        self.received: Counter[Identity] = Counter()
        self.again = 0
        self._mark = b""

    def settle(self) -> None:
        """Wait for all that the broker has taken until now."""
        mark = secrets.token_hex(8).encode()
        self._client.publish(self._topic, mark, qos=1)
        wait_until(lambda: self._mark == mark, 10, "the mark behind the events")

    def take(self, message: MQTTMessage) -> None:
        if not message.payload.startswith(b"{"):
            self._mark = message.payload
            return
        event = json.loads(message.payload)
        identity = (event["boot"], event["device"], event["sequence"])
        self.again += identity in self.received
        self.received[identity] += 1


def in_log(state: Path) -> set[Identity]:
    """What the log's file holds, read without ampedge."""
    copy = Path(tempfile.mkdtemp(dir=state.parent))
    try:
        for file in state.glob("events.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy / file.name)
        if not (copy / "events.db").exists():
            return set()
        with contextlib.closing(sqlite3.connect(copy / "events.db")) as database:
            query = (
                "SELECT boot, device, sequence FROM events JOIN streams ON streams.id = events.stream WHERE kind = 0"
            )
            try:
                return set(database.execute(query).fetchall())
            except sqlite3.OperationalError:  # killed before the tables were made
                return set()
    finally:
        shutil.rmtree(copy)


class Service:
    """`ampedge serve` as a process."""

    def __init__(self, folder: Path, slave_port: int, broker_port: int) -> None:
        config = folder / "ampedge.toml"
        config.write_text(
            f'[modbus]\nhost = "127.0.0.1"\nport = {slave_port}\nslave = "external"\ninterval_s = {INTERVAL_S}\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n[store]\ncommit_s = {COMMIT_S}\n'
        )
        self._folder = folder
        self._command = command("serve", "--model", shipped(BUNDLE))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=environment(), stdout=log, stderr=subprocess.STDOUT
            )

    def end(self, number: int) -> int:
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "serve.log").read_text()[-2000:]
        self.process.send_signal(number)
        return self.process.wait(10)


def run(folder: Path, *, kills: int, seed: int, progress: bool = False) -> Outcome:
    """Kill it that often and account for every event."""
    drawn = random.Random(seed)
    outcome = Outcome()
    broker_folder = folder / "broker"
    broker_folder.mkdir()
    slave = EmbeddedSlave("127.0.0.1", 0, load_bundle(shipped(BUNDLE)).datamap)
    slave.start()
    slave._server.data_hdl.data_bank.set_holding_registers(0, list(GOLDEN_WORDS))
    with Mosquitto(broker_folder) as broker, Proxy(broker.port) as way, Counting(broker.port) as consumer:
        service = Service(folder, slave.port, way.port)
        state = folder / "ampedge-state"
        for kill in range(kills):
            before = consumer.again
            service.start()
            away = _plan_of_outage(drawn)
            until_s = time.monotonic() + drawn.uniform(0.0, LONGEST_LIFE_S)
            _let_live(way, away, until_s)
            service.end(signal.SIGKILL)
            outcome.kills += 1
            outcome.outages += away is not None
            outcome.accepted |= in_log(state)
            wait_until(lambda: not way.open_connections, 10, "the last bytes of the killed service to arrive")
            consumer.settle()  # else they would be counted for the next kill
            way.listen()
            outcome.duplicates.append(consumer.again - before)
            if progress and (kill + 1) % 20 == 0:
                print(f"{kill + 1} kills, {len(consumer.received)} events", file=sys.stderr)
        before = consumer.again
        outcome.accepted |= in_log(state)
        known = len(consumer.received)
        service.start()
        wait_until(lambda: len(consumer.received) > known, 20, "the last start")
        wait_until(lambda: not outcome.accepted - set(consumer.received), 60, "everything accepted to arrive")
        assert service.end(signal.SIGTERM) == 0
        outcome.duplicates.append(consumer.again - before)
        outcome.received = consumer.received.copy()
    slave.stop()
    return outcome


def _plan_of_outage(drawn: random.Random) -> tuple[float, float] | None:
    if drawn.random() < 0.5:
        return None
    begins_s = drawn.uniform(0.3, 1.5)
    return begins_s, begins_s + drawn.uniform(0.1, 2.0)


def _cut(way: Proxy) -> None:
    way.refuse()
    way.close_all()


def _let_live(way: Proxy, away: tuple[float, float] | None, until_s: float) -> None:
    started_s = time.monotonic()
    steps = [] if away is None else [(started_s + away[0], lambda: _cut(way)), (started_s + away[1], way.listen)]
    for at_s, step in steps:
        if at_s < until_s:
            time.sleep(max(0.0, at_s - time.monotonic()))
            step()
    time.sleep(max(0.0, until_s - time.monotonic()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), kills=given.kills, seed=given.seed, progress=True)
    gaps = outcome.gaps
    print(
        f"{outcome.kills} kills ({outcome.outages} with the broker away), {len(outcome.received)} events, "
        f"{len(outcome.accepted)} of them seen in the log: {len(outcome.lost)} accepted lost, "
        f"at most {max(outcome.duplicates)} duplicates a kill ({sum(outcome.duplicates)} in all), "
        f"at most {max(gaps.values())} neither acknowledged nor committed at a kill "
        f"({sum(gaps.values())} in all) ({time.monotonic() - begun_s:.0f} s)"
    )
    raise SystemExit(bool(outcome.lost) or max(outcome.duplicates) > 20)


if __name__ == "__main__":
    main()
