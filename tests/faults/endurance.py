"""Hundreds of thousands of polls over real sockets and Mosquitto: does anything grow?

    python -m tests.faults.endurance --polls 600000

runs `ampedge serve` as fast as it can against a slave in another process and watches its memory, threads and
descriptors from outside.  Growth is the slope of a line through the samples after the first sixth, which warms up.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import psutil

from ampedge.service.status import read_status
from tests.benchmarks.parts import Parts, wait_for

SAMPLES = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """Growth in MB for each 100,000 polls; threads and descriptors as (least, most) after warming up."""

    polls: int
    seconds: float
    growth_mb: float
    resident_mb: float
    threads: tuple[int, int]
    descriptors: tuple[int, int]
    produced: int
    delivered: int
    dropped: int
    waiting: int


def run(polls: int) -> Outcome:
    """So many polls of one service."""
    with Parts() as parts:
        state = parts.folder / "state"
        begun_s = time.monotonic()
        service = parts.serve("--interval", "0.0001", "--state-dir", str(state))
        wait_for((state / "status.sock").exists, "the service")
        process = psutil.Process(service.pid)
        samples: list[tuple[int, float, int, int]] = []
        done = 0
        while done < polls:
            time.sleep(0.05)
            done = read_status(state)["devices"][0]["polls"]
            if done >= polls * (len(samples) + 1) / SAMPLES:
                resident_mb = process.memory_info().rss / 1e6
                samples.append((done, resident_mb, process.num_threads(), process.num_fds()))
        log = read_status(state)["log"]
        parts.stop(service)
    steady = np.array(samples[len(samples) // 6 :])
    slope = float(np.polyfit(steady[:, 0], steady[:, 1], 1)[0])
    return Outcome(
        polls=done,
        seconds=time.monotonic() - begun_s,
        growth_mb=slope * 100_000,
        resident_mb=float(steady[-1, 1]),
        threads=(int(steady[:, 2].min()), int(steady[:, 2].max())),
        descriptors=(int(steady[:, 3].min()), int(steady[:, 3].max())),
        produced=log["produced"],
        delivered=log["delivered"],
        dropped=log["dropped"],
        waiting=log["waiting"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--polls", type=int, default=600_000)
    outcome = run(parser.parse_args().polls)
    print(
        f"{outcome.polls} polls in {outcome.seconds:.0f} s: memory grew by {outcome.growth_mb:.3f} MB per 100,000, "
        f"to {outcome.resident_mb:.1f} MB; threads {outcome.threads[0]} to {outcome.threads[1]}, "
        f"descriptors {outcome.descriptors[0]} to {outcome.descriptors[1]}; {outcome.produced} events = "
        f"{outcome.delivered} delivered + {outcome.dropped} dropped + {outcome.waiting} waiting"
    )
    # reading the status takes one connection, so one thread or descriptor more is ours
    steady = outcome.threads[1] - outcome.threads[0] <= 1 and outcome.descriptors[1] - outcome.descriptors[0] <= 2
    raise SystemExit(outcome.growth_mb >= 1 or not steady)


if __name__ == "__main__":
    main()
