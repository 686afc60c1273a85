"""How long `ampedge serve`, with everything at its defaults, believes a slave and a broker that are frozen.

    python -m tests.faults.half_open

Frozen (SIGSTOP) they are as good as half-open: their system acknowledges every byte, and nobody answers.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ampedge.datamap import laid_out
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_writes
from tests.support.mosquitto import Mosquitto, MosquittoSub
from tests.support.serving import GOLDEN_WORDS, Serve
from tests.support.slave_process import SlaveProcess
from tests.support.waiting import wait_until

SLAVE_S, BROKER_S = 10.0, 45.0


def passed_s(condition: Callable[[], object], what: str) -> float:
    """Seconds until the condition is true."""
    begun_s = time.monotonic()
    wait_until(condition, 120, what)
    return time.monotonic() - begun_s


def measure(place: Path) -> tuple[float, float]:
    """(seconds until the slave, seconds until the broker is found)."""
    with contextlib.ExitStack() as held:
        broker = held.enter_context(Mosquitto(place))
        slave = held.enter_context(SlaveProcess())
        master = Master("127.0.0.1", slave.port)
        master.write(
            plan_writes(laid_out(list("abcde"))), list(zip(GOLDEN_WORDS[::2], GOLDEN_WORDS[1::2], strict=True))
        )
        master.close()
        sub = held.enter_context(MosquittoSub(broker.port, "amp/inference"))
        options = ["--slave", "external"]
        serve = held.enter_context(Serve(place, *options, broker=broker.port, port=slave.port, ready="Reading"))
        wait_until(lambda: sub.on("amp/inference")[-2:] == ["healthy"] * 2, what="labels")
        slave.freeze()
        slave_s = passed_s(lambda: sub.on("amp/inference")[-1] == "unknown", "the slave to be found")
        slave.thaw()
        wait_until(lambda: sub.on("amp/inference")[-1] == "healthy", 60, "the slave to be back")
        before = len(serve.log)
        broker.pause()
        broker_s = passed_s(lambda: "No MQTT broker" in serve.log[before:], "the broker to be found")
        broker.resume()
        seen = len(sub.on("amp/inference"))
        wait_until(lambda: len(sub.on("amp/inference")) > seen, 60, "labels to come again")
    return slave_s, broker_s


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        slave_s, broker_s = measure(Path(place))
    print(f"half-open slave found after {slave_s:.1f} s, half-open broker after {broker_s:.1f} s")
    return int(slave_s > SLAVE_S or broker_s > BROKER_S)


if __name__ == "__main__":
    sys.exit(main())
