"""The demo's steps: the real commands, one after the other, on free ports of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.table import Table

from ampedge import amplifier
from ampedge.cli import options, plays
from ampedge.errors import AmpedgeError
from ampedge.sample_rows import read_samples
from ampedge.samples import CONFIG, SAMPLES, shipped
from ampedge.simulator.play import as_plays
from ampedge.site_map import site_map

_HOST = "127.0.0.1"
_READY_S = 20.0
_STOP_S = 5.0
_WATCH_S = 6
_ROW_S = 0.1
_BUNDLE = "amplifier.ampedge"


def show(keep: Path | None) -> None:
    """Run every step and end with a scoreboard; raises AmpedgeError with the exit code of a step that fails."""
    with ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ampedge-demo-")))
        else:
            folder = keep
            folder.mkdir(parents=True, exist_ok=True)
        _Demo(folder, stack).run()
        if keep is not None:
            print(f"\nEverything is in {keep}.")


class _Demo:
    """The steps share a directory, two ports and a scoreboard."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._console = Console(highlight=False)
        self._began_s = time.monotonic()
        self._board = Table("step", "result", "seconds", title="Scoreboard", title_justify="left")
        self._board.columns[2].justify = "right"
        self._slave, self._broker = _free_ports()

    def run(self) -> None:
        slave = ["--host", _HOST, "--port", str(self._slave)]
        broker = ["--broker", f"{_HOST}:{self._broker}"]
        with self._step("data", "Generate readings of an amplifier that does not exist"):
            result = self._make_data()
            self._done(result)
        with self._step("train", "Train a network on the table"):
            self._command("train", "data.csv", "--name", "amplifier")
            scores = json.loads((self._folder / "model" / "metrics.json").read_text())["test"]
            self._done(f"accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f} on rows it never saw")
        with self._step("evaluate", "Score the bundle through the code that serve runs"):
            self._command("evaluate")
            self._done("report in evaluation/report.html")
        with self._step("export", "Make the one file for the edge"):
            self._command("export", "--out", _BUNDLE)
            self._done(f"{_BUNDLE}, {(self._folder / _BUNDLE).stat().st_size / 1000:.1f} kB")
        with self._step("serve", "Host the slave, run a broker, answer each write with a label"):
            hosted = ["--slave", "embedded", "--broker", f"embedded:{self._broker}"]
            self._serve("serve", "--model", _BUNDLE, *slave, *hosted)
            self._done(f"slave on port {self._slave}, broker on port {self._broker}")
        with self._step("simulate", "Play rows into the slave and check the labels that come back"):
            self._done(self._simulate(*slave, *broker))
        with self._step("monitor", "Watch the labels arrive"):
            self._done(self._watch(slave, broker))
        seconds = time.monotonic() - self._began_s
        self._board.add_row("all", "every step did what it should", f"{seconds:.1f}", style="bold")
        self._console.print()
        self._console.print(self._board)
        self._console.print(_NEXT, markup=False)

    @contextmanager
    def _step(self, name: str, about: str) -> Iterator[None]:
        self._console.print()
        self._console.print(Rule(f"[bold]{name}[/bold]: {about}", align="left"))
        self._name = name
        self._step_s = time.monotonic()
        yield

    def _done(self, result: str) -> None:
        self._board.add_row(self._name, result, f"{time.monotonic() - self._step_s:.1f}")

    def _typed(self, *arguments: str) -> None:
        self._console.print("$ ampedge " + " ".join(arguments), style="cyan", markup=False, soft_wrap=True)
        sys.stdout.flush()

    def _make_data(self) -> str:
        readings = amplifier.generate(4000, seed=42)
        amplifier.write_data(self._folder / "data.csv", readings)
        for name in (CONFIG, SAMPLES):
            (self._folder / name).write_bytes(shipped(name).read_bytes())
        counts = ", ".join(f"{readings.labels.count(label)} {label}" for label in sorted(set(readings.labels)))
        result = f"{len(readings.labels)} rows: {counts}"
        self._console.print(f"data.csv: {result}. The data is generated, and says so.")
        return result

    def _command(self, *arguments: str, timeout_s: float = 80.0) -> None:
        self._typed(*arguments)
        done = subprocess.run(  # noqa: S603  # our own command
            _argv(*arguments), cwd=self._folder, env=_environment(), check=False, timeout=timeout_s
        )
        if done.returncode:
            raise _failed(arguments[0], done.returncode)

    def _start(self, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603  # our own command
                _argv(*arguments), cwd=self._folder, env=_environment(), stdout=file, stderr=subprocess.STDOUT
            )
        self._stack.callback(_end, process)
        return process

    def _serve(self, *arguments: str) -> None:
        self._typed(*arguments)
        log = self._folder / "serve.log"
        process = self._start(list(arguments), log)

        def ready() -> bool:
            if process.poll() is not None:
                self._console.print(log.read_text(), markup=False)
                raise _failed("serve", process.returncode)
            return b"Publishing" in log.read_bytes()

        _wait_for(ready, "serve")
        self._console.print(log.read_text().rstrip(), markup=False, soft_wrap=True)

    def _simulate(self, *flags: str) -> str:
        self._typed("simulate", *flags, "--interval", str(_ROW_S), "--check")
        with chdir(self._folder):
            return self._check()

    def _check(self) -> str:
        config = options.config_from(Path(CONFIG), host=_HOST, port=self._slave, broker=f"{_HOST}:{self._broker}")
        datamap, about = site_map(config)
        rows = read_samples(Path(SAMPLES), datamap)
        score = plays.run(
            as_plays(iter(rows), datamap, {}),
            config,
            datamap,
            about=about,
            labels=[row.label or "" for row in rows],
            interval_s=_ROW_S,
            check=plays.Check(0.9, 10.0),
            as_json=False,
        )
        return f"score {score.score:.3f} over {len(rows)} rows" if score.score is not None else "no score"

    def _watch(self, slave: list[str], broker: list[str]) -> str:
        player = ["simulate", *slave, "--loop", "--shuffle", "--seed", "1", "--interval", "0.5"]
        self._start(player, self._folder / "simulate.log")
        terminal = self._console.is_terminal
        watch = ["--timeout", str(_WATCH_S)] if terminal else ["--plain", "--count", "5", "--timeout", "20"]
        self._command("monitor", *broker, *watch)
        return f"watched for {_WATCH_S} s" if terminal else "5 labels arrived"


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ampedge", *arguments]


def _environment() -> dict[str, str]:
    """The demo's commands see the demo's own config only."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AMPEDGE_")}


def _failed(command: str, code: int) -> AmpedgeError:
    error = AmpedgeError(f"`ampedge {command}` ended with exit code {code}.", "Its own message is above.")
    error.exit_code = code if code > 0 else 1
    return error


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(ready: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + _READY_S
    while not ready():
        if time.monotonic() > until_s:
            raise AmpedgeError(f"`ampedge {what}` was not ready within {_READY_S:g} s.", "Run the demo once more.")
        time.sleep(0.05)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind((_HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]


_NEXT = """
Next, with your own machine:
  ampedge init --from data.csv   a config for your table
  ampedge train data.csv         a model from your table
  ampedge serve --host ADDRESS   labels from your device
  ampedge monitor --host BROKER  what arrives"""
