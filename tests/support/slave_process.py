"""A slave in a process of its own, which can be frozen, killed and started again at the same port."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from ampedge.datamap import laid_out
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_writes
from tests.support.mosquitto import free_port
from tests.support.waiting import wait_until

MAP = laid_out(["a", "b", "c", "d", "e"])


class SlaveProcess:
    """A context manager; its registers are those of `MAP`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen([sys.executable, "-m", "tests.support.slave_process", str(self.port)])
        wait_until(self._answers, 20, "the slave")

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: its system still acknowledges every byte, and nobody answers."""
        self._send(signal.SIGSTOP)
        wait_until(self._has_stopped, what="every thread to stop")

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def write(self, value: int) -> None:
        """Every register holds `value`."""
        master = Master("127.0.0.1", self.port)
        master.write(plan_writes(MAP), [(value, value)] * len(MAP.tags))
        master.close()

    def _send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _has_stopped(self) -> bool:
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def _answers(self) -> bool:
        try:
            self.write(0)
        except Exception:
            return False
        return True


if __name__ == "__main__":
    from ampedge.modbus.slave import EmbeddedSlave

    EmbeddedSlave("127.0.0.1", int(sys.argv[1]), MAP).start()
    signal.pause()
