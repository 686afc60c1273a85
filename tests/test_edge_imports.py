"""The edge commands run where the libraries of the workstation cannot be imported.

The import contracts see what is written; this sees what happens, imports inside functions too.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampedge.samples import DATA, shipped
from tests.support.cli import python_path, run_cli
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.reference import commands
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "joblib", "matplotlib", "scipy", "h5py")

HOOK = """
import importlib.util
import sys
from pathlib import Path

find_spec = importlib.util.find_spec

def is_heavy(name):
    if name.partition(".")[0] not in {heavy!r}:
        return False
    with Path({log!r}).open("a") as log:
        log.write(name + "\\n")
    return True

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if is_heavy(name):
            raise ModuleNotFoundError("No module named " + name, name=name)

sys.meta_path.insert(0, Blocked())
importlib.util.find_spec = lambda name, package=None: None if is_heavy(name) else find_spec(name, package)
"""


class Edge:
    """An environment for commands in which the heavy libraries cannot be imported, and which were asked for."""

    def __init__(self, place: Path) -> None:
        self._log = place / "asked.log"
        hook = place / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(HOOK.format(heavy=HEAVY, log=str(self._log)))
        self.env = python_path(hook)

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    edge = Edge(tmp_path)
    yield edge
    assert edge.asked == []


@pytest.mark.parametrize("command", ["train", "evaluate", "inspect"])
def test_the_commands_of_the_workstation_say_what_to_install(tmp_path: Path, command: str) -> None:
    edge = Edge(tmp_path)
    done = run_cli(command, shipped(DATA), cwd=tmp_path, env=edge.env)
    assert done.returncode == 2
    assert 'pip install "ampedge[train]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert edge.asked  # so the hook does what it should


@pytest.mark.parametrize("command", ["", *dict.fromkeys(name.split()[0] for name in commands())])
def test_help(edge: Edge, tmp_path: Path, command: str) -> None:
    done = run_cli(*command.split(), "--help", cwd=tmp_path, env=edge.env)
    assert done.returncode == 0, done.stderr
    assert "Usage: ampedge" in done.stdout


def test_init(edge: Edge, tmp_path: Path) -> None:
    done = run_cli("init", "site", cwd=tmp_path, env=edge.env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "ampedge.toml").is_file()


def test_card(edge: Edge, tmp_path: Path) -> None:
    done = run_cli("card", "--out", "CARD.md", cwd=tmp_path, env=edge.env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "CARD.md").read_text("utf-8").startswith("# Model card of `amplifier`")


def test_serve_simulate_collect_and_monitor(edge: Edge, tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Serve(tmp_path, "--interval", "0.2", broker=mosquitto.port, env=edge.env) as serve:
        serve.write(*GOLDEN)
        wait_until(lambda: "healthy" in serve.log)

        address = ["--host", "127.0.0.1", "--port", serve.port]
        done = run_cli("simulate", *address, "--count", 3, "--interval", 0.1, cwd=tmp_path, env=edge.env)
        assert done.returncode == 0, done.stderr
        collected = ["--label", "healthy", "--count", 2, "--interval", 0.1, "--out", "rows.csv"]
        done = run_cli("collect", *address, *collected, cwd=tmp_path, env=edge.env)
        assert done.returncode == 0, done.stderr
        assert len((tmp_path / "rows.csv").read_text().splitlines()) == 3
        done = run_cli("probe", *address, cwd=tmp_path, env=edge.env)
        assert done.returncode == 0, done.stderr

        serve.write(*GOLDEN)
        broker = ["--broker", f"127.0.0.1:{mosquitto.port}"]
        done = run_cli("monitor", *broker, "--once", "--timeout", 10, cwd=tmp_path, env=edge.env)
        assert (done.returncode, done.stdout) == (0, "[INFERENCE] healthy\n"), done.stderr
        done = run_cli("monitor", *broker, "--once", "--timeout", 10, "--json", cwd=tmp_path, env=edge.env)
        assert json.loads(done.stdout)["label"] == "healthy"

        mapped = Path(f"/proc/{serve.process.pid}/maps")
        if mapped.exists():
            assert not [name for name in HEAVY if f"/site-packages/{name}/" in mapped.read_text()]
        assert serve.stop() == 0
        done = run_cli("history", cwd=tmp_path, env=edge.env)
        assert done.returncode == 0, done.stderr
        assert "healthy" in done.stdout


def test_serve_goes_on_without_a_broker(edge: Edge, tmp_path: Path) -> None:
    with Serve(tmp_path, "--interval", "0.2", broker=free_port(), env=edge.env, ready="Hosting") as serve:
        wait_until(lambda: "never_written" in serve.log)
        serve.write(*GOLDEN)
        wait_until(lambda: "healthy" in serve.log)
        assert serve.stop() == 0


def test_benchmark_measures_what_is_there(tmp_path: Path) -> None:
    edge = Edge(tmp_path)  # which it asks for the heavy libraries
    done = run_cli("benchmark", "--json", "--only", "ampedge/numpy", cwd=tmp_path, env=edge.env)
    assert done.returncode == 0, done.stderr
    assert [line["name"] for line in json.loads(done.stdout)["measured"]] == ["ampedge/numpy"]
    for name in ("ampedge/keras", "saved-model"):
        done = run_cli("benchmark", "--only", name, cwd=tmp_path, env=edge.env)
        assert done.returncode == 2
        assert 'Install it with: pip install "ampedge[train]"' in done.stderr
