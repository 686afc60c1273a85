"""The real parts that the benchmarks run beside each other: a broker, a slave, the service."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode_row
from ampedge.modbus.plan import plan_writes
from ampedge.model.bundle import load_bundle
from ampedge.samples import BUNDLE, shipped

HOST = "127.0.0.1"
GOLDEN = (427.335513967164, -12.072760045821497, 0.2876259585530916, 0.8945856093036692, 7.502195010331243)
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(ready: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait until `ready`, or fail."""
    until_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > until_s:
            raise TimeoutError(f"{what} was not ready within {timeout_s} s")
        time.sleep(0.005)


def listens(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=0.2).close()
    except OSError:
        return False
    return True


def cpu_s(pid: int) -> float:
    """CPU time, user and system, that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Parts:
    """Mosquitto, and a slave in a process of its own that holds the published row."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.bundle = load_bundle(shipped(BUNDLE))

    def __enter__(self) -> "Parts":
        if shutil.which("mosquitto") is None:
            sys.exit("This benchmark needs Mosquitto: sudo apt install mosquitto mosquitto-clients")
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.broker_port, self.slave_port = free_port(), free_port()
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.broker_port} {HOST}\nallow_anonymous true\nmax_queued_messages 0\n")
        self.start("mosquitto", "-c", str(config))
        wait_for(lambda: listens(self.broker_port), "Mosquitto")
        self.start(sys.executable, "-m", "tests.benchmarks.parts", str(self.slave_port))
        wait_for(lambda: listens(self.slave_port), "the slave")
        self.write(self.slave_port, GOLDEN)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Run a command until the benchmark ends."""
        process = subprocess.Popen(
            command, cwd=ROOT, env=COMPILED, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(self.stop, process)
        return process

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """End it, as a service manager would."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(5)

    def serve(self, *options: str, port: int | None = None) -> "subprocess.Popen[bytes]":
        """`ampedge serve` against these parts, with a state directory of its own unless the options name one."""
        if "--state-dir" not in options:
            options = (*options, "--state-dir", tempfile.mkdtemp(dir=self.folder))
        slave = ["--host", HOST, "--port", str(port or self.slave_port)]
        broker = ["--broker", f"{HOST}:{self.broker_port}"]
        model = ["--model", str(shipped(BUNDLE))]
        return self.start(sys.executable, "-m", "ampedge", "serve", *slave, *broker, *model, *options)

    def write(self, port: int, values: tuple[float, ...]) -> None:
        """Write a row into a slave."""
        master = Master(HOST, port)
        master.write(plan_writes(self.bundle.datamap), encode_row(self.bundle.datamap.tags, values))
        master.close()


def slave(port: int) -> None:
    """A slave for the amplifier's map, until it is ended."""
    from ampedge.modbus.slave import EmbeddedSlave

    EmbeddedSlave(HOST, port, load_bundle(shipped(BUNDLE)).datamap).start()
    signal.pause()


if __name__ == "__main__":
    slave(int(sys.argv[1]))
