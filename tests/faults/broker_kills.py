"""A broker that is killed again and again, while events go on and what waited is sent again.

    python -m tests.faults.broker_kills --kills 50

Half of the kills come from SIGKILL, half from SIGTERM; some brokers are back at once, some after a while.
The pauses between attempts are scaled down.
"""

import argparse
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from ampedge.mqtt import retries
from tests.support.feeding import Feeding
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many events there were, how many of them were given up or never came through, and how often one was due."""

    kills: int
    events: int
    returned: int
    rejected: int
    unsettled: int
    slowest_s: float
    healthy: bool


def run(directory: Path, *, kills: int, protocol: str, seed: int = 1) -> Outcome:
    """Kill the broker so many times, bring it back, and wait until every event is through."""
    luck = random.Random(seed)
    broker = Mosquitto(directory)
    patient = mock.patch.object(retries, "BACKOFF_S", (0.05, 0.2))
    with patient, broker, Feeding(broker.port, interval_s=0.002, size=700, protocol=protocol) as feeding:
        log, publisher = feeding.log, feeding.publisher
        for _ in range(kills):
            passed = len(log.acknowledged_ids)
            wait_until(lambda p=passed: len(log.acknowledged_ids) > p + luck.randrange(50), 30)
            broker.stop(luck.choice((signal.SIGKILL, signal.SIGTERM)))
            time.sleep(luck.choice((0.0, 0.05, 0.2)))  # not to wait for something: it is how long the broker is away
            broker.start()
        feeding.stop_producing()
        wait_until(log.settled, 60, "every event to be through")
        wait_until(lambda: publisher.problem is None, 10, "all to be well")
        return Outcome(
            kills=kills,
            events=len(log.rows),
            returned=len(log.returned_ids),
            rejected=len(log.rejected_ids),
            unsettled=len(log.rows) - len(log.acknowledged_ids) - len(log.rejected_ids),
            slowest_s=feeding.slowest_s,
            healthy=publisher.healthy,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    kills = parser.parse_args().kills
    for protocol in ("5", "3.1.1"):
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(Path(folder), kills=kills, protocol=protocol)
        assert outcome.rejected == outcome.unsettled == 0
        assert outcome.healthy
        print(
            f"MQTT {protocol}: {outcome.kills} kills, {outcome.events} events, {outcome.returned} sent again, "
            f"0 given up, 0 lost, publish took {outcome.slowest_s * 1000:.0f} ms at most"
        )


if __name__ == "__main__":
    main()
