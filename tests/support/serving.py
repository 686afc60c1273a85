"""`ampedge serve` as a process, and masters that write into its slave."""

import contextlib
import json
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from ampedge.datamap import DataMap
from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode_row
from ampedge.modbus.plan import plan_writes
from ampedge.model.bundle import load_bundle
from ampedge.samples import BUNDLE, shipped
from tests.support.cli import command, environment
from tests.support.mosquitto import free_port
from tests.support.waiting import wait_until

GOLDEN = (427.335513967164, -12.072760045821497, 0.2876259585530916, 0.8945856093036692, 7.502195010331243)
GOLDEN_WORDS = (17365, 43762, 49473, 10758, 16019, 17334, 16229, 912, 16624, 4603)


class Serve:
    """A running `ampedge serve`; `log` is what it has said so far.

    With `broker`, it publishes there; its slave is at `port`, hosted unless the options say otherwise.
    """

    def __init__(
        self,
        directory: Path,
        *options: object,
        broker: int | None = None,
        port: int | None = None,
        model: Path | None = None,
        env: dict[str, str] | None = None,
        ready: str = "Publishing",
    ) -> None:
        self.port = port or free_port()
        self._log = directory / "serve.log"
        self._ready = ready
        self._env = environment(env)
        self._directory = directory
        arguments: list[object] = ["serve", "--host", "127.0.0.1", "--port", self.port]
        arguments += ["--model", model or shipped(BUNDLE)]
        arguments += [] if broker is None else ["--broker", f"127.0.0.1:{broker}"]
        self._arguments = command(*arguments, *options)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._arguments, cwd=self._directory, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(
            lambda: self._ready in self.log or self.process.poll() is not None, 20, f"serve to say {self._ready}"
        )
        assert self.process.poll() is None, self.log
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """Everything that it has said, for lines of JSON the values of all their fields."""
        return "\n".join(map(_said, self._log.read_text("utf-8", "replace").splitlines()))

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 10) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def write(self, *values: float, datamap: DataMap | None = None) -> None:
        """Write a row, as a master does."""
        datamap = datamap or load_bundle(shipped(BUNDLE)).datamap
        with contextlib.closing(Master("127.0.0.1", self.port)) as master:
            master.write(plan_writes(datamap), encode_row(datamap.tags, values))


def _said(line: str) -> str:
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    return " ".join(map(str, fields.values())) if isinstance(fields, dict) else line
