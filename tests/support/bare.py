"""Whether a bare install works: `python -m tests.support.bare VENV`, with the wheel and no extra in that environment.

Runs the edge commands from an empty directory, as a user would, and measures the environment.
Ends with an AssertionError where something is not as promised.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ampedge.samples import DATA, shipped
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.waiting import wait_until

LARGEST_MB = 120
CLASSES = ("failsoon", "healthy", "overdriven", "unstable")


class Bare:
    """The `ampedge` of one environment, run in one directory, away from this checkout."""

    def __init__(self, venv: Path, directory: Path) -> None:
        self.venv = venv
        self._directory = directory
        self._program = venv / "bin" / "ampedge"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMPEDGE_", "PYTHON"))}
        self._env = {**kept, "COLUMNS": "200", "NO_COLOR": "1"}

    def run(self, *arguments: object, expected: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must be this exit code and no traceback."""
        began_s = time.monotonic()
        done = subprocess.run(
            [self._program, *map(str, arguments)],
            cwd=self._directory,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == expected, f"{arguments}: exit code {done.returncode}, not {expected}\n{said}"
        assert "Traceback" not in said, said
        print(f"ampedge {' '.join(map(str, arguments))}: {expected} in {time.monotonic() - began_s:.2f} s")
        return done

    @contextlib.contextmanager
    def serving(self, port: int, broker_port: int) -> Iterator[None]:
        """`ampedge serve` with its own slave; ended by SIGTERM, at which it must end well."""
        log = self._directory / "serve.log"
        arguments = ["serve", "--host", "127.0.0.1", "--port", port, "--broker", f"127.0.0.1:{broker_port}"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [self._program, *map(str, arguments)], cwd=self._directory, env=self._env, stdout=out, stderr=out
            )
        try:
            wait_until(lambda: "Hosting the slave" in log.read_text(), 20, "serve to host its slave")
            yield
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0, log.read_text()
            assert time.monotonic() - began_s < 2, "serve took too long to stop"
            assert "Traceback" not in log.read_text(), log.read_text()
        finally:
            process.kill()
            process.wait()


def size_mb(venv: Path) -> float:
    """What the install takes on disk, in MB of a million bytes, bytecode included.

    pip and setuptools, which every environment brings along, do not count.
    """
    packages = next(venv.glob("lib/python*/site-packages"))
    brought = [path for path in packages.iterdir() if path.name.startswith(("pip", "setuptools", "pkg_resources"))]
    total = sum(path.lstat().st_blocks for path in venv.rglob("*"))
    return (total - sum(path.lstat().st_blocks for tree in brought for path in tree.rglob("*"))) * 512 / 1e6


def check(bare: Bare, directory: Path) -> None:
    """Everything that a bare install promises."""
    assert "Usage: ampedge" in bare.run("--help").stdout
    bare.run("--version")
    for command in ("train", "evaluate"):
        assert 'pip install "ampedge[train]"' in bare.run(command, shipped(DATA), expected=2).stderr
    assert 'pip install "ampedge[train,broker]"' in bare.run("demo", expected=2).stderr
    assert 'pip install "ampedge[broker]"' in bare.run("serve", "--broker", "embedded", expected=2).stderr

    assert bare.run("card").stdout.startswith("# Model card of `amplifier`")

    with contextlib.ExitStack() as running:
        mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        broker_port = running.enter_context(Mosquitto(directory)).port if mosquitto else free_port()
        slave_port = free_port()
        running.enter_context(bare.serving(slave_port, broker_port))
        address = ("--host", "127.0.0.1", "--port", slave_port)
        bare.run("simulate", *address, "--count", 3, "--interval", 0.1)
        bare.run("collect", *address, "--label", "healthy", "--count", 2, "--interval", 0.1, "--out", "rows.csv")
        monitor = ("monitor", "--broker", f"127.0.0.1:{broker_port}", "--once")
        if mosquitto:
            said = bare.run(*monitor, "--timeout", 20).stdout
            assert said in {f"[INFERENCE] {name}\n" for name in CLASSES}, said
        else:
            print("Mosquitto is not installed: whether a label arrives was not tried.")
            bare.run(*monitor, "--timeout", 1, expected=4)


def main() -> None:
    """Check the environment that is named on the command line."""
    venv = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as name:
        check(Bare(venv, Path(name)), Path(name))
    taken_mb = size_mb(venv)
    print(f"The install takes {taken_mb:.0f} MB on disk.")
    assert taken_mb <= LARGEST_MB, f"more than {LARGEST_MB} MB"


if __name__ == "__main__":
    main()
