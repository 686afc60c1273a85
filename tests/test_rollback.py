"""`ampedge rollback`: which model is next, and the running service is told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.errors import UsageError
from ampedge.model.bundle import pack_bundle, save_bundle
from ampedge.model.keeper import Keeper
from tests.support.bundles import tiny_bundle
from tests.support.cli import run_cli

SERVICE = """
import signal, sys
from pathlib import Path
from ampedge.model.keeper import Keeper
from ampedge.store.state_dir import StateDirectory

state, model = map(Path, sys.argv[1:])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
with StateDirectory(state):
    while True:
        print(Keeper(state).choose(model)[0].manifest.version, flush=True)
        signal.sigwait({signal.SIGHUP})
"""
"""Chooses its model at the start and at each SIGHUP, as serve does."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a service that ran version 1 and now runs version 2 of tmp_path/site.ampedge."""
    path, keeper = tmp_path / "site.ampedge", Keeper(tmp_path / "state")
    bundle = tiny_bundle(tmp_path)
    for version in ("1", "2"):
        plain = bundle.manifest.model_dump(mode="json")
        del plain["files"]
        made = save_bundle(bundle.path, {**plain, "version": version}, {"weights.bin": bundle.contents["weights.bin"]})
        pack_bundle(made, path)
        keeper.keep(made, path)
    return tmp_path / "state"


@pytest.fixture
def service(state: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE, state, state.parent / "site.ampedge"],
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def next_version(state: Path) -> str:
    return Keeper(state).choose(state.parent / "site.ampedge")[0].manifest.version


def test_back_and_forth_without_a_service(state: Path, tmp_path: Path) -> None:
    later = "No service runs there; this holds from its next start.\n"
    done = run_cli("rollback", "--state-dir", "state", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Version 2 is rolled back; version 1 is next to run.\n{later}"
    assert next_version(state) == "1"
    done = run_cli("rollback", "--undo", "--state-dir", "state", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    site = tmp_path / "site.ampedge"
    assert done.stdout == f"Version 2 may run again; it is next where it still is at {site}.\n{later}"
    assert next_version(state) == "2"
    done = run_cli("rollback", "--undo", "--state-dir", "state", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No model is rolled back" in done.stderr


def test_a_running_service_is_told(state: Path, service: subprocess.Popen[str]) -> None:
    assert service.stdout is not None
    assert service.stdout.readline() == "2\n"
    done = CliRunner().invoke(app, ["rollback", "--state-dir", str(state)], catch_exceptions=False)
    assert done.stdout.splitlines()[-1] == f"The service (process {service.pid}) was told."
    assert service.stdout.readline() == "1\n"
    CliRunner().invoke(app, ["rollback", "--undo", "--state-dir", str(state)], catch_exceptions=False)
    assert service.stdout.readline() == "2\n"


@pytest.mark.parametrize("undo", [[], ["--undo"]])
def test_where_the_service_may_not_be_told_nothing_is_changed(
    state: Path, service: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, undo: list[str]
) -> None:
    assert service.stdout is not None
    assert service.stdout.readline() == "2\n"

    def denied(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = Keeper(state).record()
    refused = pytest.raises(UsageError, match=f"process {service.pid}.*belongs to another user; nothing was changed")
    with monkeypatch.context() as here, refused as e:
        here.setattr(os, "kill", denied)
        CliRunner().invoke(app, ["rollback", *undo, "--state-dir", str(state)], catch_exceptions=False)
    assert "sudo" in e.value.remedy
    assert Keeper(state).record() == before


def test_a_service_that_ends_meanwhile_takes_the_model_at_its_next_start(
    state: Path, service: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.stdout is not None
    service.stdout.readline()

    def gone(pid: int, number: int) -> None:
        if number == signal.SIGHUP:
            raise ProcessLookupError

    with monkeypatch.context() as here:
        here.setattr(os, "kill", gone)
        done = CliRunner().invoke(app, ["rollback", "--state-dir", str(state)], catch_exceptions=False)
    assert "holds from its next start" in done.stdout
    assert next_version(state) == "1"


def test_the_state_directory_is_the_configs(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text('state_dir = "state"\n')  # beside the config
    monkeypatch.chdir(os.sep)
    runner = CliRunner()
    done = runner.invoke(app, ["rollback", "--config", str(tmp_path / "site.toml")], catch_exceptions=False)
    assert "version 1 is next" in done.stdout
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    done = runner.invoke(app, ["rollback", "--undo"], catch_exceptions=False)
    assert "Version 2 may run again" in done.stdout


def test_a_place_where_no_service_ran_stays_as_it_is(tmp_path: Path) -> None:
    done = run_cli("rollback", cwd=tmp_path)
    assert done.returncode == 2
    assert "No service has kept a model in ampedge-state." in done.stderr
    assert "--state-dir" in done.stderr
    assert list(tmp_path.iterdir()) == []
