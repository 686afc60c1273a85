"""Days of events that wait, a broker that comes back, and live events in between.

    python -m tests.faults.backlog --days 7

fills the log of a state directory as the service does, starts `ampedge serve` on it against Mosquitto, and measures
how fast what waits is delivered and how long live events take meanwhile, from reading the registers to the consumer.
"""

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from paho.mqtt.client import MQTTMessage

from ampedge.clock import FakeClock
from ampedge.modbus.codec import encode_row
from ampedge.modbus.slave import EmbeddedSlave
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.pipeline import Pipeline
from ampedge.records import Frame
from ampedge.samples import BUNDLE, shipped
from ampedge.store.event_log import EventLog
from ampedge.wire import Origin, event_payload
from tests.faults.consumer import Consumer
from tests.support.mosquitto import Mosquitto
from tests.support.serving import GOLDEN, GOLDEN_WORDS, Serve
from tests.support.waiting import wait_until

DAY_S = 86_400
_BOOT = "0123456789abcdef"


@dataclass(slots=True)
class Outcome:
    """Rows that waited and came, in what time; the delays of live events in between; what came out of order."""

    rows: int
    seconds: float
    live_s: list[float] = field(default_factory=list)
    disorder: int = 0
    twice: int = 0

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


def fill(directory: Path, rows: int, *, bundle: Bundle) -> None:
    """A log with so many events, one a second, that nobody has taken."""
    clock = FakeClock(time_s=time.time() - rows)
    log = EventLog(directory, boot=_BOOT, clock=clock)
    log.open()
    origin = Origin(
        device="device",
        boot=_BOOT,
        model_name="amplifier",
        model_version="1",
        classes=bundle.classes,
        normal_label=bundle.manifest.normal_label,
        interval_s=1.0,
    )
    pipeline = Pipeline(bundle)
    for sequence in range(rows):
        values = [value * (1 + 0.003 * ((sequence * 7919 + i * 104_729) % 100) / 100) for i, value in enumerate(GOLDEN)]
        words = tuple(encode_row(bundle.datamap.tags, values))
        frame = Frame("device", clock.time(), words, monotonic_s=clock.monotonic())
        payload = event_payload(pipeline.run(frame), origin, sequence, time_synced=True)
        log.append("device", sequence, clock.time(), payload)
        clock.advance(1.0)
        if sequence % 1000 == 999:
            log.commit(reachable=False)
    log.close()


class Judging(Consumer):
    """Knows what arrived live and how long that took, and what arrived late and in which order."""

    def __init__(self, port: int) -> None:
        super().__init__(port, "amp/inference/event")
        self.replayed = 0
        self.disorder = 0
        self.twice = 0
        self.live_s: list[float] = []
        self.ended_s = 0.0
        self._last = -1

    def take(self, message: MQTTMessage) -> None:
        if b'"replayed":true' in message.payload:
            self._late(int(message.payload.partition(b'"sequence":')[2].partition(b",")[0]))
        else:
            read_s = json.loads(message.payload)["monotonic_s"]
            self.live_s.append(time.monotonic() - read_s)

    def _late(self, sequence: int) -> None:
        self.ended_s = time.monotonic()
        self.replayed += 1
        if sequence == self._last:
            self.twice += 1
        elif sequence != self._last + 1:
            self.disorder += 1
        self._last = sequence


def drain(folder: Path, rows: int, *, within_s: float) -> Outcome:
    """Let so many events wait, then have them delivered while live ones go on."""
    bundle = load_bundle(shipped(BUNDLE))
    state = folder / "ampedge-state"
    state.mkdir()
    fill(state, rows, bundle=bundle)
    place = folder / "broker"
    place.mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place))
        slave = EmbeddedSlave("127.0.0.1", 0, bundle.datamap)
        slave.start()
        stack.callback(slave.stop)
        slave._server.data_hdl.data_bank.set_holding_registers(0, list(GOLDEN_WORDS))
        consumer = stack.enter_context(Judging(broker.port))
        begun_s = time.monotonic()
        options = ("--slave", "external", "--interval", "0.25")
        stack.enter_context(Serve(folder, *options, broker=broker.port, port=slave.port))
        wait_until(lambda: consumer.replayed >= rows, within_s, "the backlog to drain")
        return Outcome(rows, consumer.ended_s - begun_s, list(consumer.live_s), consumer.disorder, consumer.twice)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=float, default=7.0)
    given = parser.parse_args()
    rows = int(given.days * DAY_S)
    with tempfile.TemporaryDirectory() as folder:
        outcome = drain(Path(folder), rows, within_s=rows / 500)
    print(
        f"{rows} events waited ({given.days:g} days at one a second): drained in {outcome.seconds:.0f} s, "
        f"{outcome.rate:.0f} a second; {len(outcome.live_s)} live events meanwhile took at most "
        f"{max(outcome.live_s):.3f} s; {outcome.disorder} out of order, {outcome.twice} twice"
    )
    raise SystemExit(outcome.rate < 1000 or max(outcome.live_s) >= 2)


if __name__ == "__main__":
    main()
